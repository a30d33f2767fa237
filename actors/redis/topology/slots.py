"""Hash slots: which of a cluster's 16384 slots a key or a shard channel belongs to.

The rule is the cluster specification's: CRC16 (XMODEM) modulo 16384 over the key, or over its hash
tag when it has one. Shard channels are hashed exactly like keys.
"""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Iterable, Iterator
from typing import NamedTuple

__all__ = [
    "SLOTS",
    "SlotRange",
    "expand_ranges",
    "join_ranges",
    "key_slot",
    "slot_ranges",
    "without_slot",
]

SLOTS = 16384
"""How many hash slots every cluster has."""


class SlotRange(NamedTuple):
    """A run of slots, both ends included, as servers write it."""

    start: int
    end: int

    def __str__(self) -> str:
        return str(self.start) if self.start == self.end else f"{self.start}-{self.end}"


def key_slot(key: bytes) -> int:
    """Return the slot (0 to 16383) of ``key``, a key or a shard channel.

    Only what stands between the first ``{`` and the first ``}`` after it is hashed, unless that is
    empty or there is no such pair; then the whole key is.
    """
    opening = key.find(b"{")
    if opening >= 0:
        closing = key.find(b"}", opening + 1)
        if closing > opening + 1:
            key = key[opening + 1 : closing]
    return crc_hqx(key, 0) % SLOTS


def slot_ranges(slots: Iterable[int]) -> tuple[SlotRange, ...]:
    """Compress slots (any order, duplicates allowed) into the fewest ranges, in rising order.

    Raises ValueError for a slot outside 0 to 16383.
    """
    return join_ranges((slot, slot) for slot in set(slots))


def join_ranges(ranges: Iterable[tuple[int, int]]) -> tuple[SlotRange, ...]:
    """Join ranges (any order, overlaps allowed) into the fewest, in rising order.

    Raises ValueError for a slot outside 0 to 16383.
    """
    joined: list[SlotRange] = []
    for start, end in sorted(ranges):
        if start < 0 or end >= SLOTS:
            raise ValueError(f"slots are 0 to {SLOTS - 1}, got {start} to {end}")
        if joined and start <= joined[-1].end + 1:
            joined[-1] = SlotRange(joined[-1].start, max(joined[-1].end, end))
        else:
            joined.append(SlotRange(start, end))
    return tuple(joined)


def without_slot(ranges: Iterable[tuple[int, int]], slot: int) -> tuple[SlotRange, ...]:
    """Return what is left of disjoint ``ranges`` without ``slot``, in their order."""
    left: list[SlotRange] = []
    for start, end in ranges:
        if start <= slot <= end:
            left += [SlotRange(start, slot - 1)] if start < slot else []
            left += [SlotRange(slot + 1, end)] if slot < end else []
        else:
            left.append(SlotRange(start, end))
    return tuple(left)


def expand_ranges(ranges: Iterable[tuple[int, int]]) -> Iterator[int]:
    """Yield every slot of ``ranges``, in their order."""
    for start, end in ranges:
        yield from range(start, end + 1)
