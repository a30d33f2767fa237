"""The fleet's record on the server as a value, for those who look at a fleet from outside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


class Lease(msgspec.Struct, frozen=True):
    """A member's lease.

    Attributes:
        member: whose it is.
        ends: when it ends, in milliseconds of the server's time.
        leaving: whether the member owns nothing in the next view.
    """

    member: str
    ends: int
    leaving: bool


class RecordedView(msgspec.Struct, frozen=True):
    """A view: its number, which is the server's time in milliseconds, and its members."""

    number: int = 0
    members: tuple[str, ...] = ()


class FleetRecord(msgspec.Struct, frozen=True):
    """What the server has: leases, the committed view, and the one that is announced."""

    leases: tuple[Lease, ...]
    committed: RecordedView
    announced: RecordedView

    @property
    def is_changing(self) -> bool:
        """Whether a view is announced that is not committed yet."""
        return self.announced.number != self.committed.number


def read_record(fields: Mapping[Any, Any]) -> FleetRecord:
    """Return the record out of its hash.

    Raises:
        ValueError: the hash is no record of a fleet.
    """
    texts = {_text(name): _text(value) for name, value in fields.items()}
    leases = []
    for name, value in texts.items():
        if name.startswith("member "):
            ends, _, leaving, incarnation = value.split(" ", 3)
            member = f"{name.removeprefix('member ')}/{incarnation}"
            leases.append(Lease(member, int(ends), leaving == "1"))
    committed = _view(texts.get("committed"))
    announced = _view(texts.get("announced"))
    leases.sort(key=lambda lease: lease.member)
    return FleetRecord(tuple(leases), committed, announced if announced.number else committed)


def _view(text: str | None) -> RecordedView:
    return RecordedView() if text is None else msgspec.json.decode(text, type=RecordedView)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
