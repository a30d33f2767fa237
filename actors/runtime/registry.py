"""The living actors of a system, by path and by name."""

from __future__ import annotations

from typing import Any

from actors.runtime.cell import Cell
from actors.runtime.messages.errors import ActorStopped, NameTaken
from actors.runtime.ref import ActorRef, ref_of


class Registry:
    """The living actors of one system.

    Args:
        root: the name of the system, with which every path starts.
    """

    __slots__ = ("_cells", "_counter", "_names", "_names_of", "_root")

    def __init__(self, root: str) -> None:
        self._root = root
        self._counter = 0
        self._cells: dict[str, Cell] = {}
        self._names: dict[str, ActorRef[Any]] = {}
        self._names_of: dict[Cell, list[str]] = {}

    def free_name(self, parent: str, name: str | None, kind: str) -> str:
        """Return the name of a new actor below ``parent``; NameTaken when another one has it.

        Args:
            name: the name; None: one is made up of ``kind``.
        """
        cells = self._cells
        if name is not None:
            if (path := f"{parent}/{name}") in cells:
                raise NameTaken(f"{path}: an actor has this name: stop it, or use another one")
            return name
        while True:
            self._counter += 1
            name = f"{kind}-{self._counter}"
            if f"{parent}/{name}" not in cells:
                return name

    def add(self, cell: Cell) -> None:
        """Add a living actor."""
        self._cells[cell.path] = cell

    def forget(self, cell: Cell) -> None:
        """Remove an actor that ended for good, and its names."""
        if self._cells.get(cell.path) is cell:
            del self._cells[cell.path]
        if self._names_of:
            for name in self._names_of.pop(cell, ()):
                del self._names[name]

    def register(self, name: str, ref: ActorRef[Any]) -> None:
        """Make ``ref`` known as ``name`` until it ends."""
        if not isinstance(ref, ActorRef):
            raise TypeError(f"only the reference of an actor can be registered, not {ref!r}")
        if not ref.alive:
            raise ActorStopped(f"{ref.path} has ended: it cannot be registered as {name!r}")
        taken = self._names.setdefault(name, ref)
        if taken is not ref:
            raise NameTaken(f"{name!r} is {taken.path}")
        names = self._names_of.setdefault(ref._cell, [])
        if name not in names:
            names.append(name)

    def lookup(self, name: str) -> ActorRef[Any] | None:
        """Return the actor registered as ``name``, or with that path, or None.

        The root's own name may be left out of a path.
        """
        ref = self._names.get(name)
        if ref is not None:
            return ref
        cell = self._cells.get(name) or self._cells.get(f"{self._root}/{name}")
        return None if cell is None else ref_of(cell)
