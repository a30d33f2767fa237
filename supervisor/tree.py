"""The supervision tree as a value, for terminals, pages and tests (S8)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from supervisor.printable import printable


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
