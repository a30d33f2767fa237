"""What handlers have not handled yet, and since when: looked at a few times a second.

Handlers may be many, and most have nothing to do: those cost a look at their mailbox, and no more.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from actors.pubsub.handlers.concurrent_actor import ConcurrentActor
from actors.pubsub.handlers.failure_sinks import WRITER_PREFIX
from actors.runtime.overflow import Overflow
from actors.runtime.system import ActorSystem
from actors.worker.observe.message_age import AgeMeter, Moment
from actors.worker.run.delivery_probe import PROBE_PREFIX
from supervisor import Status

if TYPE_CHECKING:
    from actors.runtime.cell import Cell

__all__ = ["Backlog"]

_HANDLERS: Final = "/handlers/"
_OTHERS: Final = (PROBE_PREFIX, WRITER_PREFIX)
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
        meters: dict[str, AgeMeter] = {}
        ages: dict[str, float] = {}
        since = [now]
        for path, cell in self._at_work().items():
            left, in_hand, waiting = _counts(cell)
            if not in_hand and not waiting:
                continue
            meter = meters[path] = self._meters.get(path) or AgeMeter(last, left)
            oldest, waits = meter.note(now, left, in_hand, waiting)
            since.append(oldest)
            if waiting:
                ages[path] = now.at - waits.at
        self._meters, self.ages, self._last = meters, ages, now
        self.handled_until = max(self.handled_until, min(since).before)

    def _at_work(self) -> dict[str, Cell]:
        """Return the handlers that have something to do, or whose lanes have, by path."""
        found: dict[str, Cell] = {}
        for cell in self._cells.values():
            mailbox = cell.mailbox
            if mailbox.waiter is not None and not mailbox.queue:
                continue
            before, is_handler, rest = cell.path.partition(_HANDLERS)
            if is_handler and not rest.startswith(_OTHERS):
                path = f"{before}{is_handler}{rest.partition('/')[0]}"
                handler = self._cells.get(path)
                if handler is not None:
                    found[path] = handler
        return found


def _counts(cell: Cell) -> tuple[int, int, int]:
    """Return how many messages have left a handler for good, it may have in hand, and wait."""
    mailbox = cell.mailbox
    waiting = len(mailbox.queue)
    actor = getattr(cell, "actor", None)  # not before it first began
    if isinstance(actor, ConcurrentActor):
        rota = actor.rota
        # Those that it holds until a lane is free count, too.
        return rota.through, rota.taken - rota.through + _in_hand(cell), waiting
    left = cell.processed
    if mailbox.spec.overflow is not Overflow.DROP_NEWEST:
        left += mailbox.shed  # the oldest ones; the newest ones never entered, so to speak
    return left, _in_hand(cell), waiting


def _in_hand(cell: Cell) -> int:
    """Return how many messages of its the actor may be at, or be through with uncounted."""
    child = cell.child
    if cell.mailbox.waiter is not None or child is None or child.status not in _AT_WORK:
        return 0
    return len(cell.mailbox.turn) or _LONGEST_TURN
