"""The actor that carries out what a member decides, in order; what takes long goes on beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import Any, Final

from actors.redis.error_meaning import is_no
from actors.runtime.actor import Actor
from actors.runtime.ref import ActorRef
from actors.worker.fleet.decisions import (
    Call,
    CountSubscribers,
    Ended,
    Fence,
    Left,
    ReportLive,
    Subscribe,
    Unsubscribe,
    WaitForId,
)
from actors.worker.fleet.reports import Drain
from actors.worker.membership.holder import StopAll, StopBefore
from actors.worker.membership.membership import HeldChanged, Membership
from actors.worker.membership.server import UNANSWERED, FleetServer
from actors.worker.membership.work import Work
from supervisor import ExitReason
from supervisor.log import Throttle, get_logger

log = get_logger("mailslot.fleet")

#: Seconds between two looks whether all names are live: at first, and at most.
_FIRST_LOOK: Final = 0.003
_LONGEST_LOOK: Final = 0.1
#: Seconds between two lines of the log about a server that does not answer.
_QUIET: Final = 10.0
#: Seconds by which what was read is surely behind what the server has sent.
_UNREAD: Final = 0.05


class CarryOut(Actor[Any]):
    """Carries out decisions.

    Args:
        membership: whose decisions they are.
        server: answers calls.
        holder: starts and stops what follows the names that are held.
        work: what the worker does.
        releasing: where the hand-overs are noted that are not over yet.
    """

    resilient = True

    def __init__(
        self,
        membership: Membership,
        server: FleetServer,
        holder: ActorRef[Any],
        work: Work,
        releasing: set[asyncio.Task[None]],
    ) -> None:
        self._membership = membership
        self._server = server
        self._holder = holder
        self._work = work
        self._releasing = releasing
        self._tasks: set[asyncio.Task[None]] = set()
        self._reporting: asyncio.Task[None] | None = None
        # The names that the member is subscribed to.
        self._names: set[str] = set()
        self._throttle = Throttle(membership.now, _QUIET)

    async def receive(self, message: Any) -> None:
        """Carry out one decision, or one request."""
        if self._begins(message):
            return
        membership = self._membership
        match message:
            case Fence(members):
                await self._server.fence(members)
            case Subscribe(names):
                self._names |= names
                for source in membership.sources:
                    await source.want(names, membership.ownership.takeover_of)
            case Unsubscribe(names):
                self._names -= names
                for source in membership.sources:
                    self._release(source.release(names))
            case HeldChanged():
                self._holder.tell(message)
            case WaitForId(other):
                log.warning(
                    "fleet_id_taken",
                    member=str(membership.me),
                    by=str(other),
                    action="this member joins when the other one is gone",
                )
            case Ended():
                membership.left.set()
                membership.ended.set()
            case Drain():
                log.warning("fleet_drained", member=membership.me, action="it owns nothing more")
                await self._holder.ask(StopAll(), timeout=None)
                membership.leave()

    async def on_stop(self, reason: ExitReason) -> None:
        """End what goes on beside."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begins(self, message: Any) -> bool:
        """Begin what goes on beside; return whether ``message`` is of that kind."""
        match message:
            case Call():
                self._begin(self._call(message))
            case CountSubscribers():
                self._begin(self._count(message))
            case Left():
                self._membership.left.set()
                self._begin(self._work_off())
            case ReportLive(number):
                if self._reporting is not None:
                    self._reporting.cancel()
                self._reporting = self._begin(self._report_live(number))
            case _:
                return False
        return True

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self.context.system.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return task

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self.context.crash(error)

    # -- beside the other decisions ----------------------------------------------------------------

    async def _call(self, call: Call) -> None:
        membership = self._membership
        handled_until = self._work.handled_until() - _UNREAD
        try:
            reply = await self._server.call(call, handled_until)
        except UNANSWERED as error:
            is_final = is_no(error)
            if is_final and not membership.joined.done():
                membership.joined.set_exception(error)
            self._unanswered(call.action, error)
            membership.unanswered(call)
        except asyncio.CancelledError:
            membership.unanswered(call)
            raise
        else:
            if call.action in ("renew", "leave"):
                membership.handled_at = handled_until
            membership.replied(call, reply)

    async def _count(self, count: CountSubscribers) -> None:
        subscribers = None
        try:
            subscribers = await self._server.count_subscribers(count.members)
        except UNANSWERED as error:
            self._unanswered("count subscribers", error)
        finally:
            self._membership.counted(subscribers)

    def _unanswered(self, what: str, error: BaseException) -> None:
        suppressed = self._throttle.passes(what)
        if suppressed is not None:
            log.warning("fleet_call_failed", call=what, error=repr(error), suppressed=suppressed)

    async def _report_live(self, number: int) -> None:
        """Report ``number`` once all names are live, and what the member gives away is done.

        The actors that leave have stopped by then, and histories of the channels that leave are
        read, if that takes less than half of the time in which the member has to be prepared.
        """
        membership, pause = self._membership, _FIRST_LOOK
        within = membership.settings.prepare_within / 2
        patient_until = membership.now() + within
        try:
            await self._holder.ask(StopBefore(number), timeout=within)
        except TimeoutError:
            log.warning(
                "fleet_actor_stops_slowly",
                view=number,
                consequence="for a moment another member may run it, too",
            )
        while not self._are_live() or (self._gives_unread() and membership.now() < patient_until):
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_LOOK)
        membership.live(number)

    def _are_live(self) -> bool:
        """Whether all names that the member has or will have are live."""
        sources = self._membership.sources
        return all(source.are_live(self._names & source.names) for source in sources)

    def _gives_unread(self) -> bool:
        """Whether a channel is being read that the member has, and will not have."""
        leaving = self._names - self._membership.announced_names()
        return any(source.are_behind(leaving) for source in self._membership.sources)

    async def _work_off(self) -> None:
        """Report when all that came before the member left is handled."""
        if self._releasing:
            await asyncio.wait(self._releasing)
        self._membership.worked_off()

    def _release(self, released: Awaitable[None]) -> None:
        async def wait() -> None:
            await released

        task = self.context.system.loop.create_task(wait())
        self._releasing.add(task)
        task.add_done_callback(self._releasing.discard)
