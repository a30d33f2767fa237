"""The cell: what stays of an actor while its incarnations come and go.

It owns the mailbox, hosts one incarnation at a time, and ends once.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from actors.runtime.messages.ask import Ask, TimeoutWheel
from actors.runtime.messages.envelopes import CellHost, Envelope
from actors.runtime.messages.errors import ActorStopped
from actors.runtime.messages.lost_messages import DeadLetters, Failure, FailureSink
from actors.runtime.messages.mailbox import Mailbox
from actors.runtime.messages.overflow import MailboxSpec, Overflow
from actors.runtime.messages.pacer import Pacer
from supervisor import Child, Clock, EventSink, ExitReason, Status, Supervisor, SupervisorExit
from supervisor.model.errors import to_exception

__all__ = ["Cell"]

# Bound once: on Python 3.11 a look-up through the class takes ten times as long.
_BLOCK = Overflow.BLOCK


class SystemHost(Protocol):
    """What an actor needs of its system; see ``ActorSystem`` for each."""

    loop: asyncio.AbstractEventLoop
    clock: Clock
    sink: EventSink
    wheel: TimeoutWheel
    pacer: Pacer
    dead_letters: DeadLetters

    def report_failure(self, failure: Failure, sink: FailureSink | None) -> None: ...


class Incarnation(Protocol):
    """What the runtime needs of an actor's context; see ``ActorContext``."""

    @property
    def has_children(self) -> bool: ...
    def close(self, error: BaseException | None) -> None: ...
    async def stop_children(self, deadline: float | None) -> None: ...
    def hasten(self, deadline: float | None) -> None: ...


class Watcher(Protocol):
    """What a cell needs of a watcher, its own or another's; see ``Watching``."""

    def ended(self, other: Cell, reason: ExitReason) -> None: ...
    def close(self) -> None: ...


class Times(Protocol):
    """What measures how long an actor's messages take; see ``HandlingTimes``."""

    def note_message(self, handled: int, message: Any, begun: float) -> float: ...
    def note_turn(self, processed: int, begun: float, ended: float) -> None: ...


class _Drained(Envelope):
    """All that was in the mailbox when the stop was asked for has been handled."""

    __slots__ = ()

    def deliver(self, cell: CellHost) -> None:
        cell.request_stop(drain=False)

    dead_letter = deliver


_DRAINED = _Drained()


class Cell:
    """One actor behind its reference; the arguments are fields of its ``ActorSpec``.

    Attributes:
        actor: the running incarnation's instance.
        receive: its bound ``receive``.
        receive_is_async: whether that is a coroutine function.
        incarnation: how many incarnations there have been.
        asking: the ask in hand, until it is answered or deferred.
        processed: messages handled since it was spawned.
        times: what measures its messages, or None.
        stop_asked: whether the incarnation is to end before its next message.
        stop_deadline: when that incarnation is cancelled, on the system's clock, or None.
        crash: the error that the incarnation is to end with, or None.
        ended: why it ended for good, or None.
        ref: a weak reference to the ActorRef that others hold, or None.
        watchers: whom the cell tells of its end.
        watching: tells the actor of the ends of others.
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
        "times",
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
        self.times: Times | None = None
        self.stop_asked = False
        self.crash: BaseException | None = None
        self.ended: ExitReason | None = None
        self.stop_deadline: float | None = None
        # Made when first needed: most actors have none of these, and there may be many actors.
        self.watchers: dict[Watcher, None] | None = None
        self.watching: Watcher | None = None
        self._on_failure = on_failure
        self._describe_more = describe
        self._end_waiters: Sequence[asyncio.Future[ExitReason]] = ()
        self._first_run: asyncio.Event | None = None

    # -- one incarnation ---------------------------------------------------------------------------

    def begin(self, child: Child) -> bool:
        """Prepare for one more incarnation; return False if a stop came before the first one."""
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
        if unwanted:
            self.request_stop(drain=False)
        return not unwanted

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
        """End for good after the message in hand or, to drain, after all that waits now."""
        child = self.child
        if self.ended is not None:
            return
        if child is None:  # its supervisor has not started it yet
            self.stop_asked = True
        elif not drain:
            assert isinstance(child.owner, Supervisor)
            child.owner.request_child_stop(child)
        elif child.status is not Status.STOPPING:
            self.mailbox.put_last(_DRAINED)
            self.mailbox.resume()  # a drain handles what waits

    def gone(self, reason: ExitReason) -> None:
        """End for good: no incarnation will follow."""
        self.ended = reason
        for left in self.mailbox.close():
            self.dead_letter(left)
        if self.asking is not None:  # an unkillable incarnation still has it in hand
            self.asking.dead_letter(self)
            self.asking = None
        if self.watching is not None:
            self.watching.close()
            self.watching = None
        watchers, self.watchers = self.watchers, None
        for watcher in watchers or ():
            watcher.ended(self, reason)
        waiters, self._end_waiters = self._end_waiters, ()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(reason)
        if self._first_run is not None:
            self._first_run.set()
        # Whoever still holds a reference must not keep alive what the actor held, nor its child.
        self.child = self.actor = self.receive = self.context = None  # type: ignore[assignment]

    def report_failure(self, message: Any, error: BaseException) -> None:
        """Hand a message that the actor failed on to its failure sink."""
        self.system.report_failure(Failure(self.path, message, error), self._on_failure)

    def dead_letter(self, message: Any) -> None:
        """Take note that ``message`` will not be delivered."""
        if type(message) in Envelope.classes:
            message.dead_letter(self)
        else:
            self.system.dead_letters.add(self.path, message)

    # -- for the reference -------------------------------------------------------------------------

    async def wait_started(self) -> None:
        """Wait until an incarnation runs."""
        if self.child is None and self.ended is None:  # its supervisor has not started it yet
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
        self._end_waiters = [*self._end_waiters, waiter]
        return await waiter

    def post_full(self, message: Any) -> None:
        """Take a message for which the mailbox has no room."""
        if self.mailbox.closed:
            self.dead_letter(message)
        else:
            self.mailbox.put_full(message, self.path)

    def _describe(self) -> Mapping[str, Any]:
        mailbox = self.mailbox
        detail: dict[str, Any] = {"mailbox": len(mailbox.queue), "processed": self.processed}
        if mailbox.shed:
            detail["shed"] = mailbox.shed
        if mailbox.paused:
            detail["paused"] = True
        if self._describe_more is not None:
            detail |= self._describe_more()
        return detail
