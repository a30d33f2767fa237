"""What a member decides: for the caller to carry out, in order.

A decision that takes time is over before the next one begins; a call of the script need not be
answered by then.
"""

from __future__ import annotations

import msgspec

from actors.worker.fleet.members import Gone, Member
from actors.worker.fleet.script import Action


class Call(msgspec.Struct, frozen=True):
    """Run the fleet's script. Report its reply, or that none came in time.

    Calls go to the server, and their replies come back, in order.

    Attributes:
        action: what to call for.
        value: the script's fourth argument. Where it is empty, for ``renew`` and ``leave``, the
            caller puts in the server's time, in milliseconds, up to which all that came is handled.
        sent: when the call was decided.
    """

    action: Action
    value: str
    sent: float


class Fence(msgspec.Struct, frozen=True):
    """End all connections of ``members`` at the servers (CLIENT KILL)."""

    members: tuple[Member, ...]


class Subscribe(msgspec.Struct, frozen=True):
    """Subscribe to ``names``. A message is handled only where the member says that it delivers."""

    names: frozenset[str]


class Unsubscribe(msgspec.Struct, frozen=True):
    """Unsubscribe from ``names``. What is in their mailboxes already is still handled."""

    names: frozenset[str]


class ReportLive(msgspec.Struct, frozen=True):
    """Report when all names of the Subscribe decisions so far are live, for view ``number``."""

    number: int


class Gained(msgspec.Struct, frozen=True):
    """The member owns ``names`` at ``node`` from this place of the node's stream on.

    Attributes:
        node: where.
        names: what it owns in addition.
        gone: the owners before, where they were dropped. What they had not handled is a gap.
        fresh: there were no owners before. If there were, and none is gone, they handle what came
            before this place.
    """

    node: str
    names: frozenset[str]
    gone: tuple[Gone, ...]
    fresh: bool = False


class Lost(msgspec.Struct, frozen=True):
    """Other members own ``names`` at ``node`` from this place of the node's stream on."""

    node: str
    names: frozenset[str]


class CountSubscribers(msgspec.Struct, frozen=True):
    """Ask how many are subscribed to the presence channels of ``members`` (PUBSUB NUMSUB)."""

    members: tuple[Member, ...]


class StopDelivering(msgspec.Struct, frozen=True):
    """The lease may be over, so that other members own the names.

    Handle nothing that waits, close the connections that consume, and connect anew: what is in
    their buffers is no longer this member's.
    """


class WaitForId(msgspec.Struct, frozen=True):
    """Another process has the member's id: this one joins when the other's lease has ended."""

    other: Member


class Left(msgspec.Struct, frozen=True):
    """The member owns nothing any longer. Report when all that came before is handled."""


class Ended(msgspec.Struct, frozen=True):
    """The member owns nothing, and the record knows it no longer."""


Decision = (
    Call
    | Fence
    | Subscribe
    | Unsubscribe
    | ReportLive
    | Gained
    | Lost
    | CountSubscribers
    | StopDelivering
    | WaitForId
    | Left
    | Ended
)
