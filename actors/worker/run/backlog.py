"""Which messages handlers have not handled yet, and since when; looked at a few times a second.

Most handlers are idle at any time: for those a look costs one check of their mailbox.
"""

from __future__ import annotations

import time
from typing import Final

from actors.pubsub.handlers.concurrent_actor import ConcurrentActor
from actors.pubsub.handlers.failure_sinks import WRITER_PREFIX
from actors.pubsub.recovery.histories import READER_NAME
from actors.pubsub.recovery.position_store import WRITER_NAME
from actors.runtime.cell import Cell
from actors.runtime.messages.overflow import Overflow
from actors.runtime.system import ActorSystem
from actors.worker.observe.message_age import AgeMeter, Moment
from actors.worker.run.delivery_probe import PROBE_PREFIX
from supervisor import Status

_HANDLERS: Final = "/handlers/"
#: What the names of actors begin with that are beside the handlers, and are none.
NOT_HANDLERS: Final = (PROBE_PREFIX, WRITER_PREFIX, READER_NAME, WRITER_NAME)
#: The most messages that an actor handles before it counts them.
_LONGEST_TURN: Final = 64
_ALIVE: Final = (Status.RUNNING, Status.STOPPING)


class Backlog:
    """The messages that wait for the handlers of one system, or are being handled."""

    def __init__(self, system: ActorSystem) -> None:
        now = time.monotonic()
        #: Seconds for which the oldest message of each handler has waited, by path.
        self.ages: dict[str, float] = {}
        #: Every message that arrived before this time (monotonic) was handled.
        self.handled_until = now
        self._system = system
        self._cells = system.registry._cells
        self._last = Moment(now, now)
        self._meters: dict[str, AgeMeter] = {}
        self._closed = False
        # By the path of an actor: messages that it has handled and shed, when that was last asked.
        self._counted: dict[str, int] = {}

    @property
    def oldest(self) -> float:
        """Seconds for which the oldest message has waited."""
        return max(self.ages.values(), default=0.0)

    def close(self) -> None:
        """Stop looking: mailboxes are about to be emptied without their messages being handled."""
        self._closed = True

    def look(self) -> None:
        """Look at all mailboxes."""
        # A system that gives up empties mailboxes, too.
        if self._closed or not self._system.running:
            return
        last, now = self._last, Moment(time.monotonic(), self._last.at)
        meters: dict[str, AgeMeter] = {}
        ages: dict[str, float] = {}
        since = [now]
        for path, cell in self._busy().items():
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

    def changed(self) -> dict[str, tuple[int, int]]:
        """Return how many messages handlers have handled and shed, by path, if that has changed."""
        counted, cells = self._counted, self._cells
        if len(counted) > 2 * len(cells):  # most of those actors have ended
            self._counted = counted = {path: n for path, n in counted.items() if path in cells}
        touched = set()
        for path, cell in cells.items():
            count = cell.processed + cell.mailbox.shed
            if counted.get(path, 0) != count:
                counted[path] = count
                touched.add(_path_of_handler(path))
        return {
            path: (_handled(handler), handler.mailbox.shed)
            for path in touched
            if path is not None and (handler := cells.get(path)) is not None
        }

    def _busy(self) -> dict[str, Cell]:
        """Return the handlers that are at work, themselves or one of their workers, by path."""
        found: dict[str, Cell] = {}
        for cell in self._cells.values():
            mailbox = cell.mailbox
            if mailbox.waiter is not None and not mailbox.queue:
                continue
            path = _path_of_handler(cell.path)
            if path is not None and (handler := self._cells.get(path)) is not None:
                found[path] = handler
        return found


def _path_of_handler(path: str) -> str | None:
    """Return the path of the handler that an actor is, or is below of; None: of no handler."""
    before, is_handler, rest = path.partition(_HANDLERS)
    if not is_handler or rest.startswith(NOT_HANDLERS):
        return None
    return f"{before}{is_handler}{rest.partition('/')[0]}"


def _handled(cell: Cell) -> int:
    """Return how many messages a handler has handled, itself or by its workers."""
    actor = getattr(cell, "actor", None)  # missing before the first start
    if isinstance(actor, ConcurrentActor):
        return sum(worker._cell.processed for worker in actor._workers)
    return cell.processed


def _counts(cell: Cell) -> tuple[int, int, int]:
    """Return how many messages have left a handler for good, are in hand at most, and wait."""
    mailbox = cell.mailbox
    waiting = len(mailbox.queue)
    actor = getattr(cell, "actor", None)  # missing before the first start
    if isinstance(actor, ConcurrentActor):
        scheduler = actor.scheduler
        # In hand are also the messages that the scheduler holds until a worker is free.
        return scheduler.finished, scheduler.taken - scheduler.finished + _in_hand(cell), waiting
    left = cell.processed
    if mailbox.spec.overflow is not Overflow.DROP_NEWEST:
        left += mailbox.shed  # shed messages have left, unless they never entered
    return left, _in_hand(cell), waiting


def _in_hand(cell: Cell) -> int:
    """Return how many messages at most an actor handles, or has handled but not counted yet."""
    child = cell.child
    if cell.mailbox.waiter is not None or child is None or child.status not in _ALIVE:
        return 0
    return len(cell.mailbox.turn) or _LONGEST_TURN
