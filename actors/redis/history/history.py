"""History: how much of a channel's messages its history keeps."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from supervisor import SpecError
from supervisor.checks import is_number, is_whole

# Some three hundred years: the script counts milliseconds in numbers that are exact so far.
_LONGEST: Final = 10**10


class History(msgspec.Struct, frozen=True):
    """Has a message kept in the history of its channel when the message is published.

    The history is a stream at the server, from which consumers that recover read what they have
    missed. An entry goes when one of the two limits says so; the server removes entries about a
    hundred at a time, so that somewhat more are kept, never fewer.

    Attributes:
        maxlen: how many entries are kept; None: as many as ``max_age`` allows.
        max_age: for how many seconds an entry is kept, by the server's clock, while further
            messages are published; None: as long as ``maxlen`` allows.
        replicas: how many replicas must have the message before ``publish`` returns: an entry that
            no replica has is lost with its primary.
    """

    maxlen: int | None = 10_000
    max_age: float | None = None
    replicas: int = 0

    def __post_init__(self) -> None:
        problems = []
        if self.maxlen is None:
            if self.max_age is None:
                problems.append("maxlen and max_age are both None: one of them bounds the history")
        elif not is_whole(self.maxlen):
            problems.append(f"maxlen must be a whole number or None, not {self.maxlen!r}")
        elif not 1 <= self.maxlen < 2**63:
            problems.append(f"maxlen must be from 1 to 2**63 - 1, not {self.maxlen}")
        if self.max_age is not None and not _is_duration(self.max_age):
            problems.append(
                f"max_age must be None or seconds from 0.001 to {_LONGEST}, not {self.max_age!r}"
            )
        if not is_whole(self.replicas) or self.replicas < 0:
            problems.append(f"replicas must be a whole number, 0 or more, not {self.replicas!r}")
        if problems:
            raise SpecError("history", problems)


def _is_duration(value: Any) -> bool:
    return is_number(value) and 0.001 <= value <= _LONGEST
