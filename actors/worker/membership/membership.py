"""One member of a fleet at work: facts and times to its decisions, and what must follow at once.

Facts come from the callbacks of connections. What a decision says about owners takes effect within
the callback: the next message on that connection is handled by that. All else is carried out in
order by an actor (carry_out.py).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from math import inf
from typing import Any, Final

import msgspec

from actors.redis.exceptions import ConnectionError, RedisError  # noqa: A004
from actors.worker.fleet.decisions import Call, Decision, Gained, Lost, StopDelivering
from actors.worker.fleet.member import FleetMember, Phase
from actors.worker.fleet.members import FleetSettings, Member
from actors.worker.fleet.messages import Commit, FleetFormatError, Reply, decode_message
from actors.worker.fleet.owners import owned, owner
from actors.worker.fleet.reports import Ask, Drain, Report, decode_request
from actors.worker.fleet.views import View
from actors.worker.membership.ownership import Ownership
from actors.worker.membership.sources import Source, to_wire
from supervisor.log import Throttle, get_logger

log = get_logger("mailslot.fleet")

#: The clock of leases: it goes on while the machine sleeps.
_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_LEASE_OVER: Final = "the lease of this fleet's member is over"
_LEFT_OVER: Final = "which had not handled all that came before it handed the channel over"
_NO_VIEW: Final = "the fleet had no view: its record was lost, or was changing"
#: Seconds between two lines of the log about what is no message of the fleet.
_QUIET: Final = 10.0


class HeldChanged(msgspec.Struct, frozen=True):
    """The member has these names at all nodes from now on, and those no longer at all of them."""

    gained: frozenset[str]
    lost: frozenset[str]


class Membership:
    """This process as a member.

    Attributes:
        fleet: the fleet's name.
        me: the member.
        member: its decisions.
        ownership: what it owns.
        sources: where the names come from.
        tell: takes what is to be carried out, in order.
        asked: called when somebody asks for a report.
        joined: done when the script has answered for the first time; fails where it refused.
        held: the names that the member owns at all nodes.
        handled_at: the time (Unix seconds) until which all that came is handled, as the server has
            it; None: it has been told nothing.
        left: set when the member owns nothing any longer.
        ended: set when it has handled all that came before, and the record knows it no longer.
        drained: whether somebody asked this member to leave while its process goes on.
        reports: what members said of themselves last.

    Args:
        fleet: the fleet's name.
        me: the member.
        names: all names that the members own together.
        settings: the fleet's.
        loop: the event loop.
    """

    def __init__(
        self,
        fleet: str,
        me: Member,
        names: frozenset[str],
        settings: FleetSettings,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.fleet = fleet
        self.me = me
        self.names = names
        self.settings = settings
        self.member = FleetMember(me, names, settings)
        self.ownership = Ownership()
        self.sources: list[Source] = []
        self.tell: Callable[[Any], None] = lambda _: None
        self.asked: Callable[[Ask], None] = lambda _: None
        self.joined: asyncio.Future[None] = loop.create_future()
        self.held: frozenset[str] = frozenset()
        self.handled_at: float | None = None
        self.left = asyncio.Event()
        self.ended = asyncio.Event()
        self.drained = False
        self.reports: dict[str, Report] = {}
        self._loop = loop
        # When each node was connected last, in Unix seconds, and when its connection ended, where
        # the view in force there is not known again.
        self._opened_at: dict[str, float] = {}
        self._closed_at: dict[str, float] = {}
        self._alarm: asyncio.TimerHandle | None = None
        # The views that the log has seen lately, by number: each node brings them.
        self._shown: deque[int] = deque(maxlen=16)
        self._throttle = Throttle(loop.time, _QUIET)

    # -- questions ---------------------------------------------------------------------------------

    def owns(self, name: str, node: str) -> bool:
        """Whether the member owns ``name`` at ``node``."""
        return self.member.owns(name, node)

    def owns_anywhere(self, name: str) -> bool:
        """Whether the member owns ``name`` at a node, as far as that node has said."""
        return self.ownership.anywhere(name)

    def has(self, name: str) -> bool:
        """Whether ``name``, declared or not, is this member's by the views of all nodes."""
        if self.member.lease_is_over(self.now()):
            return False
        views = [self.member.views.at(node) for node in self.member.views.numbers()]
        known = [view for view in views if view is not None]
        return bool(known) and all(self._is_mine(name, view) for view in known)

    def _is_mine(self, name: str, view: View) -> bool:
        return self.me in view.members and owner(name, view.ids) == self.me.id

    def is_undecided(self, node: str) -> bool:
        """Whether it is unknown what the member owns at ``node``, and will be known soon."""
        views = self.member.views
        if self.member.phase is Phase.ENDED:
            return False
        unknown = views.at(node) is None and any(True for _ in views.remembered())
        return unknown and self.member.announced is None

    def announced_names(self) -> frozenset[str]:
        """Return what the member will own by the view that is announced, or owns where none is."""
        view = self.member.announced
        if view is None:
            return self.held
        if self.me not in view.members:
            return frozenset()
        return owned(self.names, view.ids, self.me.id)

    @property
    def view(self) -> View | None:
        """The latest view that is in force at a node."""
        views = (self.member.views.at(node) for node in self.member.views.numbers())
        known = [view for view in views if view is not None]
        return max(known, key=lambda view: view.number, default=None)

    @property
    def is_in_view(self) -> bool:
        """Whether the member is in the view in force at every connected node, with a lease."""
        views = [self.member.views.at(node) for node in self.member.views.numbers()]
        if not views or self.member.lease_is_over(self.now()):
            return False
        return all(view is not None and self.me in view.members for view in views)

    @staticmethod
    def now() -> float:
        """Return the time by the clock of leases."""
        return time.clock_gettime(_CLOCK)

    # -- facts -------------------------------------------------------------------------------------

    def opened(self, node: str) -> None:
        """The control channel is subscribed on a new connection."""
        self._opened_at[node] = time.time()
        self._follow(self.member.connected(node, self.now()))

    def closed(self, node: str) -> None:
        """The connection has ended."""
        self._closed_at.setdefault(node, time.time())
        self._follow(self.member.disconnected(node, self.now()))

    def told(self, node: str, payload: bytes | str) -> None:
        """``payload`` came on the control channel."""
        try:
            message = decode_message(payload)
        except FleetFormatError as error:
            self._take_request(payload, error)
            return
        was_known = self.member.views.at(node) is not None
        before = set(self.ownership.at(node))
        self._follow(self.member.told(node, message, self.now()))
        if not was_known and self.member.views.at(node) is not None:
            self._known_again(node, before & self.ownership.at(node))
        if isinstance(message, Commit):
            self._tell_unhandled(message.view)
            self._show(message.view)

    def _known_again(self, node: str, kept: set[str]) -> None:
        """``node`` has said that the member still owns ``kept``: what came before was dropped."""
        self._closed_at.pop(node, None)
        self._owners_changed(kept)
        for source in self.sources:
            source.missed(kept, self._opened_at.get(node, time.time()), _NO_VIEW)

    def _tell_unhandled(self, view: View) -> None:
        """Tell what members that are gone had handed over to this one, and not handled before."""
        for gone in view.gone:
            never = time.time() - self.settings.ttl
            since, handed = self.ownership.unhandled(gone, view.ids, self.me.id, never)
            for source in self.sources:
                source.tell_gaps(handed, since, f"{gone.member} is gone, {_LEFT_OVER}")

    def _take_request(self, payload: bytes | str, error: FleetFormatError) -> None:
        match decode_request(payload):
            case Report() as report:
                self.reports[report.member] = report
                if len(self.reports) > 2 * len(self._known_members()) + 1:
                    known = self._known_members()
                    self.reports = {one: self.reports[one] for one in self.reports.keys() & known}
            case Ask() as ask:
                self.asked(ask)
            case Drain(member) as drain:
                if member == str(self.me):
                    self.drained = True
                    self.tell(drain)
            case None:
                if (suppressed := self._throttle.passes("format")) is not None:
                    log.error("fleet_not_understood", error=str(error), suppressed=suppressed)

    def _known_members(self) -> set[str]:
        return {str(member) for view in self.member.views.remembered() for member in view.members}

    def refused(self, error: RedisError) -> None:
        """A server refused to subscribe to the fleet's channels."""
        log.error("fleet_channels_refused", fleet=self.fleet, error=str(error))
        if not self.joined.done():
            self.joined.set_exception(error)

    def check(self) -> None:
        """Raise ConnectionError where the member may not deliver any longer."""
        now = self.now()
        if self.member.lease_is_over(now):
            self._follow(self.member.tick(now))
            raise ConnectionError(_LEASE_OVER)

    def woke(self) -> None:
        """The process goes on after it was stopped. Called between any two steps of the program."""
        if self.member.lease_is_over(self.now()):
            for source in self.sources:
                source.discard()

    def tick(self) -> None:
        """Time has passed."""
        self._follow(self.member.tick(self.now()))

    def replied(self, call: Call, reply: Reply) -> None:
        """The script replied."""
        if not self.joined.done():
            self.joined.set_result(None)
        self._follow(self.member.replied(call, reply, self.now()))

    def unanswered(self, call: Call) -> None:
        """The script did not reply."""
        self._follow(self.member.unanswered(call, self.now()))

    def counted(self, subscribers: dict[Member, int] | None) -> None:
        """So many are subscribed to the presence channels of members; None: nobody knows."""
        self._follow(self.member.counted(subscribers, self.now()))

    def live(self, number: int) -> None:
        """All names that the member will own by view ``number`` are live."""
        self._follow(self.member.live(number, self.now()))

    def leave(self) -> None:
        """The member shall own nothing, and end."""
        self._follow(self.member.leave(self.now()))

    def worked_off(self) -> None:
        """All that came before the member left is handled."""
        self._follow(self.member.worked_off(self.now()))

    def close(self) -> None:
        """Nothing follows any more."""
        self.tell = lambda _: None
        if self._alarm is not None:
            self._alarm.cancel()
        if not self.joined.cancel() and not self.joined.cancelled():
            self.joined.exception()  # asyncio logs errors that nobody has looked at

    # -- what follows ------------------------------------------------------------------------------

    def _follow(self, decisions: Iterable[Decision]) -> None:
        for decision in decisions:
            match decision:
                case Gained():
                    self._gained(decision)
                case Lost(node, names):
                    self._lost(node, names)
                case StopDelivering():
                    self._stop()
                case _:
                    self.tell(decision)
        self._note_held()
        self._set_alarm()

    def _gained(self, gained: Gained) -> None:
        now, interrupted = time.time(), self._closed_at.get(gained.node)
        takeovers = self.ownership.gained(gained, now, now - self.settings.ttl, interrupted)
        for name, takeover in takeovers.items():
            for source in self.sources:
                source.take_over(name, takeover)
        self._owners_changed(gained.names)

    def _lost(self, node: str, names: frozenset[str]) -> None:
        gone = self.ownership.lost(node, names)
        self._owners_changed(names)
        view = self.member.views.at(node)
        was_dropped = view is not None and self.me in (each.member for each in view.gone)
        for source in self.sources:
            source.give_up(gone)
            if was_dropped:
                source.drop_recovered(gone)

    def _stop(self) -> None:
        self._hold(frozenset())
        self.ownership.stop(self.handled_at or time.time() - self.settings.ttl)
        if self.member.phase is not Phase.ENDED:
            log.error(
                "fleet_lease_over",
                fleet=self.fleet,
                member=str(self.me),
                consequence="nothing that waits is handled; the member joins again",
                cure="the process, the machine or the way to the server stood still for too long;"
                " a longer --fleet-ttl bears more",
            )
        for source in self.sources:
            source.stop(_LEASE_OVER)

    def _owners_changed(self, names: Iterable[str]) -> None:
        some = list(names)
        for source in self.sources:
            source.owners_changed(some)

    def _note_held(self) -> None:
        """Have it told which names are held at all nodes, and which no longer."""
        nodes = [node for node, at in self.member.views.numbers().items() if at is not None]
        if nodes:  # else nobody knows better than before
            self._hold(self.ownership.held(nodes))

    def _hold(self, held: frozenset[str]) -> None:
        if held != self.held:
            change = HeldChanged(held - self.held, self.held - held)
            self.held = held
            self.tell(change)

    def _show(self, view: View) -> None:
        if view.number in self._shown:
            return
        self._shown.append(view.number)
        self.tell(HeldChanged(frozenset(), frozenset()))  # a change may have been called off
        log.info(
            "fleet_view",
            fleet=self.fleet,
            view=view.number,
            members=len(view.members),
            gone=[str(gone.member) for gone in view.gone],
            owned=len(self.ownership.all()),
        )

    def _set_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        due = self.member.wake_at()
        if due != inf and self.member.phase is not Phase.ENDED:
            self._alarm = self._loop.call_later(max(0.0, due - self.now()), self.tick)

    def shown_names(self) -> tuple[str, ...]:
        """Return the names that the member owns, in order, as text."""
        found = (to_wire(name).decode(errors="backslashreplace") for name in self.ownership.all())
        return tuple(sorted(found))
