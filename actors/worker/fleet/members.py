"""Who is in a fleet, and the times that its members agree on."""

from __future__ import annotations

import math
import re
from typing import Final

import msgspec

from supervisor.model.errors import SpecError

# The characters of a member's id and incarnation. What separates both, "/", is none of them.
_WORD: Final = re.compile(r"[A-Za-z0-9._:@-]{1,128}")


class Member(msgspec.Struct, frozen=True, order=True):
    """One process of a fleet.

    Attributes:
        id: the name under which a process owns names. A process that restarts under the same id
            gets the same names.
        incarnation: distinguishes this process from earlier ones of the same id.
    """

    id: str
    incarnation: str

    def __post_init__(self) -> None:
        problems = [
            f"{what} must be 1 to 128 characters of A-Z a-z 0-9 . _ : @ -, not {word!r}"
            for what, word in (("id", self.id), ("incarnation", self.incarnation))
            if _WORD.fullmatch(word) is None
        ]
        if problems:
            raise SpecError("a member of a fleet", problems)

    def __str__(self) -> str:
        return f"{self.id}/{self.incarnation}"

    @classmethod
    def parse(cls, text: str) -> Member:
        """Return the member that ``str()`` wrote as ``text``."""
        name, _, incarnation = text.partition("/")
        return cls(name, incarnation)


class Gone(msgspec.Struct, frozen=True):
    """A member that was dropped because it is dead, silent, or not able to follow.

    Attributes:
        member: who it is.
        handled: the server's time, in milliseconds, up to which it had handled all that came, as
            of its last renewal; 0 where it never said so. What its successors do not deliver
            begins here.
    """

    member: Member
    handled: int


class FleetOptions(msgspec.Struct, frozen=True):
    """The fleet that a worker belongs to."""

    name: str
    ttl: float = 2.0  # seconds for which a member's lease holds


class FleetSettings(msgspec.Struct, frozen=True):
    """The times that all members of a fleet have in common.

    Attributes:
        ttl: seconds for which a lease holds after the server renewed it.
        drift: how much slower a member's clock may run than the server's, as a part of 1. A
            member trusts its lease for ``ttl * (1 - drift)``.
        prepare_within: seconds within which each member of an announced view has to say that it
            is prepared. Who does not is dropped.
        look_every: seconds between two looks at the presence of other members; a third of that
            where the first look found a member absent.
        may_kill: whether this member may use CLIENT LIST and CLIENT KILL. Where it may not, it
            suspects nobody, and a dead member is replaced when its lease has ended.
    """

    ttl: float = 2.0
    drift: float = 0.1
    prepare_within: float = 1.0
    look_every: float = 0.3
    may_kill: bool = True

    def __post_init__(self) -> None:
        seconds = (self.ttl, self.prepare_within, self.look_every)
        problems = [
            f"{what} must be a number of seconds above 0, not {value!r}"
            for what, value in zip(("ttl", "prepare_within", "look_every"), seconds, strict=True)
            if not (value > 0 and math.isfinite(value))
        ]
        if not 0 <= self.drift < 0.5:
            problems.append(f"drift must be at least 0 and below 0.5, not {self.drift!r}")
        if problems:
            raise SpecError("the settings of a fleet", problems)
