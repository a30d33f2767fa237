"""The short way of a usual loss comes to what the long way does, whatever went before."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.pubsub.model.types import Kind, Target
from actors.pubsub.table.state import TargetState
from actors.pubsub.table.table import Table

NODES = st.sampled_from("ab")
TARGETS = st.sampled_from([Target(Kind.SHARD, name) for name in (b"x", b"y")])
PLACES = st.lists(NODES, unique=True, max_size=2).map(tuple)
AGO = st.sampled_from([0.0, 0.5, 3.0])

STEPS = st.one_of(
    st.tuples(st.just("want"), TARGETS, PLACES),
    st.tuples(st.just("unwant"), TARGETS),
    st.tuples(st.just("place"), TARGETS, PLACES),
    st.tuples(st.just("node_up"), NODES),
    st.tuples(st.just("node_down"), NODES, AGO, st.just("lost")),
    st.tuples(st.just("confirmed"), NODES, TARGETS, AGO),
    st.tuples(st.just("confirmed"), NODES, TARGETS, AGO),
    st.tuples(st.just("removed"), NODES, TARGETS),
    st.tuples(st.just("revoked"), NODES, TARGETS, AGO),
    st.tuples(st.just("refused"), NODES, TARGETS),
    st.tuples(st.just("doubt"), NODES, AGO, st.just("silent")),
    st.tuples(st.just("retry")),
)


class LongWay(Table):
    """Never takes the short way."""

    @staticmethod
    def _is_plain(row: TargetState, node: str) -> bool:
        return False


@settings(deadline=None, max_examples=200)
@given(st.lists(STEPS, max_size=25))
def test_the_short_way_comes_to_what_the_long_way_does(steps: list[tuple[Any, ...]]):
    short, long = Table(), LongWay()
    # The beginning that both ways have in common with real life: something is live.
    for table in (short, long):
        for node in "ab":
            table.node_up(node)
        for name in (b"x", b"y"):
            table.want(Target(Kind.SHARD, name), ("a",))
            table.confirmed("a", Target(Kind.SHARD, name), 0.0)
    for now, (name, *arguments) in enumerate(steps, 10):
        # A float is how long ago something was.
        values = [now - each if isinstance(each, float) else each for each in arguments]
        assert getattr(short, name)(*values) == getattr(long, name)(*values)
        assert short.rows == long.rows
