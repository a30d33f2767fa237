"""When handovers end: in batches, because thousands of channels move together."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from actors.pubsub.delivery.listening_clock import ListeningClock
from actors.pubsub.model.types import Target
from actors.pubsub.table.state import Handover

#: Handovers that are due within so many seconds end together.
_BATCH_SECONDS = 0.01


class Handovers:
    """The handovers that end after a time in which both nodes were read.

    Args:
        loop: calls back.
        clock: keeps the time.
        end: called with those that are due.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: ListeningClock,
        end: Callable[[list[Handover]], None],
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._end = end
        self._batches: dict[int, list[Handover]] = {}
        # When the latest handover of a target is due: there may be another one between the same
        # nodes before the first one's time.
        self._due: dict[Target, int] = {}

    def put(self, handover: Handover, seconds: float | None) -> None:
        """End ``handover`` after ``seconds``; None: not before :meth:`hasten`."""
        if seconds is None:
            self._due.pop(handover.target, None)
        else:
            self._plan(handover, self._batch(seconds))

    def hasten(self, handover: Handover, seconds: float) -> None:
        """End ``handover`` after ``seconds``, or when it is due if that is before."""
        due = self._batch(seconds)
        if self._due.get(handover.target, due + 1) > due:
            self._plan(handover, due)

    def _batch(self, seconds: float) -> int:
        return math.ceil((self._clock.now() + seconds) / _BATCH_SECONDS)

    def _plan(self, handover: Handover, due: int) -> None:
        self._due[handover.target] = due
        batch = self._batches.get(due)
        if batch is None:
            batch = self._batches[due] = []
            self._loop.call_later(self._left(due), self._turn, due)
        batch.append(handover)

    def _left(self, due: int) -> float:
        """Return the seconds until ``due``, by the clock."""
        return due * _BATCH_SECONDS - self._clock.now()

    def _turn(self, due: int) -> None:
        if (left := self._left(due)) > 0:  # the loop was held up
            self._loop.call_later(left, self._turn, due)
            return
        batch = [one for one in self._batches.pop(due) if self._due.get(one.target) == due]
        for one in batch:
            self._due.pop(one.target, None)
        self._end(batch)
