"""Which process consumes what: rendezvous hashing of names, pure.

Every process computes the same answer from nothing but the name and the number of processes. With
one more process, the names that move are those which the new one wins, about 1/(N+1) of them, and
nothing moves between the others.
"""

from __future__ import annotations

from hashlib import blake2b

import msgspec

__all__ = ["WHOLE", "Partition", "owner"]


class Partition(msgspec.Struct, frozen=True):
    """The share of one machine, or of one process of it.

    Attributes:
        index: which machine, from 0.
        count: of how many.
        part: which process of that machine, from 0.
        parts: of how many.
    """

    index: int = 0
    count: int = 1
    part: int = 0
    parts: int = 1

    def __post_init__(self) -> None:
        for index, count in ((self.index, self.count), (self.part, self.parts)):
            if count < 1:
                raise ValueError(f"there must be 1 partition or more, not {count}")
            if not 0 <= index < count:
                raise ValueError(
                    f"partition {index} of {count}: partitions count from 0 to {count - 1}"
                )

    @classmethod
    def parse(cls, text: str) -> Partition:
        """Return what ``I/N`` says: ``0/3`` is the first of three; ``0/3:1/2`` half of that.

        Raises:
            ValueError: it says nothing of the kind; says why.
        """
        machine, _, process = text.partition(":")
        numbers = [part for pair in (machine, process or "0/1") for part in pair.split("/")]
        if len(numbers) != 4 or not all(number.strip().isdecimal() for number in numbers):
            raise ValueError(f"a partition is written I/N, 0/3 for the first of 3, not {text!r}")
        return cls(*map(int, numbers))

    def has(self, name: str | bytes) -> bool:
        """Return whether ``name`` is in this share."""
        data = name.encode() if isinstance(name, str) else name
        if self.count > 1 and owner(data, self.count) != self.index:
            return False
        return self.parts == 1 or owner(data, self.parts, b"process") == self.part

    def split(self, parts: int) -> list[Partition]:
        """Return the shares of ``parts`` processes, which together are this share.

        How a machine splits its share is its own affair: the others need not know.
        """
        return [msgspec.structs.replace(self, part=part, parts=parts) for part in range(parts)]

    def __str__(self) -> str:
        machine = f"{self.index}/{self.count}"
        return machine if self.parts == 1 else f"{machine}:{self.part}/{self.parts}"


WHOLE = Partition()


def owner(name: str | bytes, count: int, level: bytes = b"machine") -> int:
    """Return which of ``count`` has ``name``.

    Args:
        name: a channel's or pattern's.
        count: how many there are.
        level: what is split; splits of different levels have nothing to do with each other.
    """
    data = name.encode() if isinstance(name, str) else name
    return max(range(count), key=lambda index: (_score(data, index, level), index))


def _score(name: bytes, index: int, level: bytes) -> bytes:
    # Number and level are hashed in as a key and not as text, so that no name can look like another
    # name with a number.
    key = index.to_bytes(4, "big")
    return blake2b(name, digest_size=8, key=key, person=level).digest()
