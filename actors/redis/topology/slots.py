"""Hash slots: the slot of a key or shard channel, and ranges of slots.

The slot is CRC16 (XMODEM) modulo 16384 over the key, or over its hash tag if it has one, as the
cluster specification says. Shard channels are hashed exactly like keys.
"""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Iterable
from typing import NamedTuple

SLOTS = 16384
"""The number of hash slots of every cluster."""


class SlotRange(NamedTuple):
    """A range of slots, both ends included."""

    start: int
    end: int

    def __str__(self) -> str:
        return str(self.start) if self.start == self.end else f"{self.start}-{self.end}"


def hash_tag(key: bytes) -> bytes | None:
    """Return the text between the first ``{`` of ``key`` and the next ``}``; None if there is none.

    Also None if that text is empty.
    """
    opening = key.find(b"{")
    if opening >= 0:
        closing = key.find(b"}", opening + 1)
        if closing > opening + 1:
            return key[opening + 1 : closing]
    return None


def key_slot(key: bytes) -> int:
    """Return the slot (0 to 16383) of ``key``, a key or a shard channel.

    Only the hash tag is hashed. If there is none, the whole key is.
    """
    return crc_hqx(hash_tag(key) or key, 0) % SLOTS


def slot_ranges(slots: Iterable[int]) -> tuple[SlotRange, ...]:
    """Return the fewest ranges of ``slots`` (any order, duplicates allowed), in rising order.

    Raises ValueError for a slot outside 0 to 16383.
    """
    return join_ranges((slot, slot) for slot in set(slots))


def join_ranges(ranges: Iterable[tuple[int, int]]) -> tuple[SlotRange, ...]:
    """Return the fewest ranges with the slots of ``ranges`` (any order), in rising order.

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
    """Return disjoint ``ranges`` without ``slot``, in their order."""
    left: list[SlotRange] = []
    for start, end in ranges:
        if start <= slot <= end:
            left += [SlotRange(start, slot - 1)] if start < slot else []
            left += [SlotRange(slot + 1, end)] if slot < end else []
        else:
            left.append(SlotRange(start, end))
    return tuple(left)
