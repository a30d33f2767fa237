"""Death watch: each watcher of an actor is told of its end, once (A6)."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import msgspec

from actors.runtime.cell import Cell
from actors.runtime.messages.envelopes import CellHost, Envelope, call_hook
from actors.runtime.ref import ActorRef, ref_of
from supervisor import ExitReason


class Terminated(msgspec.Struct, frozen=True):
    """A watched actor ended for good (A6): delivered once, ahead of every backlog."""

    ref: ActorRef[Any]
    reason: ExitReason


class _End(Envelope):
    """Carries a Terminated to one watcher."""

    __slots__ = ("of", "terminated", "watching")

    def __init__(self, watching: Watching, of: Cell, reason: ExitReason) -> None:
        self.watching = watching
        self.of = of
        self.terminated = Terminated(ref_of(of), reason)

    def deliver(self, cell: CellHost) -> Awaitable[None] | None:
        if not self.watching.arrived(self.of, self):
            return None  # unwatch() came first
        return call_hook(cell.receive, self.terminated)

    def failed(self, cell: CellHost, error: BaseException) -> Any:
        return self.terminated


class Watching:
    """Whom one actor watches, through all its incarnations.

    Another actor is in one of three states: not watched; watched (in ``_watched`` here, and this is
    in its ``watchers``); or ended, with its Terminated in the mailbox (in ``_pending``).
    """

    __slots__ = ("_cell", "_pending", "_watched")

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._watched: dict[Cell, None] = {}
        self._pending: dict[Cell, _End] = {}

    def add(self, other: Cell) -> None:
        """Watch ``other``, unless it is watched already."""
        if other in self._pending:
            return
        if other.ended is not None:
            self.ended(other, other.ended)
            return
        self._watched[other] = None
        if other.watchers is None:
            other.watchers = {}
        other.watchers[self] = None

    def remove(self, other: Cell) -> None:
        """Stop watching ``other``; a Terminated in the mailbox is not delivered any more."""
        self._watched.pop(other, None)
        self._pending.pop(other, None)
        if other.watchers is not None:
            other.watchers.pop(self, None)

    def ended(self, other: Cell, reason: ExitReason) -> None:
        """Send the Terminated of ``other`` through the system lane."""
        self._watched.pop(other, None)
        mailbox = self._cell.mailbox
        if not mailbox.closed:
            self._pending[other] = news = _End(self, other, reason)
            mailbox.put_urgent(news)

    def arrived(self, other: Cell, news: _End) -> bool:
        """Return whether ``news`` is to be delivered: ``other`` is still watched."""
        if self._pending.get(other) is not news:
            return False
        del self._pending[other]
        return True

    def close(self) -> None:
        """The watcher itself ended."""
        for other in self._watched:
            if other.watchers is not None:
                other.watchers.pop(self, None)
        self._watched.clear()
        self._pending.clear()


def watch(watcher: ActorRef[Any], other: ActorRef[Any]) -> None:
    """Have ``watcher`` told, once, when ``other`` ends for good, or now if it has."""
    if not isinstance(other, ActorRef):
        raise TypeError(f"only the reference of an actor can be watched, not {other!r}")
    cell = watcher._cell
    if cell.watching is None:
        cell.watching = Watching(cell)
    assert isinstance(cell.watching, Watching)
    cell.watching.add(other._cell)


def unwatch(watcher: ActorRef[Any], other: ActorRef[Any]) -> None:
    """End :func:`watch`: no Terminated of ``other`` comes after it."""
    watching = watcher._cell.watching
    if isinstance(watching, Watching):
        watching.remove(other._cell)
