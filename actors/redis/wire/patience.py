"""A time limit for a server's answer that does not blame the server for a late event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from types import TracebackType
from typing import Final, Self

# Seconds that the loop gets after every limit: enough to read what came in the last moment. A limit
# that is shorter itself is meant as it is.
_GRACE: Final = 0.02


class Patience:
    """Limits the time of a block, like :func:`asyncio.timeout`.

    While a callback holds the event loop nothing is read: an answer may wait in the socket when the
    time is over. So the block gets the time again by which the loop was late at the limit, up to
    the limit's own length, and the answer counts.

    Args:
        seconds: the limit; None: there is none.
        progress: returns a value that changes while the server answers; the limit then counts from
            the latest change that is seen.
    """

    def __init__(self, seconds: float | None, progress: Callable[[], object] | None = None) -> None:
        self._seconds = seconds
        self._progress = progress
        self._timeout = asyncio.timeout(None)
        self._earliest = -inf

    def expired(self) -> bool:
        """Whether the block was ended by the limit."""
        return self._timeout.expired()

    def extend(self, until: float) -> None:
        """Let the block go on until ``until``, on the loop's clock, if that is after the limit."""
        self._earliest = max(self._earliest, until)

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        if self._seconds is not None:
            self._seen = self._count()
            self._begin(self._seconds)
        return self

    def _count(self) -> object:
        return None if self._progress is None else self._progress()

    def _begin(self, seconds: float) -> None:
        """Count ``seconds`` from now, with as much to give back."""
        self._left = seconds if seconds >= _GRACE else 0.0
        self._again = False
        self._wait(seconds)

    def _wait(self, seconds: float) -> None:
        self._due = self._loop.time() + seconds
        self._timer = self._loop.call_at(self._due, self._is_due)

    def _is_due(self) -> None:
        assert self._seconds is not None
        if self._seconds >= _GRACE and (count := self._count()) != self._seen:
            self._seen = count
            self._begin(self._seconds)
            return
        if self._loop.time() < self._earliest:
            if self._earliest < inf:
                self._wait(self._earliest - self._loop.time())
            return
        late = self._loop.time() - self._due
        more = min(max(late, _GRACE), self._left)
        if more > 0 and (late > _GRACE or not self._again):
            self._left -= more
            self._again = True
            self._wait(more)
        else:
            self._timeout.reschedule(self._loop.time())

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._timeout.__aexit__(exc_type, exc, traceback)
