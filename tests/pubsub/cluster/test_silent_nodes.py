"""Nodes that fall silent and speak again (P9): the states and what leads from one to the next."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

from actors.pubsub.cluster.silent_nodes import NodeNews, SilentNodes, ping_interval


class Stage:
    """Nodes that were all heard at the beginning, and a clock; ``b`` speaks all the time."""

    def __init__(self, *names: str) -> None:
        self.now = 100.0
        self.pings: list[str] = []
        self.silences = SilentNodes()
        self.subscribers = {name: self._link(name) for name in names or ("a", "b")}

    def _link(self, name: str):
        connection = SimpleNamespace(last_read=self.now)
        ping = lambda: self.pings.append(name)  # noqa: E731
        return SimpleNamespace(connection=connection, pongs=0, ping=ping)

    def hear(self, name: str) -> None:
        self.subscribers[name].connection.last_read = self.now

    def look(
        self, seconds: float, *, used: frozenset[str] = frozenset("ab"), held: float = 0.0
    ) -> NodeNews:
        self.now += seconds
        if "b" in self.subscribers:
            self.hear("b")
        return self.silences.look(self.subscribers, used, self.now, held)


def test_p9_a_quiet_node_is_asked_once_and_is_silent_when_it_does_not_answer():
    stage = Stage()
    assert stage.look(0.4) == NodeNews()
    assert stage.pings == []
    assert stage.look(0.2) == NodeNews()
    assert stage.look(0.4) == NodeNews()
    assert stage.look(0.2) == NodeNews(lost=("a",))
    assert stage.pings == ["a"]
    assert "a" in stage.silences
    assert set(stage.silences.silent) == {"a"}
    assert stage.look(5.0) == NodeNews()


def test_p9_any_byte_is_an_answer():
    stage = Stage()
    stage.look(0.6)
    stage.hear("a")
    assert stage.look(0.4) == NodeNews()
    assert stage.look(0.2) == NodeNews()
    assert stage.pings == ["a"], "asked less than a second ago"
    assert stage.look(0.5) == NodeNews()
    assert stage.pings == ["a", "a"]


def test_p9_a_node_that_nothing_is_subscribed_on_is_not_asked():
    stage = Stage()
    for _ in range(20):
        assert stage.look(0.5, used=frozenset("b")) == NodeNews()
    assert stage.pings == []


def test_p9_a_node_that_was_asked_must_answer_though_nothing_is_subscribed_on_it_any_more():
    stage = Stage()
    stage.look(0.6)
    assert stage.look(0.6, used=frozenset("b")) == NodeNews(lost=("a",))


@pytest.mark.parametrize("count", [1, 2, 3, 6, 20])
def test_p6_quiet_nodes_that_answer_are_asked_once_in_an_interval(count):
    stage = Stage(*map(str, range(count)))
    used = frozenset(stage.subscribers)
    seconds = 60.0
    for _ in range(int(seconds / 0.05)):
        for name, subscriber in stage.subscribers.items():
            if stage.pings.count(name) > subscriber.pongs:  # it answers at once
                subscriber.pongs += 1
                stage.hear(name)
        assert stage.look(0.05, used=used) == NodeNews()
    expected = seconds / ping_interval(count)
    for name in used:
        assert 0.9 * expected - 1 <= stage.pings.count(name) <= expected + 1


@pytest.mark.parametrize("nodes", range(1, 101))
def test_p6_all_pings_and_the_look_together_stay_within_the_budget(nodes):
    interval = ping_interval(nodes)
    assert interval >= 1.0
    assert nodes / interval + 1.0 <= (6.0 if nodes <= 6 else 12.0)
    assert interval <= ping_interval(nodes + 1)


def test_p9_one_that_was_silent_is_believed_with_its_pong_and_not_before():
    stage = Stage()
    stage.look(0.6)
    assert stage.look(0.6).lost == ("a",)
    stage.hear("a")
    assert stage.look(0.1) == NodeNews()
    stage.subscribers["a"].pongs += 1
    assert stage.look(0.1) == NodeNews(found=("a",))
    assert "a" not in stage.silences


def test_p9_a_loop_that_was_held_up_blames_no_node():
    stage = Stage()
    stage.look(0.6)
    assert stage.look(3.0, held=2.9) == NodeNews()
    assert stage.look(0.3) == NodeNews()
    assert stage.look(0.3) == NodeNews(lost=("a",))


def test_p9_while_nothing_is_read_on_purpose_nobody_is_asked_or_blamed():
    stage = Stage()
    assert stage.look(0.6, held=math.inf) == NodeNews()
    assert stage.pings == []
    stage.look(0.1)
    assert stage.look(60.0, held=math.inf) == NodeNews()
    assert stage.look(0.4) == NodeNews()
    assert stage.look(0.2) == NodeNews(lost=("a",))


def test_p9_what_is_forgotten_is_neither_silent_nor_asked():
    stage = Stage()
    stage.look(0.6)
    stage.look(0.6)
    stage.silences.forget("a")
    assert "a" not in stage.silences
    assert stage.look(0.1) == NodeNews()
    stage.look(0.6)
    stage.silences.keep({"b"})
    assert "a" not in stage.silences
