"""Why a call waits in vain, in words."""

from __future__ import annotations

import pytest

from actors.pubsub.model.types import Kind, Target
from actors.pubsub.subscriptions.obstacles import Obstacles
from actors.pubsub.subscriptions.single_placement import SinglePlacement
from actors.pubsub.table.state import TargetState
from actors.redis.exceptions import ClusterDownError

X = Target(Kind.SHARD, b"x")


class Placed(SinglePlacement):
    """A placement that says what a test wants."""

    why: str | None = None

    def unserved(self, target: Target) -> str | None:
        return self.why

    def address_of(self, node: str) -> str:
        return f"{node}:7000"


@pytest.mark.parametrize(
    ("why", "answer", "up", "said"),
    [
        (None, None, (), "'x': there is no connection to a:7000, b:7000 yet"),
        (None, None, ("a",), "'x': a:7000, b:7000 has not answered"),
        (None, "CLUSTERDOWN no", ("a",), "'x': a:7000 answered: CLUSTERDOWN no"),
        ("nobody serves it", None, ("a",), "'x': nobody serves it"),
        (
            "nobody serves it",
            "CLUSTERDOWN no",
            ("a",),
            "'x': nobody serves it; a:7000 answered: CLUSTERDOWN no",
        ),
    ],
)
def test_what_keeps_a_target_from_being_live(why, answer, up, said):
    placement = Placed()
    placement.why = why
    obstacles = Obstacles(placement)
    if answer is not None:
        obstacles.note("a", [X], ClusterDownError(answer))
    row = TargetState(X, places=("a", "b"))
    assert obstacles.of(X, row, up) == said
    obstacles.forget(X)
    assert "answered" not in obstacles.of(X, row, up).replace("has not answered", "")


def test_nothing_is_said_of_a_target_that_nobody_knows():
    assert Obstacles(Placed()).of(X, None, ()) == ""
