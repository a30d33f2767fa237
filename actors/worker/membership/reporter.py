"""The actor that tells the other members what this one does: now and then, and when asked."""

from __future__ import annotations

import time
from enum import Enum
from typing import Final

from actors.runtime.actor import Actor
from actors.worker.fleet.reports import Ask, Report, encode_request
from actors.worker.membership.membership import Membership
from actors.worker.membership.server import UNANSWERED, FleetServer
from actors.worker.membership.work import Work
from supervisor.log import get_logger

log = get_logger("mailslot.fleet")

#: Seconds between two reports of a member, and for each member between reports of any of them.
_EVERY: Final = 5.0
_EVERY_OF_ANY: Final = 0.25
#: Seconds between two answers to those who ask.
_ASKED: Final = 0.2


class ReportTick(Enum):
    """The actor's timer."""

    REPORT = "report"


class Reporter(Actor[Ask | ReportTick]):
    """Publishes reports on the control channel.

    Args:
        membership: the member.
        server: publishes.
        work: what the worker does.
    """

    resilient = True

    def __init__(self, membership: Membership, server: FleetServer, work: Work) -> None:
        self._membership = membership
        self._server = server
        self._work = work
        # When it counted last, and how many messages had come then.
        self._counted = (membership.now(), work.received())
        self._answered = self._counted[0]

    async def on_start(self) -> None:
        """Begin to report."""
        self.context.timers.after(_EVERY, ReportTick.REPORT)

    async def receive(self, message: Ask | ReportTick) -> None:
        """Report."""
        membership = self._membership
        if message is ReportTick.REPORT:
            view = membership.view
            members = 1 if view is None else len(view.members)
            pause = max(_EVERY, members * _EVERY_OF_ANY)
            self.context.timers.after(pause, ReportTick.REPORT)
            await self._publish(self._report())
        elif membership.now() - self._answered >= _ASKED:
            self._answered = membership.now()
            await self._publish(self._report(membership.shown_names()))

    def _report(self, owns: tuple[str, ...] | None = None) -> Report:
        membership, (at, before) = self._membership, self._counted
        now, received = membership.now(), self._work.received()
        self._counted = now, received
        view = membership.view
        return Report(
            str(membership.me),
            time.time(),
            0 if view is None or membership.me not in view.members else view.number,
            len(membership.shown_names()),
            len(membership.names),
            (received - before) / (now - at) if now > at else 0.0,
            self._work.waiting(),
            owns,
        )

    async def _publish(self, report: Report) -> None:
        try:
            await self._server.publish(encode_request(report))
        except UNANSWERED as error:
            log.debug("fleet_not_reported", error=repr(error))
