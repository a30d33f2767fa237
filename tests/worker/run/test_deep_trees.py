"""What goes into JSON has a limit of depth; deeper trees are cut, and say so."""

from __future__ import annotations

import msgspec
import pytest

from actors import Actor
from actors.worker.observe.snapshot import Snapshot
from actors.worker.run.observer import cut
from supervisor import TreeNode
from tests.support import eventually
from tests.worker.helpers import make_worker


def size(tree: TreeNode) -> int:
    return sum(1 for _ in tree.walk())


def deep(levels: int) -> TreeNode:
    """Return a tree in which each node but the deepest has a child and a sibling of that."""
    tree = TreeNode("0", "0", "actor", "running")
    for level in range(1, levels + 1):
        sibling = TreeNode("sibling", "sibling", "actor", "running")
        tree = TreeNode(str(level), str(level), "actor", "running", children=(sibling, tree))
    return tree


def test_a_tree_that_is_cut_says_how_much_is_below():
    tree = deep(1000)
    shown = cut(tree, 100)
    assert msgspec.json.decode(msgspec.json.encode(shown), type=TreeNode) == shown
    assert size(shown) == 201
    told = [node.detail["below"] for node in shown.walk() if "below" in node.detail]
    assert told == [size(tree) - size(shown)]


def test_a_tree_that_is_not_too_deep_stays_as_it_is():
    tree = deep(100)
    assert cut(tree, 100) is tree


class Nest(Actor[object]):
    """Has one child, that has one child, and so on, ``below`` times."""

    def __init__(self, below: int = 600) -> None:
        self._below = below

    async def on_start(self) -> None:
        if self._below:
            self.context.spawn(Nest, self._below - 1, name="n")

    def receive(self, message: object) -> None: ...


@pytest.mark.embedded_only
async def test_the_snapshot_of_a_worker_with_such_a_tree_is_json(shared_server):
    app = make_worker(shared_server)
    app.actor(Nest)
    async with app:
        await eventually(lambda: size(app.tree()) > 600, 60, every=0.05)
        text = msgspec.json.encode(app.snapshot())
        assert "below" in text.decode()
        msgspec.json.decode(text, type=Snapshot)
        assert len(str(app.tree()).splitlines()) > 600
