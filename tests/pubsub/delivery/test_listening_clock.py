"""A late loop is no late node: the clock of merges stands still while the loop is held up."""

import pytest

from actors.pubsub.delivery.listening_clock import ListeningClock
from actors.pubsub.delivery.merge import MEMORY, Merge


class Time:
    """A time that tests set, and the clock that follows it."""

    def __init__(self) -> None:
        self.real = 100.0
        self.clock = ListeningClock(lambda: self.real)

    def look(self, real: float, again_in: float = 0.05) -> None:
        """Look at ``real``, and promise the next look."""
        self.real = real
        self.clock.came()
        self.clock.expect(real + again_in)


@pytest.fixture
def time() -> Time:
    return Time()


def test_without_a_promised_look_it_is_the_real_time(time):
    time.real = 1000.0
    assert time.clock.now() == 1000.0
    assert time.clock.earliest(900.0) == time.clock.latest(900.0) == 900.0


def test_looks_in_time_change_nothing(time):
    for tenth in range(1, 50):
        time.look(100.0 + tenth / 20)
        assert time.clock.now() == time.real


def test_it_stands_still_while_a_look_is_overdue_and_goes_on_after_the_look(time):
    time.look(101.0)
    time.real = 103.0
    assert time.clock.now() == pytest.approx(101.1)
    time.real = 103.5
    assert time.clock.now() == pytest.approx(101.1)
    time.look(103.5)
    assert time.clock.now() == pytest.approx(101.1)
    time.real = 103.54
    assert time.clock.now() == pytest.approx(101.14)


def test_a_time_before_within_and_after_an_interruption_is_told_as_a_real_one(time):
    time.look(101.0)
    time.look(103.5)  # 2.4 s late: the clock showed 101.1 from 101.1 to 103.5
    time.look(103.55)
    clock = time.clock
    assert clock.earliest(101.0) == clock.latest(101.0) == pytest.approx(101.0)
    assert clock.earliest(101.1) == pytest.approx(101.1)
    assert clock.latest(101.1) == pytest.approx(103.5)
    assert clock.earliest(101.12) == clock.latest(101.12) == pytest.approx(103.52)
    for listened in (100.5, 101.0, 101.12):
        assert clock.listened(clock.latest(listened)) == pytest.approx(listened)


def test_during_an_interruption_the_latest_time_is_the_real_one(time):
    time.look(101.0)
    time.real = 102.0
    clock = time.clock
    assert clock.earliest(clock.now()) == pytest.approx(101.1)
    assert clock.latest(clock.now()) == 102.0


def test_several_interruptions_add_up(time):
    time.look(101.0)
    time.look(102.1)  # 1 s late
    time.look(105.2)  # 3 s late
    assert time.clock.now() == pytest.approx(101.2)
    assert time.clock.earliest(100.5) == pytest.approx(100.5)
    assert time.clock.latest(101.2) == pytest.approx(105.2)


def test_a_look_that_never_comes_stops_it_for_ten_seconds_at_most(time):
    time.look(101.0)
    time.real = 200.0
    assert time.clock.now() == pytest.approx(190.0)


def test_after_a_look_nothing_is_due_until_the_next_promise(time):
    time.look(101.0)
    time.clock.came()
    time.real = 150.0
    assert time.clock.now() == 150.0


class Consumer:
    """Takes what passes a merge."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def put(self, message: dict[str, str]) -> None:
        self.seen.append(message["data"])


def test_p7_what_lay_in_a_socket_while_the_loop_was_held_up_is_still_a_repeat(time):
    """One node's messages were read before the interruption, the other node's after it."""
    consumer = Consumer()
    merge = Merge(consumer, time.clock.now)
    time.look(101.0)
    first = merge.add("a", "shard", repeats=False)
    merge.lead("a")
    for number in range(5):
        first.put({"data": str(number)})
    second = merge.add("b", "shard")
    time.real = 101.0 + 8 * MEMORY
    for number in range(3, 8):
        second.put({"data": str(number)})
    for number in range(5, 8):
        first.put({"data": str(number)})
    assert consumer.seen == [str(number) for number in range(8)]


def test_p7_a_held_message_waits_for_a_leader_whose_socket_was_not_read(time):
    consumer = Consumer()
    merge = Merge(consumer, time.clock.now)
    time.look(101.0)
    first = merge.add("a", "shard", repeats=False)
    merge.lead("a")
    second = merge.add("b", "shard")
    second.put({"data": "2"})
    time.real = 101.0 + 8 * MEMORY
    merge.expire()
    assert consumer.seen == []
    first.put({"data": "1"})
    first.put({"data": "2"})
    assert consumer.seen == ["1", "2"]
