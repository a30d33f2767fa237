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
    """The share of one process.

    Attributes:
        index: which process, from 0.
        count: of how many.
    """

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"there must be 1 partition or more, not {self.count}")
        if not 0 <= self.index < self.count:
            raise ValueError(
                f"partition {self.index} of {self.count}: partitions count from 0 to"
                f" {self.count - 1}"
            )

    @classmethod
    def parse(cls, text: str) -> Partition:
        """Return what ``I/N`` says: ``0/3`` is the first of three.

        Raises:
            ValueError: it says nothing of the kind; says why.
        """
        index, slash, count = text.partition("/")
        if not slash or not index.strip().isdecimal() or not count.strip().isdecimal():
            raise ValueError(
                f"a partition is written I/N, 0/3 for the first of three, not {text!r}"
            )
        return cls(int(index), int(count))

    def has(self, name: str | bytes) -> bool:
        """Return whether ``name`` is in this share."""
        return self.count == 1 or owner(name, self.count) == self.index

    def split(self, parts: int) -> list[Partition]:
        """Return the shares of ``parts`` processes of this one, which together are this share.

        Only the whole can be split evenly by one hash of the name; a share of N machines with P
        processes each is split as N*P shares of which each machine has P.
        """
        count = self.count * parts
        return [Partition(self.index * parts + part, count) for part in range(parts)]

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


WHOLE = Partition()


def owner(name: str | bytes, count: int) -> int:
    """Return which of ``count`` processes has ``name``."""
    data = name.encode() if isinstance(name, str) else name
    return max(range(count), key=lambda index: (_score(data, index), index))


def _score(name: bytes, index: int) -> bytes:
    # The process's number is hashed in as a key of its own, so that no name can look like another
    # name with a number.
    return blake2b(name, digest_size=8, key=index.to_bytes(4, "big")).digest()
