"""What an actor may do: the runtime as seen from inside one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, overload

from actors.runtime.ask import Ask, ending
from actors.runtime.children import Children
from actors.runtime.errors import ActorStopped
from actors.runtime.spec import ActorSpec
from actors.runtime.timers import Timers

if TYPE_CHECKING:
    from actors.runtime.actor import Actor
    from actors.runtime.cell import Cell
    from actors.runtime.ref import ActorRef
    from actors.runtime.system import ActorSystem
    from supervisor import Child

__all__ = ["ActorContext", "Deferred"]

M = TypeVar("M")


class Deferred:
    """An answer that is given later, from another message or task."""

    __slots__ = ("_ask",)

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def send(self, answer: Any) -> None:
        """Answer the ask; ignored when the asker gave up or the actor crashed since."""
        reply = self._ask.reply
        if not reply.done():
            reply.set_result(answer)

    def fail(self, error: Exception) -> None:
        """Answer the ask with an exception; ignored as in :meth:`send`."""
        self._ask.fail(error)


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
