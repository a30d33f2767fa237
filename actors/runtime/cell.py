"""The cell: what stays of an actor while its incarnations come and go.

It owns the mailbox, runs one incarnation at a time as a supervised child, and ends once.

    run(): construct -> on_start -> started() -> messages -> on_stop -> return or raise
    gone(): for good: close the mailbox, tell the watchers
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from actors.runtime.actor import Actor
from actors.runtime.ask import Ask
from actors.runtime.context import ActorContext
from actors.runtime.errors import ActorStopped
from actors.runtime.mailbox import Mailbox
from actors.runtime.messages import Envelope, Failure, Terminated
from actors.runtime.overflow import Overflow, as_mailbox_spec
from actors.runtime.ref import ActorRef
from actors.runtime.spec import ActorSpec
from supervisor import Child, Crashed, ExitReason, Shutdown, Status, Supervisor, SupervisorSpec
from supervisor.errors import to_exception

if TYPE_CHECKING:
    from actors.runtime.system import ActorSystem

__all__ = ["Cell"]

# A busy actor lets the loop run after this many messages or seconds, whichever comes first (A7).
_QUANTUM_MESSAGES = 64
_QUANTUM_SECONDS = 0.002


class _Drained(Envelope):
    """Everything that was in the mailbox when the stop was asked for has been handled."""

    __slots__ = ()

    async def deliver(self, cell: Cell) -> None:
        cell.request_stop(drain=False)


_DRAINED = _Drained()


class Cell:
    """One actor behind its reference.

    Attributes:
        actor: the running incarnation's instance.
        receive: its bound ``receive``.
        receive_is_async: whether that returns an awaitable.
        asking: the ask in hand, until it is answered or deferred.
        processed: messages handled since it was spawned.
        ended: why it ended for good, or None.
    """

    __slots__ = (
        "_children",
        "_crash",
        "_deferred",
        "_end_waiters",
        "_stop_asked",
        "_watchers",
        "_watching",
        "actor",
        "asking",
        "blocks_when_full",
        "child",
        "context",
        "ended",
        "loop",
        "mailbox",
        "path",
        "processed",
        "receive",
        "receive_is_async",
        "ref",
        "spec",
        "system",
    )

    actor: Actor[Any]
    receive: Callable[[Any], Any]
    context: ActorContext

    def __init__(self, spec: ActorSpec, path: str, system: ActorSystem) -> None:
        self.spec = spec
        self.path = path
        self.system = system
        self.loop = system.loop
        self.mailbox = Mailbox(as_mailbox_spec(spec.mailbox), system.loop)
        self.blocks_when_full = self.mailbox.spec.overflow is Overflow.BLOCK
        self.ref: ActorRef[Any] = ActorRef(self)
        self.child: Child | None = None
        self.receive_is_async = False
        self.asking: Ask | None = None
        self.processed = 0
        self.ended: ExitReason | None = None
        self._stop_asked = False
        self._crash: BaseException | None = None
        self._children: Supervisor | None = None
        # Made when first needed: most actors have none of these, and there may be many actors.
        self._deferred: set[Ask] | None = None
        self._watchers: dict[Cell, None] | None = None
        self._watching: dict[Cell, None] | None = None
        self._end_waiters: list[asyncio.Future[ExitReason]] | None = None

    # -- one incarnation ---------------------------------------------------------------------------

    async def run(self, child: Child) -> None:
        """Be one incarnation, under a supervisor."""
        self.child = child
        self._stop_asked = False
        self._crash = None
        self.ended = None
        if self.mailbox.closed:
            self.mailbox.reopen()
        child.on_stop(self._on_stop_asked)
        child.describe = self._describe
        spec = self.spec
        actor = self.actor = spec.actor(*spec.args, **(spec.kwargs or {}))
        context = self.context = actor.context = ActorContext(self)
        try:
            if type(actor).on_start is not Actor.on_start:
                await actor.on_start()
            self.receive = actor.receive
            self.receive_is_async = inspect.iscoroutinefunction(actor.receive)
            child.started()
            try:
                await self._messages()
            except BaseException as error:
                await self._on_stop(Crashed(error))
                raise
            await self._on_stop(Shutdown())
        except BaseException as error:
            self._fail_asks(error)
            raise
        finally:
            context.close()
            if self._children is not None:
                await self._stop_children()

    async def _messages(self) -> None:  # noqa: C901 - the hot loop, whole on one screen
        """Handle messages one at a time until a stop is asked for (A1)."""
        mailbox = self.mailbox
        queue, popleft = mailbox.queue, mailbox.queue.popleft
        receive, is_async = self.receive, self.receive_is_async
        resilient = self.actor.resilient
        envelopes = Envelope.classes
        time = self.loop.time
        quantum = 1
        message: Any = None
        while True:
            if mailbox.signal and await self._attend():
                return
            if not queue:
                await mailbox.wait()
                quantum = 1
                continue
            mailbox.note_peak()
            begun = time()
            handled = 0
            for _ in range(quantum):
                if not queue:
                    break
                message = popleft()
                handled += 1
                try:
                    if type(message) in envelopes:
                        await message.deliver(self)
                    elif is_async:
                        await receive(message)
                    else:
                        receive(message)
                except BaseException as error:
                    self._failed(message, error)
                    if not resilient or self._is_fatal(error):
                        raise
                if mailbox.signal:
                    break
            self.processed += handled
            # Slow handlers get short turns, fast ones long ones: the clock is read once a turn.
            elapsed = time() - begun
            if elapsed < _QUANTUM_SECONDS:
                quantum = min(quantum * 2, _QUANTUM_MESSAGES)
            else:
                quantum = max(1, int(handled * _QUANTUM_SECONDS / elapsed))
            if queue:
                await asyncio.sleep(0)

    async def _attend(self) -> bool:
        """Look at the system lane; return whether to stop."""
        mailbox = self.mailbox
        while mailbox.urgent:
            await self.call_hook(self.receive, mailbox.urgent.popleft())
        mailbox.signal = False
        if self._crash is not None:
            raise self._crash
        return self._stop_asked

    async def call_hook(self, hook: Callable[[Any], Any], argument: Any) -> None:
        """Call one of the actor's functions, which may be ``async``."""
        result = hook(argument)
        if inspect.isawaitable(result):
            await result

    def _failed(self, message: Any, error: BaseException) -> None:
        if isinstance(message, Ask):
            message.fail_crashed(error)
            message = message.message
        # A cancellation is how an overdue stop ends the message in hand: that is a loss, too.
        self.system.report_failure(Failure(self.path, message, error))

    def _is_fatal(self, error: BaseException) -> bool:
        """Whether not even a resilient actor goes on after ``error``."""
        if isinstance(error, Exception):
            return False
        if isinstance(error, asyncio.CancelledError):
            task = self.child.task if self.child is not None else None
            # Raised by the handler itself, not by anybody's cancel(): its own message's problem.
            return task is None or task.cancelling() > 0
        return True

    async def _on_stop(self, reason: ExitReason) -> None:
        actor = self.actor
        if type(actor).on_stop is not Actor.on_stop:
            await actor.on_stop(reason)

    def _fail_asks(self, error: BaseException) -> None:
        if not self.spec.keep_mailbox:
            for left in self.mailbox.queue:
                self._bury(left)
            self.mailbox.queue.clear()
        for ask in self._deferred or ():
            ask.fail_crashed(error)
        self._deferred = None
        self.asking = None

    # -- stops -------------------------------------------------------------------------------------

    def _on_stop_asked(self, deadline: float | None) -> None:
        self._stop_asked = True
        self.mailbox.signal = True
        self.mailbox.wake()

    def request_stop(self, *, drain: bool) -> None:
        """End for good, after the message in hand or, to drain, after all that waits now."""
        child = self.child
        if child is None or self.ended is not None:
            return
        if drain and child.status is Status.RUNNING:
            self.mailbox.put_last(_DRAINED)
        else:
            owner = child.owner
            assert isinstance(owner, Supervisor)
            owner.request_child_stop(child)

    def gone(self, reason: ExitReason) -> None:
        """Note that no incarnation will follow."""
        self.ended = reason
        for left in self.mailbox.close():
            self._bury(left)
        watching, self._watching = self._watching, None
        for cell in watching or ():
            cell.watchers.pop(self, None)
        watchers, self._watchers = self._watchers, None
        for watcher in watchers or ():
            watcher.terminated(self)
        for waiter in self._end_waiters or ():
            if not waiter.done():
                waiter.set_result(reason)
        self._end_waiters = None
        self.system.forget(self)

    def _bury(self, message: Any) -> None:
        if isinstance(message, Envelope):
            message.bury(self)
        else:
            self.system.dead_letters.add(self.path, message)

    async def wait_started(self) -> None:
        """Wait until an incarnation runs."""
        if self.child is None:
            raise ActorStopped(f"{self.path} is not under a running supervisor")
        await self.child.wait_started()

    async def wait_ended(self) -> ExitReason:
        """Wait until it has ended for good."""
        if self.ended is not None:
            return self.ended
        waiter: asyncio.Future[ExitReason] = self.loop.create_future()
        if self._end_waiters is None:
            self._end_waiters = []
        self._end_waiters.append(waiter)
        return await waiter

    # -- others ------------------------------------------------------------------------------------

    def post_full(self, message: Any) -> None:
        """Take a message for which :meth:`ActorRef.tell` found no room."""
        if self.mailbox.closed:
            self._bury(message)
        else:
            self.mailbox.put_full(message, self.path)

    @property
    def watchers(self) -> dict[Cell, None]:
        """Who is told of the end, each once."""
        if self._watchers is None:
            self._watchers = {}
        return self._watchers

    @property
    def deferred(self) -> set[Ask]:
        """The asks that this incarnation will answer later."""
        if self._deferred is None:
            self._deferred = set()
        return self._deferred

    def watch(self, other: Cell) -> None:
        """Have one Terminated delivered when ``other`` ends, or now if it has."""
        if other.ended is not None:
            self.terminated(other)
            return
        other.watchers[self] = None
        if self._watching is None:
            self._watching = {}
        self._watching[other] = None

    def terminated(self, other: Cell) -> None:
        """Deliver ``other``'s end, ahead of the user lane."""
        if self._watching is not None:
            self._watching.pop(other, None)
        assert other.ended is not None
        if not self.mailbox.closed:
            self.mailbox.put_urgent(Terminated(other.ref, other.ended))

    def spawn_child(self, spec: ActorSpec) -> ActorRef[Any]:
        """Spawn an actor below this one; it ends with this incarnation."""
        if self._children is None:
            system, child = self.system, self.child
            assert child is not None
            self._children = children = Supervisor(
                SupervisorSpec(dynamic=True), path=self.path, clock=system.clock, sink=system.sink
            )
            children.on_end = self._children_ended
            children.begin()
            child.nested = children
        return self.system.spawn_under(self._children, spec)

    def _children_ended(self, reason: ExitReason) -> None:
        # Children that cannot be kept alive are their parent's crash (S4).
        error = to_exception(reason)
        if error is not None and not self._stop_asked:
            self._crash = error
            self.mailbox.signal = True
            self.mailbox.wake()

    async def _stop_children(self) -> None:
        children, self._children = self._children, None
        assert children is not None
        children.on_end = None
        await children.stop()

    def _describe(self) -> Mapping[str, Any]:
        stats = self.mailbox.stats()
        detail: dict[str, Any] = {"mailbox": stats.depth, "processed": self.processed}
        if stats.shed:
            detail["shed"] = stats.shed
        return detail
