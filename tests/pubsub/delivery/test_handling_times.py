"""How long messages wait and take: what is entered, against what really happened."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.pubsub.delivery import handling_times
from actors.pubsub.delivery.handling_times import BOUNDS, HandlingTimes, Histogram
from actors.runtime.message_loop import SHORT
from actors.runtime.messages.envelopes import Lagged
from actors.runtime.messages.mailbox import Mailbox
from actors.runtime.messages.overflow import MailboxSpec


def histogram(*seconds: float) -> list[int]:
    made = Histogram()
    for one in seconds:
        made.add(one)
    return made.counts


class World:
    """A mailbox, its handler and its clock; plays the part of the message loop."""

    def __init__(self, monkeypatch: Any, capacity: int = 1000) -> None:
        self.now = 0.0
        monkeypatch.setattr(handling_times, "monotonic", lambda: self.now)
        self.mailbox = Mailbox(MailboxSpec(capacity), asyncio.new_event_loop())
        self.mailbox._loop.close()
        self.times = HandlingTimes()
        self.times.attach(self.mailbox)
        self.processed = 0
        self.waits: list[float] = []
        self.takes: list[float] = []

    def receive(self, size: int) -> None:
        self.mailbox.queue.extend({"at": self.now} for _ in range(size))
        self.times.note_batch(size)

    def shed(self, count: int) -> None:
        for _ in range(count):
            self.mailbox.queue.popleft()

    def turn(self, *takes: float) -> None:
        """Handle a message for each of ``takes``."""
        begun = ended = self.now
        for handled, seconds in enumerate(takes, 1):
            message = self.mailbox.queue.popleft()
            self.waits.append(self.now - message["at"])
            self.takes.append(seconds)
            self.now += seconds
            before, ended = ended, self.now
            if ended - before > SHORT:
                self.times.note_message(handled, message, before)
        self.processed += len(takes)
        self.times.note_turn(self.processed, begun, ended)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def test_a_long_message_among_short_ones_is_entered_by_itself(world: World):
    world.receive(10)
    world.turn(*[0.000_01] * 4, 0.3, *[0.000_01] * 5)
    counts = world.times.handling.counts
    assert sum(counts) == 10
    assert counts[BOUNDS.index(0.5)] == 1
    assert counts[0] == 9
    assert world.times.handling.seconds == pytest.approx(sum(world.takes))
    # Five have waited for it.
    assert world.times.waiting.counts == histogram(*[0.0] * 5, *[0.3] * 5)


def test_each_batch_has_a_time_of_its_own(world: World):
    world.receive(2)
    world.now = 1.0
    world.receive(1)
    world.now = 3.0
    world.turn(0.0)
    world.turn(0.0, 0.0)
    assert world.times.waiting.counts == histogram(3.0, 3.0, 2.0)
    assert world.times.waiting.seconds == pytest.approx(8.0)


def test_messages_that_were_shed_have_not_waited(world: World):
    world.receive(5)
    world.now = 10.0
    world.receive(5)
    world.shed(5)
    world.now = 10.2
    world.turn(0.0)
    world.turn(*[0.0] * 4)
    assert world.times.waiting.counts == histogram(*[0.2] * 5)


def test_messages_that_are_shed_while_one_takes_long_have_not_waited(world: World):
    world.receive(1)
    begun = world.now
    message = world.mailbox.queue.popleft()
    world.receive(5)
    world.now = 10.0
    world.receive(5)
    world.shed(5)
    world.times.note_message(1, message, begun)
    world.times.note_turn(1, begun, world.now)
    world.processed, world.now = 1, 10.2
    world.turn(*[0.0] * 5)
    assert world.times.waiting.counts == histogram(0.0, *[0.2] * 5)


def test_a_notice_is_no_message(world: World):
    world.receive(1)
    message = world.mailbox.queue.popleft()
    world.times.note_message(1, Lagged(3), 0.0)
    world.now = 5.0
    world.times.note_message(2, message, 0.0)
    world.times.note_turn(1, 0.0, 5.0)
    assert world.times.handling.counts == histogram(5.0)
    assert sum(world.times.waiting.counts) == 1


def test_batches_that_nobody_takes_are_bounded(monkeypatch: pytest.MonkeyPatch):
    world = World(monkeypatch, capacity=10)
    for _ in range(1000):
        world.now += 1.0
        world.receive(1)
        if len(world.mailbox.queue) > 10:
            world.shed(1)
    assert len(world.times._batches) == 10
    world.turn(*[0.0] * 10)
    assert world.times.waiting.counts == histogram(*range(10))


# Steps: seconds that pass, messages that come, how long each of the next ones takes.
times_of_messages = st.sampled_from([0.0, 0.000_01, 0.0004, 0.002, 0.02, 0.7, 8.0])
steps = st.lists(
    st.tuples(st.floats(0.0, 5.0), st.integers(0, 20), st.lists(times_of_messages, max_size=20)),
    max_size=30,
)


@given(steps)
def test_every_message_is_entered_where_it_belongs(steps: Any):
    with pytest.MonkeyPatch.context() as patch:
        world = World(patch)
        for passes, size, takes in steps:
            world.now += passes
            if size:
                world.receive(size)
            if takes := takes[: len(world.mailbox.queue)]:
                world.turn(*takes)
        times = world.times
        assert sum(times.waiting.counts) == sum(times.handling.counts) == len(world.takes)
        # Above SHORT each is exact; below, all that matters is that it is below.
        short = BOUNDS.index(SHORT) + 1
        assert times.handling.counts[short:] == histogram(*world.takes)[short:]
        assert times.waiting.seconds == pytest.approx(sum(world.waits), abs=0.02 * len(world.waits))
