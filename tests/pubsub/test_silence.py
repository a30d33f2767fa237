"""Nodes that fall silent and speak again (P9): the states and what leads from one to the next."""

from __future__ import annotations

import math
from types import SimpleNamespace

from actors.pubsub.cluster.silent_nodes import News, SilentNodes


class Stage:
    """Links called ``a`` and ``b``, both heard at the beginning, and a clock in hand."""

    def __init__(self) -> None:
        self.now = 100.0
        self.pings: list[str] = []
        self.silences = SilentNodes()
        self.subscribers = {name: self._link(name) for name in "ab"}

    def _link(self, name: str):
        connection = SimpleNamespace(last_read=self.now)
        ping = lambda: self.pings.append(name)  # noqa: E731
        return SimpleNamespace(connection=connection, pongs=0, ping=ping)

    def hear(self, name: str) -> None:
        self.subscribers[name].connection.last_read = self.now

    def look(self, seconds: float, *, orphans=(), held: float = 0.0) -> News:
        self.now += seconds
        self.hear("b")
        return self.silences.look(self.subscribers, orphans, self.now, held)


def test_p9_a_quiet_node_is_asked_once_and_is_silent_when_it_does_not_answer():
    stage = Stage()
    assert stage.look(0.4) == News()
    assert stage.pings == []
    assert stage.look(0.2) == News()
    assert stage.silences.pinged
    assert stage.look(0.4) == News()
    assert stage.look(0.2) == News(lost=("a",))
    assert stage.pings == ["a"]
    assert "a" in stage.silences
    assert set(stage.silences.silent) == {"a"}
    assert stage.look(5.0) == News()


def test_p9_any_byte_is_an_answer():
    stage = Stage()
    stage.look(0.6)
    stage.hear("a")
    assert stage.look(0.4) == News()
    assert not stage.silences.pinged
    assert stage.look(0.2) == News()
    assert stage.pings == ["a", "a"]


def test_p9_one_that_was_silent_is_believed_with_its_pong_and_not_before():
    stage = Stage()
    stage.look(0.6)
    assert stage.look(0.6).lost == ("a",)
    stage.hear("a")
    assert stage.look(0.1) == News()
    stage.subscribers["a"].pongs += 1
    assert stage.look(0.1) == News(found=("a",))
    assert "a" not in stage.silences


def test_p9_a_loop_that_was_held_up_blames_no_node():
    stage = Stage()
    stage.look(0.6)
    assert stage.look(3.0, held=2.9) == News()
    assert stage.look(0.3) == News()
    assert stage.look(0.3) == News(lost=("a",))


def test_p9_while_nothing_is_read_on_purpose_nobody_is_asked_or_blamed():
    stage = Stage()
    assert stage.look(0.6, held=math.inf) == News()
    assert stage.pings == []
    stage.look(0.1)
    assert stage.look(60.0, held=math.inf) == News()
    assert stage.look(0.4) == News()
    assert stage.look(0.2) == News(lost=("a",))


def test_p10_replicas_of_a_dead_primary_are_asked_all_the_time():
    stage = Stage()
    for _ in range(4):
        stage.look(0.05, orphans={"a"})
    assert stage.pings == ["a"] * 4


def test_p9_what_is_forgotten_is_neither_silent_nor_asked():
    stage = Stage()
    stage.look(0.6)
    stage.look(0.6)
    stage.silences.forget("a")
    assert "a" not in stage.silences
    assert stage.look(0.1) == News()
    stage.look(0.6)
    stage.silences.keep({"b"})
    assert "a" not in stage.silences
