"""What an actor may do: the runtime as seen from inside one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.runtime.spec import ActorSpec
from actors.runtime.timers import Timers

if TYPE_CHECKING:
    from actors.runtime.actor import Actor
    from actors.runtime.ask import Ask
    from actors.runtime.cell import Cell
    from actors.runtime.ref import ActorRef
    from actors.runtime.system import ActorSystem

__all__ = ["ActorContext", "Deferred"]


class Deferred:
    """An answer that is given later, from another message or task."""

    __slots__ = ("_ask", "_cell")

    def __init__(self, ask: Ask, cell: Cell) -> None:
        self._ask = ask
        self._cell = cell

    def send(self, answer: Any) -> None:
        """Answer the ask; ignored when the asker gave up or the actor crashed since."""
        self._cell.deferred.discard(self._ask)
        if not self._ask.reply.done():
            self._ask.reply.set_result(answer)

    def fail(self, error: BaseException) -> None:
        """Answer the ask with an exception."""
        self._cell.deferred.discard(self._ask)
        if not self._ask.reply.done():
            self._ask.reply.set_exception(error)


class ActorContext:
    """The runtime as one incarnation sees it."""

    __slots__ = ("_cell", "_timers")

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._timers: Timers | None = None

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

    @property
    def incarnation(self) -> int:
        """Which incarnation this is, from 1."""
        return self._cell.child.incarnation if self._cell.child is not None else 1

    @property
    def timers(self) -> Timers:
        """Messages to itself, later; they end with the incarnation."""
        if self._timers is None:
            self._timers = Timers(self._cell.ref, self._cell.system.clock)
        return self._timers

    def spawn(
        self, actor: type[Actor[Any]] | ActorSpec, *args: Any, **options: Any
    ) -> ActorRef[Any]:
        """Spawn a child actor, which ends with this incarnation; as ``ActorSystem.spawn``."""
        return self._cell.spawn_child(ActorSpec.of(actor, args, options))

    def watch(self, ref: ActorRef[Any]) -> None:
        """Have one :class:`Terminated` delivered when ``ref`` ends for good, or has (A6)."""
        self._cell.watch(ref._cell)

    def unwatch(self, ref: ActorRef[Any]) -> None:
        """Call :meth:`watch` off; a Terminated that is in the mailbox already stays."""
        ref._cell.watchers.pop(self._cell, None)

    def stop(self) -> None:
        """End for good after the message in hand."""
        self._cell.request_stop(drain=False)

    def mark_healthy(self) -> None:
        """Say that it does its work: consecutive failures are counted anew (S5)."""
        if self._cell.child is not None:
            self._cell.child.mark_healthy()

    def defer(self) -> Deferred:
        """Take the answer to the ask in hand out of ``receive``'s hands.

        Raises:
            RuntimeError: the message in hand is no ask.
        """
        cell = self._cell
        if cell.asking is None:
            raise RuntimeError("defer(): the message in hand was told, not asked")
        ask, cell.asking = cell.asking, None
        cell.deferred.add(ask)
        return Deferred(ask, cell)

    def close(self) -> None:
        """Call the timers off: the incarnation is over."""
        if self._timers is not None:
            self._timers.cancel_all()
