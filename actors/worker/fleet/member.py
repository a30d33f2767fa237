"""One member of a fleet: facts and times in, decisions out.

A member is

- ``NEW`` until the control channel is subscribed for the first time;
- ``JOINING`` while it has no place in the record: it asks for one;
- ``JOINED`` while it renews its lease, which it does while any node is connected. Whether it owns
  names is a matter of views (holdings.py);
- ``LEAVING`` from :meth:`FleetMember.leave` until no view has it any longer;
- ``LEFT`` then, while it handles what came before: it keeps its lease, so that its successors are
  told if it dies;
- ``ENDED`` when that is done.

A joined member that the record does not know any longer is joining again, and goes on delivering
what the views in force give to it: the commit that takes a name from it stands in the stream of
messages itself. Where its lease is over by its own clock, it stops at once.

Of what the script says in its replies, only the lease counts at once. A view that a reply names and
the streams have not brought may be on its way; where the next reply finds the same difference, the
member has the script publish the views again.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from math import inf

from actors.worker.fleet.decisions import Call, CountSubscribers, Decision, Ended, Left, WaitForId
from actors.worker.fleet.holdings import Holdings
from actors.worker.fleet.lease import OwnLease
from actors.worker.fleet.members import FleetSettings, Member
from actors.worker.fleet.messages import Commit, Prepare, Reply, Verdict
from actors.worker.fleet.presence import Presence, looked_after
from actors.worker.fleet.script import Action
from actors.worker.fleet.views import NodeViews, View


class Phase(Enum):
    """Where a member stands; see the module."""

    NEW = "new"
    JOINING = "joining"
    JOINED = "joined"
    LEAVING = "leaving"
    LEFT = "left"
    ENDED = "ended"


_LEASE_CALLS: dict[Phase, Action] = {
    Phase.JOINING: "join",
    Phase.JOINED: "renew",
    Phase.LEAVING: "leave",
    Phase.LEFT: "leave",
}
#: The phases in which the member gives its names away, or has done so.
_GOES = (Phase.LEAVING, Phase.LEFT)


class FleetMember:
    """The decisions of the member ``me``.

    Each method but :meth:`delivers` and :meth:`wake_at` takes one fact, and returns what follows
    from it and from the time: for the caller to carry out in order.

    Attributes:
        phase: where the member stands.
    """

    def __init__(self, me: Member, names: frozenset[str], settings: FleetSettings) -> None:
        self.phase = Phase.NEW
        self._me = me
        self._settings = settings
        self._holdings = Holdings(me, names, may_kill=settings.may_kill)
        self._lease = OwnLease(settings)
        self._presence = Presence()
        self._look_due = inf
        self._live: int | None = None
        self._said_prepared: int | None = None
        self._doubts: frozenset[tuple[str, int | None]] = frozenset()
        self._other: Member | None = None
        self._has_joined = self._is_out = self._is_done = False

    # --- what the caller asks ----------------------------------------------------------------

    def delivers(self, name: str, node: str, now: float) -> bool:
        """Whether a message of ``name`` that ``node`` published is this member's to handle."""
        return not self._lease.is_over(now) and self._holdings.delivers(name, node)

    def owns(self, name: str, node: str) -> bool:
        """Whether ``name`` is this member's by the view in force at ``node``."""
        return self._holdings.delivers(name, node)

    @property
    def views(self) -> NodeViews:
        """The views in force."""
        return self._holdings.views

    @property
    def announced(self) -> View | None:
        """The view that the member prepares for; None where no change is under way."""
        return self._holdings.announced

    def lease_is_over(self, now: float) -> bool:
        """Whether the member may deliver nothing any longer, though it has not noticed yet."""
        return self._lease.ends != -inf and self._lease.is_over(now)

    def wake_at(self) -> float:
        """Return when :meth:`tick` is due."""
        ends = self._lease.ends
        return min(self._lease.due, self._look_due, inf if ends == -inf else ends)

    # --- facts: connections ------------------------------------------------------------------

    def connected(self, node: str, now: float) -> list[Decision]:
        """The control channel and the presence channel are subscribed on a new connection."""
        decisions = self._check_lease(now)
        if self.phase is Phase.ENDED:
            return decisions
        self._holdings.views.connected(node)
        if self.phase is Phase.NEW:
            self.phase = Phase.JOINING
            self._lease.due = self._look_due = now
        elif self.phase is Phase.JOINING:
            self._lease.at_once(now)
        if self._has_joined:  # Before, the first commit that comes is the one that counts.
            decisions.append(Call("look", "", now))
        return decisions + self.tick(now)

    def disconnected(self, node: str, now: float) -> list[Decision]:
        """The connection to ``node`` has ended: what it would have brought may be lost."""
        self._holdings.views.disconnected(node)
        return self._check_lease(now)

    # --- facts: the control channel ----------------------------------------------------------

    def told(self, node: str, message: Prepare | Commit, now: float) -> list[Decision]:
        """``message`` came on the control channel, on the connection to ``node``."""
        decisions = self._check_lease(now)
        views = self._holdings.views
        if self.phase is Phase.ENDED or not views.knows(node):
            return decisions
        if isinstance(message, Prepare):
            return decisions + self._holdings.announce(message.view)
        last = views.last(node)
        decisions += self._holdings.commit(node, message.view)
        if last is not None and self._me in last.members and self._me not in message.view.members:
            self._is_out = self.phase is Phase.LEAVING
            self._lease.at_once(now)
        return decisions + self._leave_if_out()

    def live(self, number: int, now: float) -> list[Decision]:
        """All names of the Subscribe decisions before ``ReportLive(number)`` are live."""
        self._live = number
        return self._check_lease(now) + self._say_prepared(now)

    # --- facts: calls ------------------------------------------------------------------------

    def replied(self, call: Call, reply: Reply, now: float) -> list[Decision]:
        """The script replied to ``call``."""
        decisions = self._check_lease(now)
        if self.phase is Phase.ENDED:
            return decisions
        if call.action == "prepared":
            self._said_prepared = int(call.value)
        elif call.action in _LEASE_CALLS.values():
            decisions += self._lease_reply(call, reply, now) + self._doubt(reply, now)
            decisions += self._say_prepared(now) + self._leave_if_out()
        return decisions + self.tick(now)

    def unanswered(self, call: Call, now: float) -> list[Decision]:
        """No reply to ``call`` came in time, or an error: whether it ran is not known."""
        if self.phase is not Phase.ENDED and call.action in _LEASE_CALLS.values():
            self._lease.failed(now)
        return self.tick(now)

    def counted(self, subscribers: Mapping[Member, int] | None, now: float) -> list[Decision]:
        """So many are subscribed to the presence channels; None where the server did not say."""
        decisions = self._check_lease(now)
        if self.phase is Phase.ENDED:
            return decisions
        if subscribers is None:
            self._presence.forget()
            suspects = []
        else:
            suspects = self._presence.looked(subscribers)
        every = self._settings.look_every
        self._look_due = now + (every / 3 if self._presence.in_doubt else every)
        return [*decisions, *(Call("suspect", str(suspect), now) for suspect in suspects)]

    # --- facts: time and the end -------------------------------------------------------------

    def tick(self, now: float) -> list[Decision]:
        """Time has passed: do what is due."""
        decisions = self._check_lease(now)
        if now >= self._lease.due and self.phase in _LEASE_CALLS:
            if self.phase not in _GOES and not self._holdings.views:
                self._lease.failed(now)  # Deaf: others shall own what it would own.
            else:
                self._lease.called()
                value = "done" if self._is_done else ""
                decisions.append(Call(_LEASE_CALLS[self.phase], value, now))
        if now >= self._look_due:
            decisions += self._look(now)
        return decisions

    def leave(self, now: float) -> list[Decision]:
        """The member shall own nothing, and end."""
        if self.phase is Phase.NEW:
            self.phase = Phase.ENDED
            return [Ended()]
        if self.phase not in (*_GOES, Phase.ENDED):
            self.phase = Phase.LEAVING
            self._lease.at_once(now)
        return self.tick(now)

    def worked_off(self, now: float) -> list[Decision]:
        """All that came before the member left is handled."""
        if self.phase is Phase.LEFT:
            self._is_done = True
            self._lease.at_once(now)
        return self.tick(now)

    # --- decisions ---------------------------------------------------------------------------

    def _check_lease(self, now: float) -> list[Decision]:
        """Stop delivering where the lease is over."""
        if self._lease.ends == -inf or not self._lease.is_over(now):
            return []
        self._lease.lost()
        self._presence.forget()
        decisions = self._holdings.stop()
        if self.phase in _GOES:
            return decisions + self._end()
        self.phase = Phase.JOINING
        self._lease.at_once(now)
        return decisions

    def _lease_reply(self, call: Call, reply: Reply, now: float) -> list[Decision]:
        if reply.verdict is Verdict.TAKEN:
            self._lease.failed(now)
            other, known = Member(self._me.id, reply.by), self._other
            self._other = other
            return [] if other == known else [WaitForId(other)]
        self._other = None
        if reply.verdict is Verdict.OK:
            self._lease.granted(call.sent, now)
            self._has_joined = True
            if self.phase is Phase.JOINING:
                self.phase = Phase.JOINED
            self._is_out = self._is_out or self._has_left(call, reply)
        elif self._is_done:
            return self._end()
        else:
            self._lease.failed(now)
            self._is_out = self.phase in _GOES
            if self.phase is Phase.JOINED:
                self.phase = Phase.JOINING
        is_new = self._is_done and call.value != "done"
        if is_new or (self.phase is not Phase.JOINED and call.action != _LEASE_CALLS[self.phase]):
            self._lease.at_once(now)
        return []

    def _has_left(self, call: Call, reply: Reply) -> bool:
        """Whether the record lets a member go that is in no view, and the streams say the same."""
        numbers = set(self._holdings.views.numbers().values())
        is_settled = reply.committed == reply.announced and numbers <= {reply.committed}
        return call.action == "leave" and is_settled

    def _doubt(self, reply: Reply, now: float) -> list[Decision]:
        """Compare the views that the record and the streams have."""
        announced = self._holdings.announced
        number = None if announced is None else announced.number
        numbers = self._holdings.views.numbers()
        doubts = {(node, at) for node, at in numbers.items() if (at or 0) != reply.committed}
        if reply.announced not in (reply.committed, number):
            doubts.add(("announced", number))
        again = doubts & self._doubts
        self._doubts = frozenset() if again else frozenset(doubts)
        if again:
            return [Call("look", "", now)]
        if doubts and self.phase is not Phase.JOINING:
            self._lease.hasten(now)
        return []

    def _say_prepared(self, now: float) -> list[Decision]:
        """Say so once all names are live, and the lease holds: a commit may follow at once."""
        if self._lease.is_over(now):
            return []
        announced = self._holdings.announced
        if announced is None or not announced.number == self._live != self._said_prepared:
            return []
        return [Call("prepared", str(announced.number), now)]

    def _look(self, now: float) -> list[Decision]:
        """Look whether the members that this one looks after are connected."""
        self._look_due = now + self._settings.look_every
        if not self._settings.may_kill or self.phase in (Phase.LEFT, Phase.ENDED):
            self._look_due = inf
            return []
        views = [*self._holdings.views.remembered(), self._holdings.announced]
        members = {member for view in views if view is not None for member in view.members}
        looked = set(looked_after(self._me, members))
        if self._other is not None:
            looked.add(self._other)
        if not looked:
            return []
        self._look_due = inf
        return [CountSubscribers(tuple(sorted(looked)))]

    def _leave_if_out(self) -> list[Decision]:
        settled = self._holdings.views.settled_without(self._me)
        if not (self.phase is Phase.LEAVING and self._is_out and settled):
            return []
        self.phase = Phase.LEFT
        return [Left()]

    def _end(self) -> list[Decision]:
        self.phase = Phase.ENDED
        self._lease.due = self._look_due = inf
        self._lease.lost()
        return [Ended()]
