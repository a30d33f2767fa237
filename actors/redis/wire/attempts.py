"""Attempts to connect: one at a time for all callers, with pauses that grow while they fail."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final

from actors.redis.exceptions import ConnectionError  # noqa: A004 - the library's
from actors.redis.wire.connection import Connection

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
        attempt = self.begin()
        # Not `await attempt`: the cancellation of one caller would cancel the attempt of all.
        await asyncio.wait([attempt])
        if attempt.cancelled():
            raise self._left or ConnectionError("the attempt to connect was cancelled")
        attempt.result()

    def begin(self) -> asyncio.Task[None]:
        """Return the task of the attempt in hand; begin one where there is none."""
        if self._task is None:
            self._task = self._loop.create_task(self._run())
            self._task.add_done_callback(_retrieve)
        return self._task

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


def _retrieve(task: asyncio.Task[None]) -> None:
    """Retrieve the error: asyncio logs one that nobody retrieves, and all callers may be gone."""
    if not task.cancelled():
        task.exception()
