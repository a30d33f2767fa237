"""What handlers have not handled yet, and since when: looked at a few times a second.

Handlers may be many, and most have nothing to do: those cost a look at their mailbox, and no more.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from actors.runtime.overflow import Overflow
from actors.runtime.system import ActorSystem
from actors.worker.ages import AgeMeter, Moment
from actors.worker.probe import PROBE_PREFIX
from supervisor import Status

if TYPE_CHECKING:
    from actors.runtime.cell import Cell

__all__ = ["Backlog"]

_HANDLERS: Final = "/handlers/"
_LANE: Final = "lane-"
#: Messages that an actor may have handled before it counts them.
_LONGEST_TURN: Final = 64
_AT_WORK: Final = (Status.RUNNING, Status.STOPPING)


class Backlog:
    """The messages that the handlers of one system have waiting, or in hand.

    Attributes:
        ages: how long the oldest message has waited, of those handlers that have one.
        handled_until: all that came before then was handled, on the monotonic clock.
    """

    def __init__(self, system: ActorSystem) -> None:
        now = time.monotonic()
        self.ages: dict[str, float] = {}
        self.handled_until = now
        self._cells = system.registry._cells
        self._last = Moment(now, now)
        self._meters: dict[str, AgeMeter] = {}
        # By when all that has come was handed on to lanes, of those handlers that have it waiting.
        self._handed: dict[str, Moment] = {}
        self._closed = False

    @property
    def oldest(self) -> float:
        """Seconds for which the oldest message has waited."""
        return max(self.ages.values(), default=0.0)

    def close(self) -> None:
        """Take note that what is left now will not be handled, though it may be gone."""
        self._closed = True

    def look(self) -> None:
        """Look at all mailboxes."""
        if self._closed:
            return
        last, now = self._last, Moment(time.monotonic(), self._last.at)
        handlers, lanes = self._at_work()
        meters: dict[str, AgeMeter] = {}
        self.ages, since = {}, [now]
        handed: dict[str, Moment] = {}
        for path, cell in handlers:
            handed[path] = oldest = self._note(meters, path, cell, last, now, now)
            since.append(oldest)
        for path, cell in lanes:
            # What is in a lane came to its handler before it was handed on.
            first = self._handed.get(path, last)
            since.append(self._note(meters, path, cell, first, handed.get(path, now), now))
        self._meters, self._handed, self._last = meters, handed, now
        self.handled_until = max(self.handled_until, min(since).before)

    def _at_work(self) -> tuple[list[tuple[str, Cell]], list[tuple[str, Cell]]]:
        """Return the handlers that have something to do, and the lanes, by the handler's path."""
        handlers, lanes = [], []
        for cell in self._cells.values():
            mailbox = cell.mailbox
            if mailbox.waiter is not None and not mailbox.queue:
                continue
            before, found, rest = cell.path.partition(_HANDLERS)
            if not found or rest.startswith(PROBE_PREFIX) or not (mailbox.queue or _in_hand(cell)):
                continue
            name, below, child = rest.partition("/")
            if not below:
                handlers.append((cell.path, cell))
            elif child.startswith(_LANE):
                lanes.append((f"{before}{found}{name}", cell))
        return handlers, lanes

    def _note(
        self,
        meters: dict[str, AgeMeter],
        handler: str,
        cell: Cell,
        first: Moment,
        come: Moment,
        now: Moment,
    ) -> Moment:
        """Take note of one mailbox; return the moment after which its oldest message came."""
        mailbox, left = cell.mailbox, cell.processed
        if mailbox.spec.overflow is not Overflow.DROP_NEWEST:
            left += mailbox.shed  # the oldest ones; the newest ones never entered, so to speak
        meter = self._meters.get(cell.path) or AgeMeter(first, left)
        meters[cell.path] = meter
        oldest, waits = meter.note(come, left, _in_hand(cell), len(mailbox.queue))
        if mailbox.queue:
            self.ages[handler] = max(self.ages.get(handler, 0.0), now.at - waits.at)
        return oldest


def _in_hand(cell: Cell) -> int:
    """Return how many messages of its the actor may be at, or be through with uncounted."""
    child = cell.child
    if cell.mailbox.waiter is not None or child is None or child.status not in _AT_WORK:
        return 0
    return len(cell.mailbox.turn) or _LONGEST_TURN
