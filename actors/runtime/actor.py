"""What an actor is made from and what it may do: the class to subclass, its spec, its context."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

import msgspec

from actors.runtime.ask import Ask, Deferred, ending
from actors.runtime.children import Children
from actors.runtime.envelopes import Lagged
from actors.runtime.errors import ActorStopped
from actors.runtime.lost_messages import FailureSink
from actors.runtime.overflow import MailboxSpec
from actors.runtime.timers import Timers
from supervisor import Child, ExitReason, Restart, RetryPolicy

if TYPE_CHECKING:
    from actors.runtime.cell import Cell
    from actors.runtime.ref import ActorRef
    from actors.runtime.system import ActorSystem

__all__ = ["Actor", "ActorContext", "ActorSpec"]

M = TypeVar("M")


class Actor(Generic[M]):
    """State and behaviour of one actor; each incarnation is a new instance (A8).

    Subclasses take what they need in ``__init__`` (the arguments given to ``spawn``, kept over
    restarts) and define :meth:`receive`, as ``async def`` or as ``def``.

    Attributes:
        context: what the runtime offers it; set before :meth:`on_start`.
        resilient: whether an exception in :meth:`receive` costs its message only (it goes to the
            failure sink) instead of crashing the incarnation.
    """

    context: ActorContext
    resilient: bool = False

    async def on_start(self) -> None:
        """Run before the first message. What it raises is a failed start."""

    def receive(self, message: M) -> Any:
        """Handle one message (A1); what it returns answers an ask.

        What it raises crashes this incarnation, and the supervisor decides what follows (A4).
        """
        raise NotImplementedError(f"{type(self).__name__} has no receive()")

    async def on_stop(self, reason: ExitReason) -> None:
        """Run after the last message of this incarnation, also after a crash."""

    def on_lagged(self, lagged: Lagged) -> Any:
        """Hear that ``lagged.count`` messages were shed right before the next one (A3)."""


class ActorSpec(msgspec.Struct, frozen=True):
    """An actor class and its arguments, and how it is kept alive.

    Attributes:
        actor: the class, or anything that makes an :class:`Actor` of ``args``.
        args: its positional arguments.
        kwargs: its keyword arguments.
        name: its name among its siblings; made up from the class where there is none.
        mailbox: bound and overflow policy; an int is a capacity.
        restart: permanent, transient (restarted after a crash) or temporary (S2).
        retry_policy: delays and limits of restarts after an error (S5).
        shutdown: seconds to stop in before it is cancelled; None: as long as it needs.
        start_timeout: seconds that ``on_start`` may take; None: no limit.
        significant: counts for its supervisor's ``auto_shutdown``.
        keep_mailbox: whether messages survive a restart (A4).
        on_failure: takes the messages that it fails on; None: the system's failure sink.
        describe: returns what the tree shows of it, beside its mailbox.
    """

    actor: Callable[..., Actor[Any]]
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] | None = None
    name: str | None = None
    mailbox: MailboxSpec | int | None = None
    restart: Restart | str = Restart.TRANSIENT
    retry_policy: RetryPolicy | None = None
    shutdown: float | None = 5.0
    start_timeout: float | None = None
    significant: bool = False
    keep_mailbox: bool = True
    on_failure: FailureSink | None = None
    describe: Callable[[], Mapping[str, Any]] | None = None

    @classmethod
    def of(
        cls,
        actor: Callable[..., Actor[Any]] | ActorSpec,
        args: tuple[Any, ...],
        options: Mapping[str, Any],
    ) -> ActorSpec:
        """Return ``actor`` as a spec: given one already, ``options`` replace its fields."""
        if isinstance(actor, ActorSpec):
            if args:
                raise TypeError("arguments beside an ActorSpec: put them into the spec")
            return msgspec.structs.replace(actor, **options) if options else actor
        return cls(actor, args, **options)


class ActorContext:
    """The runtime as one incarnation sees it; its timers, children and answers end with it."""

    __slots__ = ("_cell", "_child", "_children", "_closed", "_deferred", "_timers", "incarnation")

    def __init__(self, cell: Cell, child: Child, incarnation: int) -> None:
        #: Which incarnation this is, from 1.
        self.incarnation = incarnation
        self._cell = cell
        self._child = child
        self._closed = False
        # Made when first needed: most actors have none of these, and there may be many actors.
        self._timers: Timers | None = None
        self._children: Children | None = None
        self._deferred: set[Ask] | None = None

    @property
    def self_ref(self) -> ActorRef[Any]:
        """The actor's own reference."""
        return self._cell.ref

    @property
    def system(self) -> ActorSystem:
        """The system that it lives in."""
        return self._cell.system

    @property
    def path(self) -> str:
        """Where it is in the tree."""
        return self._cell.path

    # -- messages to itself, and answers -----------------------------------------------------------

    @property
    def timers(self) -> Timers:
        """Messages to itself, later; they end with the incarnation."""
        if self._timers is None:
            self._require_open("timers")
            self._timers = Timers(self._cell.ref, self._cell.system.clock)
        return self._timers

    def defer(self) -> Deferred:
        """Take the answer to the ask in hand out of ``receive``'s hands.

        Raises:
            RuntimeError: the message in hand is no ask.
        """
        cell = self._cell
        ask, cell.asking = cell.asking, None
        if ask is None:
            raise RuntimeError("defer(): the message in hand was told, not asked")
        if self._deferred is None:
            self._deferred = set()
        self._deferred.add(ask)
        # Answered, or given up by its asker: either way there is nothing left to fail.
        deferred = self._deferred
        ask.reply.add_done_callback(lambda _: deferred.discard(ask))
        return Deferred(ask)

    # -- other actors ------------------------------------------------------------------------------

    @overload
    def spawn(self, actor: ActorSpec, **options: Any) -> ActorRef[Any]: ...
    @overload
    def spawn(self, actor: Callable[..., Actor[M]], *args: Any, **options: Any) -> ActorRef[M]: ...
    def spawn(
        self, actor: Callable[..., Actor[Any]] | ActorSpec, *args: Any, **options: Any
    ) -> ActorRef[Any]:
        """Spawn a child actor, which ends with this incarnation; as ``ActorSystem.spawn``.

        A child that cannot be kept alive (S4) is a crash of its parent.

        Raises:
            ActorStopped: this incarnation is over.
        """
        if self._children is None:
            self._require_open("spawn()")
            self._children = Children(self._cell, self._child)
        spec = ActorSpec.of(actor, args, options)
        return self._cell.system.spawn_under(self._children.supervisor, spec)

    def watch(self, ref: ActorRef[Any]) -> None:
        """Have one :class:`Terminated` delivered when ``ref`` ends for good, or has (A6)."""
        self._cell.watch(ref._cell)

    def unwatch(self, ref: ActorRef[Any]) -> None:
        """Call :meth:`watch` off; no Terminated comes after it."""
        if self._cell.watching is not None:
            self._cell.watching.remove(ref._cell)

    # -- itself ------------------------------------------------------------------------------------

    def stop(self) -> None:
        """End for good after the message in hand."""
        self._cell.request_stop(drain=False)

    def crash(self, error: BaseException) -> None:
        """End this incarnation with ``error`` after the message in hand; no message is lost."""
        self._cell.crash_with(error)

    def mark_healthy(self) -> None:
        """Say that it does its work: consecutive failures are counted anew (S5)."""
        self._child.mark_healthy()

    # -- for the cell ------------------------------------------------------------------------------

    @property
    def has_children(self) -> bool:
        """Whether it ever spawned any."""
        return self._children is not None

    def close(self, error: BaseException | None) -> None:
        """The incarnation handles no more messages: no timers any more, no answers."""
        self._closed = True
        if self._timers is not None:
            self._timers.close()
        if self._deferred:
            for ask in list(self._deferred):
                ask.fail(ending(self._cell, error))

    async def stop_children(self, deadline: float | None) -> None:
        """Stop what was spawned here, by ``deadline`` (a point on the system's clock)."""
        if self._children is not None:
            await self._children.stop(deadline)

    def hasten(self, deadline: float | None) -> None:
        """Shorten the deadline of children that are stopping."""
        if self._closed and self._children is not None:
            self._children.supervisor.request_stop(deadline)

    def _require_open(self, what: str) -> None:
        if self._closed:
            raise ActorStopped(f"{self.path}: {what}: incarnation {self.incarnation} is over")
