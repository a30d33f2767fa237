"""Hash slots: which of a cluster's 16384 slots a key or a shard channel belongs to.

The rule is the cluster specification's: CRC16 (XMODEM) modulo 16384 over the key, or over its hash
tag when it has one. Shard channels are hashed exactly like keys.
"""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Iterable, Iterator
from typing import NamedTuple

__all__ = ["SLOTS", "SlotRange", "expand_ranges", "key_slot", "slot_ranges"]

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
    ordered = sorted(set(slots))
    if ordered and (ordered[0] < 0 or ordered[-1] >= SLOTS):
        raise ValueError(f"slots are 0 to {SLOTS - 1}, got {ordered[0]} to {ordered[-1]}")
    ranges: list[SlotRange] = []
    for slot in ordered:
        if ranges and ranges[-1].end == slot - 1:
            ranges[-1] = SlotRange(ranges[-1].start, slot)
        else:
            ranges.append(SlotRange(slot, slot))
    return tuple(ranges)


def expand_ranges(ranges: Iterable[tuple[int, int]]) -> Iterator[int]:
    """Yield every slot of ``ranges``, in their order."""
    for start, end in ranges:
        yield from range(start, end + 1)
