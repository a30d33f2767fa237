"""The supervision tree as a value, for terminals, pages and tests (S8)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from supervisor.child import Child
from supervisor.log import printable


class TreeNode(msgspec.Struct, frozen=True):
    """One supervisor or child, and all below it; msgspec encodes it to JSON as it is.

    Attributes:
        id: the child's id.
        path: ids from the root down, joined by ``/``.
        kind: supervisor, worker, actor, ...
        status: down, starting, running, stopping, or waiting during a back-off.
        incarnation: how many times it was started.
        restarts: how many of these were restarts.
        uptime: seconds since the last start; 0.0 when it is not up.
        last_exit: why it last ended, in words.
        backoff_left: seconds until the next start, during a back-off.
        detail: what the child's ``describe`` returns: an actor its mailbox, a reader its node.
        children: the nodes below.
    """

    id: str
    path: str
    kind: str
    status: str
    incarnation: int = 0
    restarts: int = 0
    uptime: float = 0.0
    last_exit: str | None = None
    backoff_left: float | None = None
    detail: Mapping[str, Any] = msgspec.field(default_factory=dict)
    children: tuple[TreeNode, ...] = ()

    def walk(self) -> Iterator[TreeNode]:
        """Yield this node and all below it, parents first."""
        left = [self]
        while left:
            node = left.pop()
            yield node
            left += reversed(node.children)

    def find(self, path: str) -> TreeNode | None:
        """Return the node at ``path``, or None."""
        return next((node for node in self.walk() if node.path == path), None)

    def __str__(self) -> str:
        return format_tree(self)


def format_tree(node: TreeNode) -> str:
    """Return ``node`` and all below it as an indented tree, a line each."""
    lines: list[str] = []
    # What is still to draw, the next one last: the text before a node, that before those below it.
    left = [("", "", node)]
    while left:
        before, indent, one = left.pop()
        lines.append(before + _line(one))
        branches = [(f"{indent}├─ ", f"{indent}│  ", child) for child in one.children]
        if branches:
            branches[-1] = (f"{indent}└─ ", f"{indent}   ", one.children[-1])
        left += reversed(branches)
    return "\n".join(lines)


def _line(node: TreeNode) -> str:
    parts = [node.id, f"({node.kind})" if node.kind else "", node.status]
    if node.backoff_left is not None:
        parts.append(f"next start in {node.backoff_left:.1f} s")
    if node.restarts:
        parts.append(f"restarts={node.restarts}")
    parts += [f"{key}={value}" for key, value in node.detail.items()]
    if node.last_exit and node.restarts:
        parts.append(f"[{node.last_exit}]")
    return printable(" ".join(part for part in parts if part))


def child_nodes(
    children: Iterable[Child], now: float, below: Callable[[Child], Iterable[Child]]
) -> tuple[TreeNode, ...]:
    """Return the nodes of ``children`` and of what is below them, at any depth.

    Args:
        now: the time on the supervisor's clock.
        below: returns the children of a child that is a supervisor.
    """
    # Each child with the number of its parent, parents first; the list grows on the way.
    found = [(child, -1) for child in children]
    for number, (child, _) in enumerate(found):
        found += [(one, number) for one in below(child)]
    # From the last one on, so that the nodes below a child are there before its own.
    nodes: dict[int, list[TreeNode]] = {}
    for number in range(len(found) - 1, -1, -1):
        child, parent = found[number]
        under = tuple(reversed(nodes.pop(number, ())))
        nodes.setdefault(parent, []).append(_node(child, now, under))
    return tuple(reversed(nodes.get(-1, ())))


def _node(child: Child, now: float, below: tuple[TreeNode, ...]) -> TreeNode:
    until = child.backoff_until
    return TreeNode(
        id=child.spec.id,
        path=child.path,
        kind=child.spec.kind,
        status=child.status.value if until is None else "waiting",
        incarnation=child.incarnation,
        restarts=child.restarts,
        uptime=child.uptime,
        last_exit=None if child.last_exit is None else str(child.last_exit),
        backoff_left=None if until is None else max(0.0, until - now),
        detail=_detail(child),
        children=below,
    )


def _detail(child: Child) -> Mapping[str, Any]:
    if child.describe is None:
        return {}
    try:
        return child.describe()
    except Exception as error:
        # People look at the tree when something is wrong: one child must not hide the rest.
        return {"error": repr(error)}
