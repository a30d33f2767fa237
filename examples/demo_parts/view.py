"""The actor tree as rows with rates, mailboxes and restarts; many siblings share one row."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from supervisor import TreeNode

__all__ = ["Figures", "Meter", "Row", "tree_rows"]

#: More siblings than this are shown as one row.
MOST_SIBLINGS = 6


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the tree; a ``rate`` of None: the node counts no messages."""

    name: str
    status: str
    rate: float | None
    mailbox: int
    restarts: int
    note: str


class Meter:
    """Rates of counters, over about the last second."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[float, float, float]] = {}

    def rate(self, name: str, count: float) -> float:
        """Return by how much ``count`` grows in a second."""
        now = time.monotonic()
        since, base, rate = self._seen.setdefault(name, (now, count, 0.0))
        if now - since >= 1.0:
            rate = max(0.0, (count - base) / (now - since))
            self._seen[name] = (now, count, rate)
        return rate


@dataclass(frozen=True, slots=True)
class Figures:
    """The numbers that are shown of a node beside those in the tree.

    Attributes:
        rate_of: returns how many messages a node handles a second; None: it counts none.
        restarts_of: returns how often a node was restarted.
    """

    rate_of: Callable[[TreeNode], float | None]
    restarts_of: Callable[[TreeNode], int]


def tree_rows(tree: TreeNode, figures: Figures) -> list[Row]:
    """Return ``tree`` line by line."""
    rows: list[Row] = []
    _add(rows, tree, "", "", figures)
    return rows


def _add(rows: list[Row], node: TreeNode, first: str, rest: str, figures: Figures) -> None:
    restarts = figures.restarts_of(node)
    rows.append(
        Row(
            name=first + node.id,
            status=_status([node]),
            rate=figures.rate_of(node),
            mailbox=node.detail.get("mailbox", 0),
            restarts=restarts,
            note=f"last: {node.last_exit}" if restarts and node.last_exit else "",
        )
    )
    children = node.children
    if len(children) > MOST_SIBLINGS and not any(child.children for child in children):
        rows.append(_folded(children, rest, figures))
        return
    for child in children:
        tee, rail = ("└─ ", "   ") if child is children[-1] else ("├─ ", "│  ")
        _add(rows, child, rest + tee, rest + rail, figures)


def _folded(nodes: Sequence[TreeNode], indent: str, figures: Figures) -> Row:
    rates = [rate for rate in map(figures.rate_of, nodes) if rate is not None]
    return Row(
        name=f"{indent}└─ {len(nodes)} actors",
        status=_status(nodes),
        rate=sum(rates) if rates else None,
        mailbox=sum(node.detail.get("mailbox", 0) for node in nodes),
        restarts=sum(map(figures.restarts_of, nodes)),
        note="",
    )


def _status(nodes: Sequence[TreeNode]) -> str:
    unusual = [node for node in nodes if node.status != "running"]
    if not unusual:
        return "running"
    if len(nodes) > 1:
        return f"{len(unusual)} {unusual[0].status}"
    left = unusual[0].backoff_left
    return unusual[0].status if left is None else f"again in {left:.1f} s"
