"""The life of one pub/sub object: its tree, its body, and how either ends.

    NEW --open()--> OPEN --close(), gave up--> CLOSED

When the subscriber gives up while the body of the ``async with`` runs, the body is cancelled and
the error surfaces from it, in a group: a program that only has handlers would otherwise wait for
ever on nothing. A body's own exception passes as it is.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any

from actors.pubsub.lifecycle.tree import PubSubTree
from actors.pubsub.subscriptions.pending_calls import Call
from actors.redis.exceptions import ConnectionError  # noqa: A004
from actors.runtime.system import ActorSystem, current_system
from supervisor import Crashed
from supervisor.log import get_logger

__all__ = ["Session"]

log = get_logger("mailslot.pubsub")

_numbers = itertools.count(1)


class State(Enum):
    """What a session is."""

    NEW = "new"
    OPEN = "open"
    CLOSED = "closed"


class Session:
    """Opens and closes the tree of one pub/sub object.

    Args:
        kind: what the object is called in the tree, with a number.
        system: where the tree is; None: in the current system, or in one of its own.
        start_timeout: seconds in which the first connection must be there; None: as long as the
            retry policy goes on.
    """

    def __init__(self, kind: str, system: ActorSystem | None, start_timeout: float | None) -> None:
        self.state = State.NEW
        self.failure: BaseException | None = None
        self.tree: PubSubTree | None = None
        self._kind = kind
        self._given = system
        self._own: ActorSystem | None = None
        self._start_timeout = start_timeout
        self._body: asyncio.Task[Any] | None = None
        self._cancelled_body = False
        self._calls: set[Call] = set()

    @property
    def is_open(self) -> bool:
        """Whether it is in use, and did not give up."""
        return self.state is State.OPEN and self.failure is None

    def track(self, call: Call) -> Call:
        """Have ``call`` fail when this ends before it; return it."""
        self._calls.add(call)
        call.future.add_done_callback(lambda _: self._calls.discard(call))
        return call

    def _end_calls(self, error: BaseException) -> None:
        for call in list(self._calls):
            call.fail(error)

    def require_open(self) -> PubSubTree:
        """Return the tree; ConnectionError when there are none, or it gave up."""
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

    async def open(
        self,
        make: Callable[[ActorSystem, str], PubSubTree],
        start: Callable[[PubSubTree], None],
        apply: Callable[[], Awaitable[None]],
    ) -> None:
        """Start the tree, wait for the first connection, and ``apply`` the first subscriptions.

        Raises:
            ExceptionGroup: of what went wrong; everything is closed again.
        """
        if self.state is not State.NEW:
            raise ConnectionError("this pubsub was used before: make a new one")
        system = self._given or current_system()
        if system is None:
            self._own = system = ActorSystem("mailslot")
            await system.start()
        self.tree = make(system, f"{self._kind}-{next(_numbers)}")
        self.tree.on_failed = self._failed
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
        self._body = asyncio.current_task()
        if self.failure is not None:
            self._cancel_body()

    async def _first_connection(self) -> None:
        tree = self.tree
        assert tree is not None
        try:
            async with asyncio.timeout(self._start_timeout):
                await tree.ready.wait()
        except TimeoutError:
            raise self._why_not(tree) from None
        if self.failure is not None:
            raise self.failure

    def _why_not(self, tree: PubSubTree) -> BaseException:
        """Return why there is no connection: the latest attempt's error, or what it waits for."""
        within = f"{self._start_timeout} s (start_timeout)"
        waits = tree.reservations.timed_out(within)
        return tree.last_error or waits or TimeoutError(f"no connection within {within}")

    async def close(self) -> None:
        """Take the tree down (P13)."""
        if self.state is not State.OPEN:
            return
        self.state = State.CLOSED
        assert self.tree is not None
        self._body = None
        closed = ConnectionError("this pubsub is closed")
        self._end_calls(closed)
        try:
            if self._own is not None:
                await self._own.stop()
            else:
                await self.tree.stop()
        finally:
            self.tree.registry.message_queue.close(closed)

    def reraise(self, error: BaseException | None) -> None:
        """Raise what ended it, where that is what made the body end."""
        if self._cancelled_body:
            task = asyncio.current_task()
            if task is not None:
                # The cancellation was ours: it must not be taken for somebody else's further out.
                task.uncancel()
            if self.failure is not None and (
                error is None or isinstance(error, asyncio.CancelledError)
            ):
                if Crashed(self.failure).fatal:
                    raise self.failure  # S2: a handler's word is the program's
                group = "the pubsub gave up"
                raise ExceptionGroup(group, [_as_exception(self.failure)]) from None

    def _failed(self, error: BaseException) -> None:
        if self.failure is not None or self.state is State.CLOSED:
            return
        self.failure = error
        assert self.tree is not None
        self.tree.ready.set()
        if self._body is not None:
            self._cancel_body()
        # Who waits elsewhere is told, and not ended by it as the body is.
        self._end_calls(_as_exception(error))
        self.tree.registry.message_queue.fail(_as_exception(error))

    def _cancel_body(self) -> None:
        assert self._body is not None
        self._cancelled_body = self._body.cancel()


def _as_exception(error: BaseException) -> Exception:
    if isinstance(error, Exception):
        return error
    ended = ConnectionError(f"the pubsub ended: {error!r}")
    ended.__cause__ = error
    return ended
