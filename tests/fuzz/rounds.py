"""Cancels a call in the n-th round of the event loop after the call began.

A round is one pass of the loop: a wait for sockets and timers, then all callbacks that are due.
Cancellation can reach a task between two rounds only, so all numbers from 0 on, until the call ends
by itself, are all moments at which a call can be cancelled.
"""

from __future__ import annotations

import asyncio
import math
import selectors
import time
from collections.abc import Callable, Coroutine
from typing import Any

from tests.fuzz.limits import LIMIT, Fault

__all__ = ["Cut", "RoundSelector"]


class RoundSelector(selectors.DefaultSelector):
    """The selector of an event loop, which tells of each round.

    Attributes:
        on_round: called before each wait; returns whether there is something to do at once.
        longest: the most processor seconds that the callbacks of one round took.
    """

    on_round: Callable[[], bool] | None = None
    longest = 0.0
    _waited_at = math.inf

    def select(self, timeout: float | None = None) -> Any:
        """Wait for sockets."""
        self.longest = max(self.longest, time.thread_time() - self._waited_at)
        if self.on_round is not None and self.on_round():
            timeout = 0
        try:
            return super().select(timeout)
        finally:
            self._waited_at = time.thread_time()


class Cut:
    """Cancels one call of a scene.

    Args:
        selector: of the running loop.
        after: rounds; None: never, for counting.
    """

    def __init__(self, selector: RoundSelector, after: int | None) -> None:
        self.rounds = 0
        #: Whether the call was cancelled.
        self.fired = False
        self._selector = selector
        self._after = after

    async def __call__(self, call: Coroutine[Any, Any, Any]) -> bool:
        """Await ``call`` in this task, cancel it, and return whether it ended by itself."""
        task = asyncio.current_task()
        assert task is not None

        def round_begins() -> bool:
            self.rounds += 1
            if self._after is None or self.rounds <= self._after or self.fired:
                return False
            self.fired = True
            task.cancel()
            return True

        self._selector.on_round = round_begins
        try:
            async with asyncio.timeout(LIMIT) as clock:
                await call
        except asyncio.CancelledError:
            if not self.fired:
                raise
            task.uncancel()
            return False
        except TimeoutError:
            if not clock.expired():
                raise
            raise Fault(f"no end within {LIMIT} s after the cancellation") from None
        finally:
            self._selector.on_round = None
        if self.fired:
            raise Fault("the cancellation was swallowed: the call returned as if there was none")
        return True
