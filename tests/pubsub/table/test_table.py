"""The subscription table by stories: a fact, and the commands that follow from it.

What holds in every order of events is in test_table_machine.py.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from actors.pubsub.model.types import Kind, Target
from actors.pubsub.table.state import (
    Command,
    GapEnded,
    Handover,
    NodeStatus,
    SetSource,
    Subscribe,
    Unsubscribe,
)
from actors.pubsub.table.table import Table

X = Target(Kind.SHARD, b"x")
Y = Target(Kind.PATTERN, b"y")

Fact = Callable[[Table], list[Command] | None]
Story = list[tuple[Fact, list[Command]]]


def want(*places: str, target: Target = X) -> Fact:
    return lambda table: table.want(target, places)


def unwant(target: Target = X) -> Fact:
    return lambda table: table.unwant(target)


def place(*places: str) -> Fact:
    return lambda table: table.place(X, places)


def up(node: str) -> Fact:
    return lambda table: table.node_up(node)


def down(node: str, proof: float = 1.0) -> Fact:
    return lambda table: table.node_down(node, proof, f"{node} is gone")


def confirmed(node: str, now: float = 0.5, target: Target = X) -> Fact:
    return lambda table: table.confirmed(node, target, now)


def removed(node: str) -> Fact:
    return lambda table: table.removed(node, X)


def refused(node: str) -> Fact:
    return lambda table: table.refused(node, X)


def revoked(node: str, now: float = 2.0, *, promoted: bool = False) -> Fact:
    return lambda table: table.revoked(node, X, now, promoted=promoted)


def took_over(node: str, proof: float, heard: float) -> Fact:
    return lambda table: table.revoked(node, X, proof, promoted=True, heard=heard)


def moved(node: str, proof: float, missed_until: float) -> Fact:
    return lambda table: table.revoked(node, X, proof, missed_until=missed_until)


def missed(since: float, until: float, *targets: Target) -> Fact:
    return lambda table: table.missed(targets, since, until, "the primary died")


def doubt(node: str, proof: float) -> Fact:
    return lambda table: table.doubt(node, proof, f"{node} is silent")


def trust(node: str, now: float) -> Fact:
    return lambda table: table.trust(node, now, nothing_lost=False)


def handover_done(old: str) -> Fact:
    return lambda table: table.handover_done(X, old)


def retry(*targets: Target) -> Fact:
    return lambda table: table.retry(targets or None)


def gap(since: float) -> Fact:
    return lambda table: table.open_gap(X, since, "not connected")


LIVE_ON_A: Story = [
    (up("a"), []),
    (want("a"), [Subscribe("a", X)]),
    (confirmed("a"), [SetSource(X, "a")]),
]

STORIES: dict[str, Story] = {
    "p1 desired while nothing is connected": [
        (want("a"), []),
        (gap(1.0), []),
        (up("a"), [Subscribe("a", X)]),
        (confirmed("a", 9.0), [GapEnded(X, 1.0, 9.0, "not connected"), SetSource(X, "a")]),
    ],
    "p1 desired twice is asked for once": [
        (up("a"), []),
        (want("a"), [Subscribe("a", X)]),
        (want("a"), []),
        (confirmed("a"), [SetSource(X, "a")]),
        (want("a"), []),
    ],
    "p1 the end of a subscription": [
        *LIVE_ON_A,
        (unwant(), [SetSource(X, None), Unsubscribe("a", X)]),
        (removed("a"), []),
    ],
    "p1 unwanted before it was acknowledged": [
        (up("a"), []),
        (want("a"), [Subscribe("a", X)]),
        (unwant(), []),
        (confirmed("a"), [Unsubscribe("a", X)]),
        (removed("a"), []),
    ],
    "p1 wanted again before the end was acknowledged": [
        *LIVE_ON_A,
        (unwant(), [SetSource(X, None), Unsubscribe("a", X)]),
        (want("a"), []),
        (removed("a"), [Subscribe("a", X)]),
        (confirmed("a"), [SetSource(X, "a")]),
    ],
    "p1 unwanted in an outage": [
        *LIVE_ON_A,
        (down("a"), [SetSource(X, None)]),
        (unwant(), []),
        (up("a"), []),
    ],
    "p1 unwanted and down at once": [
        *LIVE_ON_A,
        (unwant(), [SetSource(X, None), Unsubscribe("a", X)]),
        (down("a"), []),
    ],
    "p1 what a connection did not acknowledge does not count on the next one": [
        (up("a"), []),
        (want("a"), [Subscribe("a", X)]),
        (down("a"), []),
        (confirmed("a"), []),
        (up("a"), [Subscribe("a", X)]),
        (confirmed("a"), [SetSource(X, "a")]),
    ],
    "p10 a lost connection is a gap from the last proof to the acknowledgement": [
        *LIVE_ON_A,
        (down("a", 5.0), [SetSource(X, None)]),
        (up("a"), [Subscribe("a", X)]),
        (confirmed("a", 7.0), [GapEnded(X, 5.0, 7.0, "a is gone"), SetSource(X, "a")]),
    ],
    "p10 two losses before it is back are one gap from the first one": [
        *LIVE_ON_A,
        (down("a", 5.0), [SetSource(X, None)]),
        (up("a"), [Subscribe("a", X)]),
        (down("a", 6.0), []),
        (up("a"), [Subscribe("a", X)]),
        (confirmed("a", 7.0), [GapEnded(X, 5.0, 7.0, "a is gone"), SetSource(X, "a")]),
    ],
    "p10 no gap where it stayed live elsewhere": [
        (up("a"), []),
        (up("b"), []),
        (want("a", "b"), [Subscribe("a", X), Subscribe("b", X)]),
        (confirmed("a"), [SetSource(X, "a")]),
        (confirmed("b"), []),
        (down("a"), [SetSource(X, "b")]),
        (up("a"), [Subscribe("a", X)]),
        (confirmed("a"), [Handover(X, "b", "a")]),
        (handover_done("b"), [SetSource(X, "a")]),
    ],
    "p11 refused, and asked again": [
        (up("a"), []),
        (want("a"), [Subscribe("a", X)]),
        (refused("a"), []),
        (up("b"), []),
        (retry(Y), []),
        (retry(X), [Subscribe("a", X)]),
        (refused("a"), []),
        (retry(), [Subscribe("a", X)]),
        (confirmed("a"), [SetSource(X, "a")]),
        (retry(), []),
    ],
    "p11 refused when nobody wants it any more": [
        (up("a"), []),
        (want("a"), [Subscribe("a", X)]),
        (unwant(), []),
        (refused("a"), []),
    ],
    "p11 a new connection is asked what the old one refused": [
        (up("a"), []),
        (want("a"), [Subscribe("a", X)]),
        (refused("a"), []),
        (down("a"), []),
        (up("a"), [Subscribe("a", X)]),
    ],
    "p5 revoked, and asked again at once": [
        *LIVE_ON_A,
        (revoked("a", 3.0), [Subscribe("a", X), SetSource(X, None)]),
        (confirmed("a", 4.0), [GapEnded(X, 3.0, 4.0, "the slot moved"), SetSource(X, "a")]),
    ],
    "p5 revoked while the other one is live already": [
        *LIVE_ON_A,
        (up("b"), []),
        (place("b", "a"), [Subscribe("b", X)]),
        (confirmed("b"), [Handover(X, "a", "b")]),
        (revoked("a"), [Subscribe("a", X), SetSource(X, "b")]),
    ],
    "p10 it was live elsewhere since, and not before: a gap that is over": [
        *LIVE_ON_A,
        (up("b"), []),
        (place("a", "b"), [Subscribe("b", X)]),
        (confirmed("b", 3.0), []),
        (down("a", 2.0), [GapEnded(X, 2.0, 3.0, "a is gone"), SetSource(X, "b")]),
    ],
    "p10 what ended was proof until then": [
        *LIVE_ON_A,
        (up("b"), []),
        (up("c"), []),
        (place("a", "b", "c"), [Subscribe("b", X), Subscribe("c", X)]),
        (confirmed("b", 1.0), []),
        (confirmed("c", 4.0), []),
        (revoked("b", 5.0), [Subscribe("b", X)]),
        (down("a", 2.0), [SetSource(X, "c")]),
    ],
    "p10 a gap is told once": [
        *LIVE_ON_A,
        (up("b"), []),
        (place("a", "b"), [Subscribe("b", X)]),
        (confirmed("b", 3.0), []),
        (
            revoked("a", 2.0),
            [GapEnded(X, 2.0, 3.0, "the slot moved"), Subscribe("a", X), SetSource(X, "b")],
        ),
        (confirmed("a", 4.0), [Handover(X, "b", "a")]),
        (revoked("a", 2.5), [Subscribe("a", X), SetSource(X, "b")]),
    ],
    "p5 a late revocation does not undo what is on its way": [
        *LIVE_ON_A,
        (unwant(), [SetSource(X, None), Unsubscribe("a", X)]),
        (want("a"), []),
        (removed("a"), [Subscribe("a", X)]),
        (revoked("a"), []),
        (confirmed("a"), [SetSource(X, "a")]),
    ],
    "p7 a better place takes over, then the old one is left": [
        *LIVE_ON_A,
        (up("b"), []),
        (place("b"), [Subscribe("b", X)]),
        (confirmed("b"), [Handover(X, "a", "b")]),
        (handover_done("a"), [SetSource(X, "b"), Unsubscribe("a", X)]),
        (removed("a"), []),
    ],
    "p7 the new source is lost during the hand-over": [
        *LIVE_ON_A,
        (up("b"), []),
        (place("b"), [Subscribe("b", X)]),
        (confirmed("b"), [Handover(X, "a", "b")]),
        (down("b"), [SetSource(X, "a")]),
        (handover_done("a"), []),
    ],
    "p7 the old source is lost during the hand-over": [
        *LIVE_ON_A,
        (up("b"), []),
        (place("b"), [Subscribe("b", X)]),
        (confirmed("b"), [Handover(X, "a", "b")]),
        (down("a"), [SetSource(X, "b")]),
        (handover_done("a"), []),
    ],
    "p7 a second hand-over begins when the first one is over": [
        *LIVE_ON_A,
        (up("b"), []),
        (up("c"), []),
        (place("b"), [Subscribe("b", X)]),
        (confirmed("b"), [Handover(X, "a", "b")]),
        (place("c"), [Subscribe("c", X)]),
        (confirmed("c"), []),
        (handover_done("a"), [SetSource(X, "b"), Handover(X, "b", "c"), Unsubscribe("a", X)]),
        (handover_done("b"), [SetSource(X, "c"), Unsubscribe("b", X)]),
    ],
    "p7 a second hand-over begins when the first one lost its old node": [
        *LIVE_ON_A,
        (up("b"), []),
        (up("c"), []),
        (place("b"), [Subscribe("b", X)]),
        (confirmed("b"), [Handover(X, "a", "b")]),
        (place("c"), [Subscribe("c", X)]),
        (confirmed("c"), []),
        (down("a"), [SetSource(X, "b"), Handover(X, "b", "c")]),
    ],
    "p7 what took over in between is gone: the first one goes on until the next one has it all": [
        *LIVE_ON_A,
        (up("b"), []),
        (up("c"), []),
        (place("b", "a"), [Subscribe("b", X)]),
        (confirmed("b", 1.0), [Handover(X, "a", "b")]),
        (place("b", "a", "c"), [Subscribe("c", X)]),
        (confirmed("c", 1.5), []),
        (place("c"), []),
        (revoked("b"), [SetSource(X, "a"), Handover(X, "a", "c")]),
        (handover_done("a"), [SetSource(X, "c"), Unsubscribe("a", X)]),
    ],
    "p7 what took over in between is gone, and nobody is there but the first one": [
        *LIVE_ON_A,
        (up("b"), []),
        (place("b", "a"), [Subscribe("b", X)]),
        (confirmed("b", 1.0), [Handover(X, "a", "b")]),
        (revoked("b"), [Subscribe("b", X), SetSource(X, "a")]),
    ],
    "p7 unwanted during a hand-over": [
        *LIVE_ON_A,
        (up("b"), []),
        (place("b"), [Subscribe("b", X)]),
        (confirmed("b"), [Handover(X, "a", "b")]),
        (unwant(), [SetSource(X, None), Unsubscribe("a", X), Unsubscribe("b", X)]),
        (handover_done("a"), []),
    ],
    "p5 who seemed to take over and did not was the only one for a while": [
        *LIVE_ON_A,
        (up("b"), []),
        (place("a", "b"), [Subscribe("b", X)]),
        (confirmed("b", 3.0), []),
        (revoked("a", 2.0, promoted=True), [Subscribe("a", X), SetSource(X, "b")]),
        (refused("a"), [GapEnded(X, 2.0, 3.0, "another node took over")]),
    ],
    "p5 who seemed to take over and did not was never the only one": [
        *LIVE_ON_A,
        (up("b"), []),
        (place("a", "b"), [Subscribe("b", X)]),
        (confirmed("b", 1.0), []),
        (revoked("a", 2.0, promoted=True), [Subscribe("a", X), SetSource(X, "b")]),
        (refused("a"), []),
        (revoked("b", 4.0), [Subscribe("b", X), SetSource(X, None)]),
        (confirmed("b", 5.0), [GapEnded(X, 4.0, 5.0, "the slot moved"), SetSource(X, "b")]),
    ],
    "p10 what took over had been quiet since before the last gap, and another one was live since": [
        *LIVE_ON_A,
        (up("b"), []),
        (place("b", "a"), [Subscribe("b", X)]),
        (revoked("a", 2.0), [Subscribe("a", X), SetSource(X, None)]),
        (confirmed("b", 3.0), [GapEnded(X, 2.0, 3.0, "the slot moved"), SetSource(X, "b")]),
        (confirmed("a", 4.0), []),
        (took_over("a", 2.9, heard=3.5), [Subscribe("a", X)]),
        (confirmed("a", 5.0), [GapEnded(X, 3.5, 5.0, "another node took over")]),
    ],
    "p10 what took over is asked again while doubted: where it is sure to be live, it counts": [
        *LIVE_ON_A,
        (up("b"), []),
        (place("a", "b"), [Subscribe("b", X)]),
        (confirmed("b", 1.0), []),
        (revoked("a", 2.0, promoted=True), [Subscribe("a", X), SetSource(X, "b")]),
        (doubt("a", 2.5), []),
        (
            confirmed("a", 3.0),
            [GapEnded(X, 2.0, 3.0, "another node took over"), Handover(X, "b", "a")],
        ),
    ],
    "p10 the same, and the only one: live again when it is trusted": [
        *LIVE_ON_A,
        (revoked("a", 2.0, promoted=True), [Subscribe("a", X), SetSource(X, None)]),
        (doubt("a", 2.5), []),
        (confirmed("a", 3.0), [SetSource(X, "a")]),
        (trust("a", 4.0), [GapEnded(X, 2.0, 4.0, "another node took over")]),
    ],
    "p10 what a replica had not got of its primary when the slot left both": [
        (up("r"), []),
        (up("b"), []),
        (want("r", "b"), [Subscribe("r", X), Subscribe("b", X)]),
        (confirmed("r", 0.5), [SetSource(X, "r")]),
        (confirmed("b", 0.6), []),
        (
            moved("r", 2.0, 2.07),
            [
                GapEnded(X, 2.0, 2.07, "the slot moved"),
                Subscribe("r", X),
                SetSource(X, "b"),
            ],
        ),
    ],
    "p10 the same, where the slot's new owner is live only later": [
        (up("r"), []),
        (up("b"), []),
        (want("r", "b"), [Subscribe("r", X), Subscribe("b", X)]),
        (confirmed("r", 0.5), [SetSource(X, "r")]),
        (moved("r", 2.0, 2.07), [Subscribe("r", X), SetSource(X, None)]),
        (confirmed("b", 2.2), [GapEnded(X, 2.0, 2.2, "the slot moved"), SetSource(X, "b")]),
    ],
    "p10 the same, where it was live between the two": [
        (up("r"), []),
        (up("b"), []),
        (want("r", "b"), [Subscribe("r", X), Subscribe("b", X)]),
        (confirmed("r", 0.5), [SetSource(X, "r")]),
        (confirmed("b", 2.03), []),
        (
            moved("r", 2.0, 2.07),
            [GapEnded(X, 2.0, 2.07, "the slot moved"), Subscribe("r", X), SetSource(X, "b")],
        ),
        (down("b", 2.05), [SetSource(X, None)]),
        (confirmed("r", 3.0), [GapEnded(X, 2.07, 3.0, "b is gone"), SetSource(X, "r")]),
    ],
    "p10 what a primary that died had not passed on to its replicas": [
        *LIVE_ON_A,
        (missed(1.0, 1.1, X, Y), [GapEnded(X, 1.0, 1.1, "the primary died")]),
        (unwant(), [SetSource(X, None), Unsubscribe("a", X)]),
        (missed(1.0, 1.1, X), []),
    ],
    "what is not known changes nothing": [
        (unwant(), []),
        (place("a"), []),
        (confirmed("a"), []),
        (removed("a"), []),
        (refused("a"), []),
        (revoked("a"), []),
        (handover_done("a"), []),
        (down("a"), []),
        (gap(1.0), []),
        (retry(X), []),
    ],
}


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES.keys())
def test_story(story: Story):
    table = Table()
    for number, (fact, commands) in enumerate(story):
        assert (fact(table) or []) == commands, f"step {number}"


def test_p1_nothing_but_the_user_removes_a_desired_target():
    table = Table()
    for fact in (up("a"), want("a"), refused("a"), down("a"), up("a"), revoked("a"), place()):
        fact(table)
        if len(table.rows):
            assert table.rows[X].wanted
    assert X in table.rows
    table.unwant(X)
    table.node_down("a", 1.0, "")
    assert table.rows == {}


def test_p3_a_node_that_goes_takes_only_what_it_had():
    table = Table()
    for fact in (up("a"), up("b"), want("a"), want("b", target=Y), confirmed("a")):
        fact(table)
    table.confirmed("b", Y, 1.0)
    assert table.node_down("a", 1.0, "") == [SetSource(X, None)]
    assert table.rows[Y].nodes == {"b": NodeStatus.LIVE}
    assert table.rows[Y].gap_since is None


def test_p10_what_was_live_on_a_replica_when_its_primary_died():
    table = Table()
    for fact in (up("a"), want("a"), confirmed("a", 0.5)):
        fact(table)
    assert table.live_since(["a", "b"], 0.6) == [X]
    assert table.live_since(["a"], 0.5) == []  # there was a gap until then
    assert table.live_since(["b"], 0.6) == []
    table.revoked("a", X, 1.0)
    assert table.live_since(["a"], 0.6) == []  # there is one, which has begun
