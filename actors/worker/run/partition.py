"""Which process consumes which channel: rendezvous hashing of names (pure).

Every process computes the owner of a name from the name and the number of processes alone. One more
process takes about 1/(N+1) of the names; no name moves between the others.
"""

from __future__ import annotations

from hashlib import blake2b

import msgspec

from actors.pubsub.model.names import encode_name


class Partition(msgspec.Struct, frozen=True):
    """The names that fall to one machine, or to one process of it.

    Attributes:
        index: the number of the machine, from 0.
        count: how many machines there are.
        part: the number of the process on that machine, from 0.
        parts: how many processes the machine runs.
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
        """Return the partition that ``I/N`` names: ``0/3`` is the first of three.

        ``0/3:1/2`` is the second of two processes on the first of three machines.

        Raises:
            ValueError: the text is no partition.
        """
        machine, _, process = text.partition(":")
        numbers = [part for pair in (machine, process or "0/1") for part in pair.split("/")]
        if len(numbers) != 4 or not all(number.strip().isdecimal() for number in numbers):
            raise ValueError(f"a partition is written I/N, 0/3 for the first of 3, not {text!r}")
        return cls(*map(int, numbers))

    def has(self, name: str | bytes) -> bool:
        """Return whether ``name`` falls to this partition."""
        data = encode_name(name)
        if self.count > 1 and owner(data, self.count) != self.index:
            return False
        return self.parts == 1 or owner(data, self.parts, b"process") == self.part

    def split(self, parts: int) -> list[Partition]:
        """Return the partitions of ``parts`` processes, which together are this one.

        Machines may run different numbers of processes: a split moves no names between machines.
        """
        return [msgspec.structs.replace(self, part=part, parts=parts) for part in range(parts)]

    def __str__(self) -> str:
        machine = f"{self.index}/{self.count}"
        return machine if self.parts == 1 else f"{machine}:{self.part}/{self.parts}"


WHOLE = Partition()


def owner(name: str | bytes, count: int, level: bytes = b"machine") -> int:
    """Return which of ``count`` members owns ``name``.

    ``level`` is a salt, so that the owners among machines and among processes are independent.
    """
    data = encode_name(name)
    return max(range(count), key=lambda index: (_score(data, index, level), index))


def _score(name: bytes, index: int, level: bytes) -> bytes:
    # The index is the key and not part of the text: no name can look like another with an index.
    key = index.to_bytes(4, "big")
    return blake2b(name, digest_size=8, key=key, person=level).digest()
