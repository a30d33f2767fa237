"""The cell: what stays of an actor while its incarnations come and go.

It owns the mailbox, runs one incarnation at a time as a supervised child, and ends once.
Incarnations are in incarnation.py, and the message loop in turns.py.
"""

from __future__ import annotations

import asyncio
import inspect
import weakref
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any

from actors.runtime.actor import Actor, ActorContext, ActorSpec
from actors.runtime.ask import Ask
from actors.runtime.death_watch import Watching
from actors.runtime.envelopes import Envelope
from actors.runtime.errors import ActorStopped
from actors.runtime.incarnation import DRAINED, live
from actors.runtime.mailbox import Mailbox
from actors.runtime.overflow import Overflow, as_mailbox_spec
from actors.runtime.ref import ActorRef
from supervisor import Child, ExitReason, Status, Supervisor, SupervisorExit
from supervisor.errors import to_exception

if TYPE_CHECKING:
    from actors.runtime.system import ActorSystem

__all__ = ["Cell"]

#: An attribute of an enumeration is looked up by a function.
_BLOCK = Overflow.BLOCK


class Cell:
    """One actor behind its reference.

    Attributes:
        actor: the running incarnation's instance.
        receive: its bound ``receive``.
        receive_is_async: whether that is a coroutine function.
        context: what that incarnation was given.
        incarnation: how many there have been.
        asking: the ask in hand, until it is answered or deferred.
        processed: messages handled since it was spawned.
        stop_asked: whether the incarnation is to end before its next message.
        stop_deadline: when it is cancelled then, on the system's clock, or None.
        crash: what ended its children, which it is to end with.
        ended: why it ended for good, or None.
        watchers: who is told of its end.
        watching: whose ends it is told of.
    """

    __slots__ = (
        "_end_waiters",
        "_first_run",
        "_ref",
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
        "spec",
        "stop_asked",
        "stop_deadline",
        "system",
        "watchers",
        "watching",
    )

    actor: Actor[Any]
    receive: Callable[[Any], Any]
    receive_is_async: bool
    context: ActorContext

    def __init__(self, spec: ActorSpec, path: str, system: ActorSystem) -> None:
        self.spec = spec
        self.path = path
        self.system = system
        self.loop = system.loop
        self.mailbox = Mailbox(as_mailbox_spec(spec.mailbox), system.loop)
        self.blocks_when_full = self.mailbox.spec.overflow is _BLOCK
        self._ref: weakref.ref[ActorRef[Any]] | None = None
        self.child: Child | None = None
        self.incarnation = 0
        self.asking: Ask | None = None
        self.processed = 0
        self.stop_asked = False
        self.crash: BaseException | None = None
        self.ended: ExitReason | None = None
        self.stop_deadline: float | None = None
        # Made when first needed: most actors have none of these, and there may be many actors.
        self.watchers: dict[Watching, None] | None = None
        self.watching: Watching | None = None
        self._end_waiters: list[asyncio.Future[ExitReason]] | None = None
        self._first_run: asyncio.Event | None = None

    @property
    def ref(self) -> ActorRef[Any]:
        """The reference that others hold: the same one as long as anybody does."""
        # Held weakly, so that the two are no cycle: where actors come and go by the ten thousand
        # a second, garbage that only the cyclic collector frees costs more than half of the rest.
        ref = self._ref() if self._ref is not None else None
        if ref is None:
            ref = ActorRef(self)
            self._ref = weakref.ref(ref)
        return ref

    # -- one incarnation ---------------------------------------------------------------------------

    def run(self, child: Child) -> Coroutine[Any, Any, None]:
        """Be one incarnation, under a supervisor."""
        return live(self, child)

    def begin(self, child: Child) -> bool:
        """Make ready for one more incarnation; return whether it is wanted."""
        if self.ended is not None:  # it came back with its supervisor
            self.ended = None
            self.mailbox.reopen()
            self.system.registry.add(self)
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
        self.context.hasten(deadline)

    def request_stop(self, *, drain: bool) -> None:
        """End for good, after the message in hand or, to drain, after all that waits now."""
        child = self.child
        if self.ended is not None:
            return
        if child is None:  # its supervisor has not come to it yet
            self.stop_asked = True
        elif not drain:
            self._owner(child).request_child_stop(child)
        elif child.status is not Status.STOPPING:
            self.mailbox.put_last(DRAINED)

    @staticmethod
    def _owner(child: Child) -> Supervisor:
        owner = child.owner
        assert isinstance(owner, Supervisor)
        return owner

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
        self.system.registry.forget(self)
        # A reference must not keep alive what the actor held, nor the cell its supervisor's part.
        self.child = self.actor = self.receive = self.context = None  # type: ignore[assignment]

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

    def watch(self, other: Cell) -> None:
        """Have one Terminated delivered when ``other`` ends, or now if it has."""
        if self.watching is None:
            self.watching = Watching(self)
        self.watching.add(other)

    def _describe(self) -> Mapping[str, Any]:
        stats = self.mailbox.stats()
        detail: dict[str, Any] = {"mailbox": stats.depth, "processed": self.processed}
        if stats.shed:
            detail["shed"] = stats.shed
        if self.spec.describe is not None:
            detail |= self.spec.describe()
        return detail
