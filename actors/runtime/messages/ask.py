"""Ask: a message whose sender waits for the answer, with a time limit.

All asks of a system share a wheel of coarse ticks for their time limits: an answered ask costs the
insertion into a set and the removal, instead of a timer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

import msgspec

from actors.runtime.messages.envelopes import CellHost, Envelope
from actors.runtime.messages.errors import ActorCrashed, ActorError, ActorStopped, MailboxFull
from supervisor import Clock, Timer
from supervisor.checks import is_number

_TICK = 0.02
# A timeout of more than a thousand ticks is rounded up by up to a thousandth.
_LONG = 1000 * _TICK


class Expired(TimeoutError):
    """Set by the wheel, to tell its time-outs from an actor's own TimeoutError."""


class Ask(Envelope, msgspec.Struct, eq=False):
    """A message, and the future of its answer."""

    message: Any
    reply: asyncio.Future[Any]

    sheddable: ClassVar[bool] = True

    def deliver(self, cell: CellHost) -> Awaitable[Any] | None:
        """Have the actor answer; an error fails the ask and crashes the actor."""
        if self.reply.done():  # the asker gave up
            return None
        cell.asking = self
        result = cell.receive(self.message)
        if cell.receive_is_async or hasattr(type(result), "__await__"):
            pending: Awaitable[Any] = result
            return pending
        self.delivered(cell, result)
        return None

    def delivered(self, cell: CellHost, result: Any) -> None:
        """Answer with ``result``, unless the actor called ``defer()``."""
        if cell.asking is self:
            cell.asking = None
            if not self.reply.done():
                self.reply.set_result(result)

    def failed(self, cell: CellHost, error: BaseException) -> Any:
        """Fail the ask with the error that the actor raised."""
        if cell.asking is self:
            cell.asking = None
        self.fail(ending(cell, error))
        return self.message

    def fail(self, error: Exception) -> None:
        """Answer with an exception."""
        if not self.reply.done():
            self.reply.set_exception(error)

    def shed(self, path: str) -> None:
        """Tell the asker that the mailbox dropped the ask."""
        self.fail(MailboxFull(f"{path}: full: the ask was shed"))

    def dead_letter(self, cell: CellHost) -> None:
        """Tell the asker that the actor ended before it handled the ask."""
        self.fail(ending(cell, None))


class Deferred:
    """An answer that is given later, from another message or task."""

    __slots__ = ("_ask",)

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def send(self, answer: Any) -> None:
        """Answer the ask; ignored if the asker gave up or the actor crashed."""
        reply = self._ask.reply
        if not reply.done():
            reply.set_result(answer)

    def fail(self, error: Exception) -> None:
        """Answer the ask with an exception; ignored as in :meth:`send`."""
        self._ask.fail(error)


def ending(cell: CellHost, error: BaseException | None) -> ActorError:
    """Return the asker's error: the actor crashed with ``error``, or stopped."""
    if error is None or cell.is_kill(error):
        how = "" if cell.ended is None else f" ({cell.ended})"
        return ActorStopped(f"{cell.path} stopped before it answered{how}")
    failure = ActorCrashed(f"{cell.path} crashed before it answered: {error!r}")
    failure.__cause__ = error
    return failure


class TimeoutWheel:
    """Fails futures that are not done in time, up to 20 ms or a thousandth of the time late."""

    __slots__ = ("_buckets", "_clock", "_due", "_time", "_timer", "_unlimited")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._time = clock.time
        self._buckets: dict[int, set[asyncio.Future[Any]]] = {}
        self._unlimited: set[asyncio.Future[Any]] = set()
        self._timer: Timer | None = None
        self._due = 0  # the tick that the timer is set for

    def add(self, future: asyncio.Future[Any], timeout: float | None) -> set[asyncio.Future[Any]]:
        """Fail ``future`` with :class:`Expired` after ``timeout`` seconds; None or infinity: never.

        Returns:
            the bucket; the caller removes the future from it when that is done.

        Raises:
            ValueError: ``timeout`` is not a number.
        """
        if timeout is None:
            self._unlimited.add(future)
            return self._unlimited
        try:
            tick = int((self._time() + timeout) / _TICK) + 1
        except (OverflowError, ValueError, TypeError):
            if is_number(timeout) and timeout > 0:
                return self.add(future, None)
            raise ValueError(
                f"timeout must be seconds, or None for as long as the actor lives, not {timeout!r}"
            ) from None
        if timeout > _LONG:  # or there might be a bucket for each tick of some hours
            step = int(timeout / _LONG)
            tick += -tick % step
        bucket = self._buckets.get(tick)
        if bucket is None:
            bucket = self._buckets[tick] = set()
            if self._timer is None or tick < self._due:
                self._arm(tick)
        bucket.add(future)
        return bucket

    def _arm(self, tick: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due = tick
        self._timer = self._clock.call_later(tick * _TICK - self._time(), self._turn)

    def _turn(self) -> None:
        self._timer = None
        # A loop may call a timer early by the resolution of its clock.
        now = max(self._time(), self._due * _TICK)
        for tick in [tick for tick in self._buckets if tick * _TICK <= now]:
            _fail(self._buckets.pop(tick), Expired)
        if self._buckets:
            self._arm(min(self._buckets))

    def close(self) -> None:
        """Cancel the timer and fail the futures left: nobody will answer any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for bucket in (self._unlimited, *self._buckets.values()):
            _fail(bucket, lambda: ActorStopped("the actor system stopped"))
        self._buckets.clear()


def _fail(bucket: set[asyncio.Future[Any]], error: Callable[[], Exception]) -> None:
    for future in bucket:
        if not future.done():
            future.set_exception(error())
