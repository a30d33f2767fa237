"""The life of one pub/sub object: it opens, the body of the ``async with`` runs, it closes.

    NEW --open()--> OPEN --close()--> CLOSED

When the pub/sub object fails while the body runs, the body is cancelled and the error surfaces from
the ``async with``, in an ExceptionGroup: a program that only has handlers would otherwise wait for
ever. An exception of the body itself passes unchanged.
"""

from __future__ import annotations

import asyncio
import itertools
import weakref
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any

from actors.pubsub.lifecycle.tree import LoopEnds, PubSubTree
from actors.pubsub.subscriptions.pending_calls import Call
from actors.redis.exceptions import ConnectionError  # noqa: A004
from actors.redis.wire.patience import Patience
from actors.runtime.system import ActorSystem, current_system
from supervisor import Crashed
from supervisor.checks import require_loop

_numbers = itertools.count(1)


class State(Enum):
    """Whether a session was opened and closed."""

    NEW = "new"
    OPEN = "open"
    CLOSED = "closed"


class Session:
    """Opens and closes the tree of one pub/sub object.

    Args:
        kind: the object's name in the tree; a number is added.
        system: where the tree is; None: in the current system, or in one of its own.
        start_timeout: seconds for the first connection; None: as long as the retry policy goes on.
    """

    def __init__(self, kind: str, system: ActorSystem | None, start_timeout: float | None) -> None:
        self.state = State.NEW
        self.failure: BaseException | None = None
        self.tree: PubSubTree | None = None
        self._kind = kind
        self._given = system
        self._own: ActorSystem | None = None
        self._start_timeout = start_timeout
        # The task that entered. Held weakly: the task may have ended long ago, in a generator that
        # others step through, and a strong reference to it would keep that generator alive.
        self._body: Callable[[], asyncio.Task[Any] | None] = _nobody
        self._cancelled_body = False
        self._calls: set[Call] = set()

    @property
    def is_open(self) -> bool:
        """Whether the session is open and has not failed."""
        return self.state is State.OPEN and self.failure is None

    def track(self, call: Call) -> Call:
        """Return ``call``, which fails from now on if the session ends first."""
        self._calls.add(call)
        call.future.add_done_callback(lambda _: self._calls.discard(call))
        return call

    def _end_calls(self, error: BaseException) -> None:
        for call in list(self._calls):
            call.fail(error)

    def require_open(self) -> PubSubTree:
        """Return the tree; raise ConnectionError if the session is not open, or why it failed."""
        if self.state is State.NEW:
            raise ConnectionError(
                "Connection not initialized correctly! Enter the pubsub first:"
                " `async with client.pubsub() as pubsub:`"
            )
        if self.failure is not None:
            raise _as_exception(self.failure)
        if self.state is State.CLOSED or self.tree is None:
            raise ConnectionError("this pubsub is closed: make a new one with client.pubsub()")
        return self.tree

    def require_here(self) -> PubSubTree:
        """As :meth:`require_open`, for calls that wait: they run in the loop of the tree."""
        tree = self.require_open()
        if asyncio.get_running_loop() is not tree.system.loop:
            require_loop(tree.system.loop, f"the pub/sub object {tree.name}")
        return tree

    async def open(
        self,
        make: Callable[[ActorSystem, str], PubSubTree],
        start: Callable[[PubSubTree], None],
        apply: Callable[[], Awaitable[None]],
    ) -> None:
        """Start the tree, wait for the first connection, and ``apply`` the first subscriptions.

        Raises:
            ExceptionGroup: with the error; everything is closed again.
        """
        if self.state is not State.NEW:
            raise ConnectionError("this pubsub was used before: make a new one")
        system = self._given or current_system()
        if system is None:
            self._own = system = ActorSystem("mailslot")
            await system.start()
        self.tree = make(system, f"{self._kind}-{next(_numbers)}")
        self.tree.failed = self._failed
        start(self.tree)
        self.state = State.OPEN
        try:
            await self._first_connection()
            await apply()
        except BaseException as error:
            await self.close()
            if isinstance(error, Exception):
                raise ExceptionGroup("the pubsub could not start", [error]) from None
            raise
        task = asyncio.current_task()
        assert task is not None
        self._body = weakref.ref(task)
        if self.failure is not None:
            self._cancel_body()

    async def _first_connection(self) -> None:
        tree = self.tree
        assert tree is not None
        try:
            async with Patience(self._start_timeout):
                await tree.ready.wait()
        except TimeoutError:
            within = f"{self._start_timeout} s (start_timeout)"
            raise tree.last_error or tree.progress.timed_out(within) from None
        if self.failure is not None:
            raise self.failure

    async def close(self) -> None:
        """Stop the tree (P13)."""
        if self.state is not State.OPEN:
            return
        self.state = State.CLOSED
        assert self.tree is not None
        self._body = _nobody
        closed = ConnectionError("this pubsub is closed")
        self._end_calls(closed)
        try:
            if self._own is not None:
                await self._own.stop()
            else:
                await self.tree.stop()
        finally:
            self.tree.registry.message_queue.close(closed)
            for sink in self.tree.log_sinks:
                sink.flush()
            if self.tree.keep_positions is not None:
                await self.tree.keep_positions()

    def reraise(self, error: BaseException | None) -> None:
        """Raise the failure of the session, if it is why the body ended with ``error``."""
        if not self._cancelled_body:
            return
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()  # nobody else asked for this cancellation
        if self.failure is not None and (
            error is None or isinstance(error, asyncio.CancelledError)
        ):
            if Crashed(self.failure).fatal:
                raise self.failure  # S2: SystemExit and KeyboardInterrupt end the program
            raise ExceptionGroup("the pubsub gave up", [_as_exception(self.failure)]) from None

    def _failed(self, error: BaseException) -> None:
        if self.failure is not None or self.state is State.CLOSED:
            return
        self.failure = error
        assert self.tree is not None
        self.tree.ready.set()
        if not isinstance(error, LoopEnds):  # then the body is cancelled, too, like everything
            self._cancel_body()
        # Calls in other tasks raise the error; those tasks are not cancelled.
        self._end_calls(_as_exception(error))
        self.tree.registry.message_queue.fail(_as_exception(error))

    def _cancel_body(self) -> None:
        body = self._body()
        self._cancelled_body = body is not None and body.cancel()


def _nobody() -> None:
    """Return no task: nobody is in the context."""


def _as_exception(error: BaseException) -> Exception:
    if isinstance(error, Exception):
        return error
    ended = ConnectionError(f"the pubsub ended: {error!r}")
    ended.__cause__ = error
    return ended
