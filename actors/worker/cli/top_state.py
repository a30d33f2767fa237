"""The state of ``mailslot top`` as values (pure): rows from two answers of ``/stats``, and keys."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Any

import msgspec

from actors.worker.http.endpoints import Stats
from actors.worker.observe.snapshot import FailureNote, GapNote, HandlerState, Snapshot
from supervisor import TreeNode


class Sort(Enum):
    """The column by which handlers are sorted, and the key that chooses it."""

    NAME = "n"
    RATE = "r"
    DEPTH = "d"
    AGE = "a"
    FAILED = "f"
    RESTARTS = "s"


class Row(msgspec.Struct, frozen=True):
    """A handler, and how many messages a second it handles."""

    process: int
    handler: HandlerState
    rate: float

    @property
    def key(self) -> tuple[int, str]:
        """Identifies the handler in every answer."""
        return (self.process, self.handler.path)


class Look(msgspec.Struct, frozen=True):
    """One answer of ``/stats``, and a row for each of its handlers."""

    stats: Stats
    rows: tuple[Row, ...]

    @classmethod
    def of(cls, stats: Stats, before: Look | None) -> Look:
        """Return ``stats`` with the rates since ``before``."""
        last = {} if before is None else {row.key: row for row in before.rows}
        times = {} if before is None else {s.process: s.at for s in before.stats.worker.snapshots}
        rows = []
        for one in stats.worker.snapshots:
            passed = one.at - times.get(one.process, one.at)
            for handler in one.handlers:
                row = last.get((one.process, handler.path))
                rate = 0.0
                if row is not None:
                    handled = max(0, handler.handled - row.handler.handled)
                    rate = handled / passed if passed > 0 else row.rate
                rows.append(Row(one.process, handler, rate))
        return cls(stats, tuple(rows))

    def sorted(self, sort: Sort) -> list[Row]:
        """Return the rows by name, or those with the highest numbers first."""
        rows = sorted(self.rows, key=lambda row: (row.handler.name, row.process))
        if sort is Sort.RATE:
            rows.sort(key=lambda row: -row.rate)
        elif sort is not Sort.NAME:  # the others are attributes of a handler
            rows.sort(key=lambda row: -getattr(row.handler, sort.name.lower()))
        return rows

    def row(self, key: Any) -> Row | None:
        """Return the row with ``key``; None: the handler is gone."""
        return next((row for row in self.rows if row.key == key), None)

    def gaps(self, row: Row | None = None) -> list[GapNote]:
        """Return the latest gaps, newest first, of one handler or of all."""
        gaps = [gap for one in self._of(row) for gap in one.recent_gaps]
        if row is not None:
            gaps = [gap for gap in gaps if gap.path == row.handler.path]
        return sorted(gaps, key=lambda gap: -gap.until)

    def failures(self, row: Row | None = None) -> list[FailureNote]:
        """Return the latest failures, newest first, of one handler or of all."""
        notes = [note for one in self._of(row) for note in one.recent_failures]
        if row is not None:
            notes = [note for note in notes if note.path == row.handler.path]
        return sorted(notes, key=lambda note: -note.at)

    def _of(self, row: Row | None) -> list[Snapshot]:
        snapshots = self.stats.worker.snapshots
        return [one for one in snapshots if row is None or one.process == row.process]


class View(msgspec.Struct, frozen=True):
    """What the user has chosen to see."""

    sort: Sort = Sort.DEPTH  # the order of the handlers
    cursor: int = 0  # the number of the chosen row, from the top
    # the key of the chosen row, which the cursor follows in another order; None: it stays
    chosen: Any = None
    detail: bool = False  # whether the details of the chosen handler are shown
    tree: bool = False  # whether the tree is shown instead of the handlers
    done: bool = False  # whether the user has quit

    def at(self, choices: Sequence[Any]) -> int:
        """Return the number of the chosen row; ``choices`` are the keys of all rows in order."""
        if self.chosen is not None and self.chosen in choices:
            return choices.index(self.chosen)
        return max(0, min(self.cursor, len(choices) - 1))


_KEY = re.compile(r"\x1b[\[O][0-9;]*[A-Za-z~]|.", re.DOTALL)
_UP, _DOWN = {"k", "\x1b[A", "\x1bOA"}, {"j", "\x1b[B", "\x1bOB"}
_SORTS = {sort.value: sort for sort in Sort}


def keys_of(text: str) -> list[str]:
    """Return the keys that a terminal sent, escape sequences in one piece."""
    return _KEY.findall(text)


def pressed(view: View, key: str, choices: Sequence[Any]) -> View:
    """Return the view after ``key``; ``choices`` are the keys of all rows in order."""
    change = msgspec.structs.replace
    if key in ("q", "\x03"):
        return change(view, done=True)
    if key in ("\x1b", "\x7f"):
        return change(view, detail=False, tree=False)
    if key in ("\r", "\n"):
        view = _moved(view, choices, 0)
        return change(view, detail=not view.detail, tree=False)
    if key == "t":
        return change(view, tree=not view.tree, detail=False, cursor=0, chosen=None)
    if key in _UP:
        return _moved(view, choices, -1)
    if key in _DOWN:
        return _moved(view, choices, 1)
    if key in _SORTS:
        return change(view, sort=_SORTS[key], cursor=0, chosen=None)
    return view


def _moved(view: View, choices: Sequence[Any], by: int) -> View:
    if not choices:
        return view
    at = max(0, min(len(choices) - 1, view.at(choices) + by))
    return msgspec.structs.replace(view, cursor=at, chosen=choices[at])


def tree_lines(node: TreeNode, indent: str = "") -> Iterator[tuple[str, TreeNode]]:
    """Yield each node of a tree with its indentation, parents first."""
    yield indent, node
    for child in node.children:
        yield from tree_lines(child, indent + "  ")
