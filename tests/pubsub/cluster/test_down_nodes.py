"""Which nodes without a connection may have been restarted meanwhile (P10)."""

from __future__ import annotations

import pytest

from actors.pubsub.cluster.down_nodes import DownNodes


@pytest.mark.parametrize(
    ("facts", "restarted"),
    [
        ("lost a, found a", "-"),
        ("lost a, unreachable a, found a", "a"),
        ("lost a, lost b, unreachable b, found a, found b", "ab"),
        ("lost b, unreachable b, lost a, found a, found b", "ab"),
        ("lost b, unreachable b, found b, lost a, found a", "b-"),
        ("lost a, lost c, unreachable c, found a, found c", "-c"),
        ("unreachable a, found a, lost a, found a", "a-"),
        ("found a 7, lost a, found a 8", "-"),
        ("found a 7, lost a, found a 7", "a"),
        ("found a 7, lost a, lost b, found a 5, found b 9", "ab"),
    ],
)
def test_p10_the_nodes_of_a_shard_of_which_one_refused_connections_may_have_been_restarted(
    facts, restarted
):
    down = DownNodes(lambda: 100.0, lambda node: "ab" if node in "ab" else "cd")
    found = []
    for fact in facts.split(", "):
        what, node, *client_id = fact.split()
        if what != "found":
            getattr(down, what)(node)
            continue
        was_down, was_restarted = down.found(node, int(*client_id) if client_id else None)
        if was_down:
            found.append(node if was_restarted else "-")
    assert "".join(found) == restarted
    assert not down.since


def test_a_node_that_is_alone_in_its_shard_missed_nothing_by_a_restart():
    down = DownNodes(lambda: 100.0, lambda node: (node,))
    down.unreachable("a")
    assert down.found("a", 7) == (True, False)
    assert down.found("a", 9) == (False, False)


def test_nodes_that_left_the_cluster_are_forgotten():
    down = DownNodes(lambda: 100.0, lambda _: "ab")
    for node in "ab":
        down.found(node, 7)
        down.unreachable(node)
    down.keep({"a"})
    assert list(down.since) == ["a"]
    assert down.found("b", 5) == (False, False), "it is a new node"
    assert down.found("a", 9) == (True, True)
