"""What the fleet's script publishes on the control channel, and what it replies (JSON)."""

from __future__ import annotations

from enum import Enum

import msgspec

from actors.worker.fleet.members import Gone, Member
from actors.worker.fleet.views import View
from supervisor.model.errors import SpecError


class FleetFormatError(ValueError):
    """What came on the control channel, or as a reply, was not written by the fleet's script.

    Another program publishes on the control channel, or members of another version of mailslot
    are in the fleet.
    """


class Prepare(msgspec.Struct, frozen=True):
    """A view is announced: its members subscribe to what they will own."""

    view: View


class Commit(msgspec.Struct, frozen=True):
    """The owners of ``view`` own all that its node publishes from here on.

    The commit of a view that is in force already changes nothing.
    """

    view: View


class Verdict(Enum):
    """What the script says to the member that calls it."""

    #: The call is carried out.
    OK = "ok"
    #: The record has no lease of this member: it was dropped, or the record was lost.
    UNKNOWN = "unknown"
    #: Another incarnation of the same id has a lease.
    TAKEN = "taken"
    #: The member has left: no view needs it.
    LEFT = "left"


class Reply(msgspec.Struct, frozen=True):
    """The script's reply.

    Attributes:
        verdict: what became of the call.
        now: the server's time in milliseconds.
        committed: the number of the view that is committed.
        announced: the number of the view that is announced; the same where no change is under way.
        by: the incarnation that has the id, where it is taken.
    """

    verdict: Verdict
    now: int
    committed: int
    announced: int
    by: str = ""


class _WireGone(msgspec.Struct, forbid_unknown_fields=True):
    member: str
    handled: int


class _WireView(msgspec.Struct, forbid_unknown_fields=True):
    number: int
    members: tuple[str, ...]
    gone: tuple[_WireGone, ...]
    fresh: bool = False

    def view(self) -> View:
        gone = tuple(Gone(Member.parse(each.member), each.handled) for each in self.gone)
        return View(self.number, tuple(map(Member.parse, self.members)), gone, self.fresh)


class _WireMessage(msgspec.Struct, forbid_unknown_fields=True):
    type: str
    view: _WireView


_KINDS: dict[str, type[Prepare | Commit]] = {"prepare": Prepare, "commit": Commit}
_messages = msgspec.json.Decoder(_WireMessage)
_replies = msgspec.json.Decoder(Reply)


def decode_message(payload: bytes | str) -> Prepare | Commit:
    """Return the message of the control channel.

    Raises:
        FleetFormatError: the script did not write this.
    """
    try:
        message = _messages.decode(payload)
        return _KINDS[message.type](message.view.view())
    except (msgspec.MsgspecError, SpecError, KeyError, UnicodeError) as error:
        raise FleetFormatError(f"no message of a fleet: {payload[:200]!r} ({error})") from error


def decode_reply(payload: bytes | str) -> Reply:
    """Return the script's reply.

    Raises:
        FleetFormatError: the script did not write this.
    """
    try:
        return _replies.decode(payload)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise FleetFormatError(f"no reply of a fleet: {payload[:200]!r} ({error})") from error
