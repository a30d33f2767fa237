"""A tree is read, drawn and stopped at any depth."""

from __future__ import annotations

from typing import Any

import pytest

from actors import Actor, ActorSystem
from supervisor import TreeNode
from tests.support import eventually


class Nest(Actor[Any]):
    """Has one child, that has one child, and so on, ``below`` times."""

    def __init__(self, below: int) -> None:
        self._below = below

    async def on_start(self) -> None:
        if self._below:
            self.context.spawn(Nest, self._below - 1, name="n", shutdown=60.0)

    def receive(self, message: Any) -> None: ...


def size(tree: TreeNode) -> int:
    return sum(1 for _ in tree.walk())


@pytest.mark.parametrize("depth", [400, 800])
async def test_actors_nested_so_deep_are_drawn_and_stopped(depth):
    async with ActorSystem("s", intensity=None) as system:
        system.spawn(Nest, depth, name="n")
        await eventually(lambda: size(system.tree()) == depth + 2, 60, every=0.05)
        await eventually(lambda: "starting" not in str(system.tree()), 60, every=0.05)
        tree = system.tree()
        lines = str(tree).splitlines()
        assert len(lines) == depth + 2
        assert lines[-1].startswith("   " * depth + "└─ n (actor) running")
        deepest = "s" + "/n" * (depth + 1)
        assert tree.find(deepest) is not None
        assert [node.path.count("/") for node in tree.walk()] == list(range(depth + 2))
    assert system.report is not None
    assert system.report.clean


def test_branches_are_drawn_beside_each_other():
    def node(id: str, *children: TreeNode) -> TreeNode:
        return TreeNode(id, id, "", "up", children=children)

    tree = node("a", node("b", node("c"), node("d", node("e"))), node("f", node("g")), node("h"))
    assert str(tree).splitlines() == [
        "a up",
        "├─ b up",
        "│  ├─ c up",
        "│  └─ d up",
        "│     └─ e up",
        "├─ f up",
        "│  └─ g up",
        "└─ h up",
    ]
    assert [one.id for one in tree.walk()] == list("abcdefgh")
