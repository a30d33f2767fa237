"""Attempts to connect: one at a time for all callers, with pauses that grow while they fail."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, TypeAlias

from actors.redis.exceptions import ConnectionError  # noqa: A004 - the library's
from actors.redis.wire.connection import Connection

# In the order in which they came.
_Waiters: TypeAlias = dict[asyncio.Future[None], None]

# Seconds before the next attempt: the first pause doubles up to the longest one.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.5
# So many attempts in a row may end in a connection that answers nothing.
_MOST_USELESS: Final = 3


class Attempts:
    """Opens one connection after the other.

    A connection counts as a failure until it has answered a command: a peer that greets and closes
    is called after growing pauses, like one that does not greet.

    Args:
        open: opens a connection.
        took: called with each connection.
        failed: called with the error of each attempt that failed.
    """

    def __init__(
        self,
        open: Callable[[], Awaitable[Connection]],
        took: Callable[[Connection], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self._open = open
        self._took = took
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._failures = 0
        self._not_before = 0.0
        self._left: ConnectionError | None = None
        # Those of the attempt in hand.
        self._waiters: _Waiters = {}

    @property
    def in_hand(self) -> bool:
        """Whether an attempt is being made."""
        return self._task is not None

    @property
    def resting(self) -> bool:
        """Whether the next attempt may not begin yet."""
        return self._loop.time() < self._not_before

    @property
    def futile(self) -> bool:
        """Whether connections are made and end without an answer, again and again."""
        return self._failures > _MOST_USELESS

    def answered(self) -> None:
        """Note that the connection has answered a command."""
        self._failures = 0

    async def wait(self) -> None:
        """Wait for the end of an attempt, and raise its error if it failed."""
        if self._left is not None:
            raise self._left
        self.begin()
        # Not `await task`: the cancellation of one caller would cancel the attempt of all. And no
        # callback of the task: to remove one takes longer the more there are.
        waiters = self._waiters
        waiter: asyncio.Future[None] = self._loop.create_future()
        waiters[waiter] = None
        try:
            await waiter
        finally:
            waiters.pop(waiter, None)

    def begin(self) -> None:
        """Begin an attempt where there is none in hand."""
        if self._task is None:
            self._task = self._loop.create_task(self._run())
            self._waiters = {}
            self._task.add_done_callback(partial(self._tell, self._waiters))

    def _tell(self, waiters: _Waiters, attempt: asyncio.Task[None]) -> None:
        """Tell the callers that wait for ``attempt``, the first one first, how it ended."""
        error: BaseException | None
        if attempt.cancelled():
            error = self._left or ConnectionError("the attempt to connect was cancelled")
        else:
            error = attempt.exception()  # retrieved also where all callers are gone
        for waiter in waiters:
            if waiter.done():
                continue
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)
                waiter.exception()  # asyncio logs one that a cancelled caller does not retrieve
        waiters.clear()

    async def _run(self) -> None:
        try:
            await asyncio.sleep(self._not_before - self._loop.time())
            connection = await self._open()
        except Exception as error:
            self._note_failure()
            self._failed(error)
            raise
        finally:
            self._task = None
        self._note_failure()
        self._took(connection)

    def _note_failure(self) -> None:
        pause = min(_FIRST_PAUSE * 2.0**self._failures, _LONGEST_PAUSE)
        self._failures += 1
        self._not_before = self._loop.time() + pause * random.uniform(0.5, 1.0)

    async def close(self, error: ConnectionError) -> None:
        """Cancel the attempt in hand; who waits for one, or will, gets ``error``."""
        self._left = error
        if self._task is not None:
            task = self._task
            task.cancel()
            await asyncio.wait([task])
