"""What members say of themselves on the control channel, and what operators ask of them (JSON)."""

from __future__ import annotations

import msgspec


class Report(msgspec.Struct, frozen=True, tag="report", omit_defaults=True):
    """What a member does.

    Attributes:
        member: who says so.
        at: when, in Unix seconds.
        view: the number of the view that it is in; 0: none.
        owned: how many names it owns.
        names: how many names the members own together, as far as this one knows.
        rate: how many messages a second it receives.
        waiting: how many messages wait in its mailboxes.
        owns: the names that it owns; None: nobody asked.
    """

    member: str
    at: float
    view: int
    owned: int
    names: int
    rate: float
    waiting: int
    owns: tuple[str, ...] | None = None


class Ask(msgspec.Struct, frozen=True, tag="ask"):
    """All members shall report now, with the names that they own."""


class Drain(msgspec.Struct, frozen=True, tag="drain"):
    """A member shall leave, and its process go on without a name.

    Attributes:
        member: which one.
    """

    member: str


Request = Report | Ask | Drain

_decoder = msgspec.json.Decoder(Request)
_encode = msgspec.json.Encoder().encode


def encode_request(request: Request) -> bytes:
    """Return ``request`` as it is published on the control channel."""
    return _encode(request)


def decode_request(payload: bytes | str) -> Request | None:
    """Return what was published on the control channel; None: it is none of these."""
    try:
        return _decoder.decode(payload)
    except (msgspec.MsgspecError, UnicodeError):
        return None
