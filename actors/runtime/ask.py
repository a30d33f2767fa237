"""Ask: a message whose sender waits for the answer, and for no longer than it said.

Time limits are kept in a wheel of coarse ticks shared by all asks of a loop: an ask that is
answered costs a set insertion and removal instead of a timer of its own.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from actors.runtime.errors import ActorCrashed, ActorStopped, MailboxFull
from actors.runtime.messages import Envelope

if TYPE_CHECKING:
    from actors.runtime.cell import Cell

__all__ = ["Ask", "TimeoutWheel"]

_TICK = 0.02


class Ask(Envelope):
    """A message, and the future of its answer."""

    __slots__ = ("message", "reply")
    sheddable = True

    def __init__(self, message: Any, reply: asyncio.Future[Any]) -> None:
        self.message = message
        self.reply = reply

    async def deliver(self, cell: Cell) -> None:
        """Have the actor answer; what it raises fails the ask, and is the actor's crash as well."""
        reply = self.reply
        if reply.done():  # the asker gave up: its answer would reach nobody
            return
        cell.asking = self
        try:
            result = cell.receive(self.message)
            if cell.receive_is_async:
                result = await result
        except BaseException as error:
            self.fail_crashed(error)
            raise
        if cell.asking is self:
            cell.asking = None
            if not reply.done():
                reply.set_result(result)

    def fail_crashed(self, error: BaseException) -> None:
        """Tell the asker that the actor crashed."""
        if not self.reply.done():
            failure = ActorCrashed(f"the actor crashed on this message: {error!r}")
            failure.__cause__ = error
            self.reply.set_exception(failure)

    def shed(self, path: str) -> None:
        """Tell the asker that there was no room."""
        if not self.reply.done():
            self.reply.set_exception(MailboxFull(f"{path}: full: the ask was shed"))

    def bury(self, cell: Cell) -> None:
        """Tell the asker that the actor ended before it got to this message."""
        if not self.reply.done():
            self.reply.set_exception(ActorStopped(f"{cell.path} stopped before it answered"))


class TimeoutWheel:
    """Fails futures that are not done in time, up to one tick (20 ms) late."""

    __slots__ = ("_buckets", "_handle", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._buckets: dict[int, set[asyncio.Future[Any]]] = {}
        self._handle: asyncio.TimerHandle | None = None

    def add(self, future: asyncio.Future[Any], timeout: float) -> set[asyncio.Future[Any]]:
        """Fail ``future`` with TimeoutError after ``timeout`` seconds.

        Returns:
            the bucket to discard the future from when it is done.
        """
        tick = int((self._loop.time() + timeout) / _TICK) + 1
        bucket = self._buckets.get(tick)
        if bucket is None:
            bucket = self._buckets[tick] = set()
            if self._handle is None or self._handle.when() > tick * _TICK:
                self._arm()
        bucket.add(future)
        return bucket

    def _arm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._handle = self._loop.call_at(min(self._buckets) * _TICK, self._turn)

    def _turn(self) -> None:
        self._handle = None
        now = self._loop.time()
        for tick in [tick for tick in self._buckets if tick * _TICK <= now]:
            for future in self._buckets.pop(tick):
                if not future.done():
                    future.set_exception(TimeoutError())
        if self._buckets:
            self._arm()

    def close(self) -> None:
        """Call the timer off: the loop may end."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
