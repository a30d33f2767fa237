"""Actor, the class that users subclass, and its context."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

from actors.runtime.behaviour import ActorSpec, Behaviour
from actors.runtime.cell import Cell
from actors.runtime.death_watch import unwatch, watch
from actors.runtime.messages.ask import Ask, Deferred, ending
from actors.runtime.messages.errors import ActorStopped
from actors.runtime.ref import ActorRef, ref_of
from actors.runtime.spawning import spawn_under
from actors.runtime.system import ActorSystem
from actors.runtime.timers import Timers
from supervisor import Child, Crashed, ExitReason, Supervisor, SupervisorSpec
from supervisor.model.errors import to_exception

__all__ = ["Actor", "ActorContext", "ActorSpec"]

M = TypeVar("M")
_CHILDREN = SupervisorSpec(dynamic=True)


class Actor(Behaviour[M]):
    """State and behaviour of one actor; each incarnation is a new instance (A8).

    Subclasses take what they need in ``__init__`` (the arguments given to ``spawn``, kept over
    restarts) and define :meth:`receive`, as ``async def`` or as ``def``.

    Attributes:
        context: timers, children and more for this incarnation; set before :meth:`on_start`.
    """

    context: ActorContext

    def _begin_incarnation(self, cell: Cell, child: Child) -> ActorContext:
        self.context = ActorContext(cell, child)
        return self.context


class ActorContext:
    """What one incarnation can use; its timers, children and deferred answers end with it."""

    __slots__ = ("_cell", "_child", "_children", "_closed", "_deferred", "_timers", "incarnation")

    def __init__(self, cell: Cell, child: Child) -> None:
        #: Which incarnation this is, from 1.
        self.incarnation = cell.incarnation
        self._cell = cell
        self._child = child
        self._closed = False
        # Made when first needed: most actors have none of these, and there may be many actors.
        self._timers: Timers | None = None
        self._children: Supervisor | None = None
        self._deferred: set[Ask] | None = None

    @property
    def self_ref(self) -> ActorRef[Any]:
        """The actor's own reference."""
        return ref_of(self._cell)

    @property
    def system(self) -> ActorSystem:
        """The actor system."""
        system = self._cell.system
        assert isinstance(system, ActorSystem)
        return system

    @property
    def path(self) -> str:
        """Where it is in the tree."""
        return self._cell.path

    # -- messages to itself, and answers -----------------------------------------------------------

    @property
    def timers(self) -> Timers:
        """Send messages to the actor itself, later."""
        if self._timers is None:
            self._require_open("timers")
            self._timers = Timers(self.self_ref, self._cell.system.clock)
        return self._timers

    def defer(self) -> Deferred:
        """Return the ask in hand, to answer it later; ``receive``'s result is then ignored.

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
        # Answered, or given up by its asker: close() has nothing left to fail.
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

        A child that its supervisor gives up (S4) crashes its parent.

        Raises:
            ActorStopped: this incarnation is over.
        """
        if self._children is None:
            self._require_open("spawn()")
            self._children = self._begin_children()
        return spawn_under(self.system, self._children, ActorSpec.of(actor, args, options))

    def _begin_children(self) -> Supervisor:
        system = self._cell.system
        children = Supervisor(_CHILDREN, path=self.path, clock=system.clock, sink=system.sink)
        children.on_end = self._children_ended
        children.begin()
        self._child.nested = children
        return children

    def _children_ended(self, reason: ExitReason) -> None:
        if error := to_exception(reason):
            self._cell.crash_with(error)

    def watch(self, ref: ActorRef[Any]) -> None:
        """Have one :class:`Terminated` delivered when ``ref`` ends for good, or now (A6)."""
        watch(self.self_ref, ref)

    def unwatch(self, ref: ActorRef[Any]) -> None:
        """End :meth:`watch`: no Terminated comes after it."""
        unwatch(self.self_ref, ref)

    # -- itself ------------------------------------------------------------------------------------

    def stop(self) -> None:
        """End for good after the message in hand."""
        self._cell.request_stop(drain=False)

    def crash(self, error: BaseException) -> None:
        """End this incarnation with ``error`` after the message in hand, which is not lost."""
        self._cell.crash_with(error)

    def mark_healthy(self) -> None:
        """Report that it does its work: consecutive failures are counted anew (S5)."""
        self._child.mark_healthy()

    # -- for the cell ------------------------------------------------------------------------------

    @property
    def has_children(self) -> bool:
        """Whether it ever spawned a child."""
        return self._children is not None

    def close(self, error: BaseException | None) -> None:
        """End the timers, and fail the asks without an answer: no more messages are handled."""
        self._closed = True
        if self._timers is not None:
            self._timers.close()
        if self._deferred:
            for ask in list(self._deferred):
                ask.fail(ending(self._cell, error))

    async def stop_children(self, deadline: float | None) -> None:
        """Stop what was spawned here, side by side, by ``deadline`` on the system's clock.

        Raises:
            SystemExit, KeyboardInterrupt: a child raised it while it stopped.
        """
        children = self._children
        if children is None:
            return
        children.on_end = None
        children.request_stop(deadline)
        try:
            reason = await children.wait()
        except BaseException:
            # Out of time: cancel them, but still wait for their end.
            children.request_stop(self._cell.system.clock.time())
            await children.wait()
            raise
        if isinstance(reason, Crashed) and reason.fatal:
            raise reason.cause

    def hasten(self, deadline: float | None) -> None:
        """Shorten the deadline of children that are stopping."""
        if self._closed and self._children is not None:
            self._children.request_stop(deadline)

    def _require_open(self, what: str) -> None:
        if self._closed:
            raise ActorStopped(f"{self.path}: {what}: incarnation {self.incarnation} is over")
