"""The cell: what stays of an actor while its incarnations come and go.

It owns the mailbox, hosts one incarnation at a time, and ends once.
"""

from __future__ import annotations

import asyncio
import inspect
import weakref
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from actors.runtime.ask import Ask, TimeoutWheel
from actors.runtime.envelopes import CellHost, Envelope
from actors.runtime.errors import ActorStopped
from actors.runtime.lost_messages import DeadLetters, Failure, FailureSink
from actors.runtime.mailbox import Mailbox
from actors.runtime.overflow import MailboxSpec, Overflow
from actors.runtime.pacer import Pacer
from supervisor import Child, Clock, EventSink, ExitReason, Status, Supervisor, SupervisorExit
from supervisor.errors import to_exception

__all__ = ["Cell", "Incarnation", "SystemHost", "Watcher"]

#: An attribute of an enumeration is looked up by a function.
_BLOCK = Overflow.BLOCK


class SystemHost(Protocol):
    """What an actor needs of its system; see ``ActorSystem`` for each."""

    loop: asyncio.AbstractEventLoop
    clock: Clock
    sink: EventSink
    wheel: TimeoutWheel
    pacer: Pacer
    dead_letters: DeadLetters

    def report_failure(self, failure: Failure, sink: FailureSink | None) -> None:
        """Hand ``failure`` to ``sink``, or to the system's."""


class Incarnation(Protocol):
    """What a cell needs of the context of its running incarnation."""

    @property
    def has_children(self) -> bool:
        """Whether the actor ever spawned a child."""

    def close(self, error: BaseException | None) -> None:
        """End its timers, and fail the asks that it has not answered."""

    async def stop_children(self, deadline: float | None) -> None:
        """Stop what the actor spawned, by ``deadline``: a point on the system's clock."""

    def hasten(self, deadline: float | None) -> None:
        """Shorten the deadline of children that are stopping."""


class Watcher(Protocol):
    """What a cell needs of those who watch it."""

    def ended(self, other: Cell, reason: ExitReason) -> None:
        """``other`` ended for good."""

    def close(self) -> None:
        """The watcher itself ended."""


class _Drained(Envelope):
    """All that was in the mailbox when the stop was asked for has been handled."""

    __slots__ = ()

    def deliver(self, cell: CellHost) -> None:
        cell.request_stop(drain=False)

    def bury(self, cell: CellHost) -> None:
        cell.request_stop(drain=False)


_DRAINED = _Drained()


class Cell:
    """One actor behind its reference.

    Args:
        path: where the actor is in the tree.
        system: the actor system.
        mailbox: bound and overflow policy.
        on_failure: takes the messages that it fails on; None: the system's failure sink.
        describe: returns what the tree shows of it, beside its mailbox.

    Attributes:
        actor: the running incarnation's instance.
        receive: its bound ``receive``.
        receive_is_async: whether that is a coroutine function.
        context: the running incarnation's context.
        incarnation: how many incarnations there have been.
        asking: the ask in hand, until it is answered or deferred.
        processed: messages handled since it was spawned.
        stop_asked: whether the incarnation is to end before its next message.
        stop_deadline: when it is cancelled then, on the system's clock, or None.
        crash: the error that the incarnation is to end with, or None.
        ended: why it ended for good, or None.
        ref: a weak reference to the ActorRef that others hold, or None.
        watchers: who is told of its end.
        watching: whose ends it is told of.
    """

    __slots__ = (
        "_describe_more",
        "_end_waiters",
        "_first_run",
        "_on_failure",
        "actor",
        "asking",
        "blocks_when_full",
        "child",
        "context",
        "crash",
        "ended",
        "incarnation",
        "loop",
        "mailbox",
        "path",
        "processed",
        "receive",
        "receive_is_async",
        "ref",
        "stop_asked",
        "stop_deadline",
        "system",
        "watchers",
        "watching",
    )

    actor: Any
    receive: Callable[[Any], Any]
    receive_is_async: bool

    def __init__(
        self,
        path: str,
        system: SystemHost,
        mailbox: MailboxSpec,
        *,
        on_failure: FailureSink | None = None,
        describe: Callable[[], Mapping[str, Any]] | None = None,
    ) -> None:
        self.path = path
        self.system = system
        self.loop = system.loop
        self.mailbox = Mailbox(mailbox, system.loop)
        self.blocks_when_full = mailbox.overflow is _BLOCK
        self.ref: weakref.ref[Any] | None = None
        self.child: Child | None = None
        self.context: Incarnation | None = None
        self.incarnation = 0
        self.asking: Ask | None = None
        self.processed = 0
        self.stop_asked = False
        self.crash: BaseException | None = None
        self.ended: ExitReason | None = None
        self.stop_deadline: float | None = None
        # Made when first needed: most actors have none of these, and there may be many actors.
        self.watchers: dict[Watcher, None] | None = None
        self.watching: Watcher | None = None
        self._on_failure = on_failure
        self._describe_more = describe
        self._end_waiters: list[asyncio.Future[ExitReason]] | None = None
        self._first_run: asyncio.Event | None = None

    # -- one incarnation ---------------------------------------------------------------------------

    def begin(self, child: Child) -> bool:
        """Make ready for one more incarnation; return whether it is wanted."""
        if self.ended is not None:  # it came back with its supervisor
            self.ended = None
            self.mailbox.reopen()
        first = self.incarnation == 0
        self.child = child
        self.incarnation += 1
        self.crash = None
        self.stop_deadline = None
        self.mailbox.attach()
        child.describe = self._describe
        child.on_stop(self._on_stop_asked)
        if self._first_run is not None:
            self._first_run.set()
        unwanted, self.stop_asked = first and self.stop_asked, False
        if unwanted:  # stopped before its supervisor came to it
            self.request_stop(drain=False)
        return not unwanted

    async def call_hook(self, hook: Callable[[Any], Any], argument: Any) -> None:
        """Call one of the actor's functions, which may be ``async``."""
        result = hook(argument)
        if inspect.isawaitable(result):
            await result

    def crash_with(self, error: BaseException) -> None:
        """Have the incarnation end with ``error``, after the message in hand."""
        self.crash = error
        self.mailbox.interrupt()

    def is_kill(self, error: BaseException) -> bool:
        """Return whether ``error`` is the cancellation of an overdue stop."""
        return (
            isinstance(error, asyncio.CancelledError)
            and self.child is not None
            and self.child.stopping
        )

    # -- stops -------------------------------------------------------------------------------------

    def _on_stop_asked(self, deadline: float | None) -> None:
        self.stop_asked = True
        self.stop_deadline = deadline
        self.mailbox.interrupt()
        if self.context is not None:
            self.context.hasten(deadline)

    def request_stop(self, *, drain: bool) -> None:
        """End for good, after the message in hand or, to drain, after all that waits now."""
        child = self.child
        if self.ended is not None:
            return
        if child is None:  # its supervisor has not come to it yet
            self.stop_asked = True
        elif not drain:
            assert isinstance(child.owner, Supervisor)
            child.owner.request_child_stop(child)
        elif child.status is not Status.STOPPING:
            self.mailbox.put_last(_DRAINED)

    def gone(self, reason: ExitReason) -> None:
        """Note that no incarnation will follow."""
        self.ended = reason
        for left in self.mailbox.close():
            self.bury(left)
        if self.asking is not None:  # in the hands of one that was left behind as unkillable
            self.asking.bury(self)
            self.asking = None
        if self.watching is not None:
            self.watching.close()
            self.watching = None
        watchers, self.watchers = self.watchers, None
        for watcher in watchers or ():
            watcher.ended(self, reason)
        for waiter in self._end_waiters or ():
            if not waiter.done():
                waiter.set_result(reason)
        self._end_waiters = None
        if self._first_run is not None:
            self._first_run.set()
        # A reference must not keep alive what the actor held, nor the cell its supervisor's part.
        self.child = self.actor = self.receive = self.context = None  # type: ignore[assignment]

    def report_failure(self, message: Any, error: BaseException) -> None:
        """Hand a message that the actor failed on to its failure sink."""
        self.system.report_failure(Failure(self.path, message, error), self._on_failure)

    def bury(self, message: Any) -> None:
        """Take note that ``message`` will not be delivered."""
        if type(message) in Envelope.classes:
            message.bury(self)
        else:
            self.system.dead_letters.add(self.path, message)

    # -- others ------------------------------------------------------------------------------------

    async def wait_started(self) -> None:
        """Wait until an incarnation runs."""
        if self.child is None and self.ended is None:  # its supervisor has not come to it yet
            if self._first_run is None:
                self._first_run = asyncio.Event()
            await self._first_run.wait()
        if self.child is not None:
            try:
                await self.child.wait_started()
            except SupervisorExit as error:
                if not error.reason.normal:
                    raise
            else:
                return
        cause = None if self.ended is None else to_exception(self.ended)
        if isinstance(cause, Exception):
            raise cause
        raise ActorStopped(f"{self.path} ended before it ran ({self.ended})") from cause

    async def wait_ended(self) -> ExitReason:
        """Wait until it has ended for good."""
        if self.ended is not None:
            return self.ended
        waiter: asyncio.Future[ExitReason] = self.loop.create_future()
        if self._end_waiters is None:
            self._end_waiters = []
        self._end_waiters.append(waiter)
        return await waiter

    def post_full(self, message: Any) -> None:
        """Take a message for which :meth:`ActorRef.tell` found no room."""
        if self.mailbox.closed:
            self.bury(message)
        else:
            self.mailbox.put_full(message, self.path)

    def _describe(self) -> Mapping[str, Any]:
        stats = self.mailbox.stats()
        detail: dict[str, Any] = {"mailbox": stats.depth, "processed": self.processed}
        if stats.shed:
            detail["shed"] = stats.shed
        if self._describe_more is not None:
            detail |= self._describe_more()
        return detail
