"""The judge itself: what it calls lost, twice, out of order, unreported and needless."""

from __future__ import annotations

import pytest

from actors.pubsub.model.types import Gap, Kind
from actors.redis.topology.slots import key_slot
from tests.faults.load import Accepted, Report, even_channels
from tests.faults.publisher import slot_of
from tests.faults.results import HEADER, Result
from tests.faults.verdict import Seen, Verdict, back_after, judge

CHANNELS = ["a", "b"]
# Number n of channel a is sent at n seconds, and answered and seen in the next hundredth.
ACCEPTED = [Accepted(channel, n, n, n + 0.005, 1) for n in range(10) for channel in (0, 1)]


def gap(name: str, since: float, until: float) -> Gap:
    return Gap(Kind.SHARD, name, since, until, "why")


def verdict(
    a: list[int], *, gaps=(), touched=("a",), interrupted=("a",), accepted=ACCEPTED, never=()
) -> Verdict:
    seen = {"a": [(n, n + 0.01) for n in a], "b": [(n, n + 0.01) for n in range(10)]}
    report = Report(accepted, [], {})
    return judge(
        CHANNELS,
        report,
        Seen(seen, gaps),
        touched=touched,
        interrupted=interrupted,
        settled_at=8.0,
        never=never,
    )


def test_all_is_well_when_all_was_seen_once_and_in_order():
    found = verdict([*range(10)])
    assert found.accepted == 20
    assert not any(
        (found.lost, found.twice, found.disordered, found.overtaken, found.silent, found.gaps)
    )


def test_a_loss_within_a_gap_of_its_channel_is_reported():
    found = verdict([0, 1, 2, 4, 5, 6, 7, 8, 9], gaps=[gap("a", 2.5, 3.5)])
    assert found.lost_in == {"a": 1}
    assert not found.unreported
    assert not found.lost_elsewhere
    assert (found.gaps, found.longest_gap) == (1, 1.0)


@pytest.mark.parametrize(
    "gaps", [[], [gap("a", 3.5, 4.5)], [gap("a", 1.5, 2.5)], [gap("b", 2.5, 3.5)]]
)
def test_a_loss_outside_of_every_gap_of_its_channel_is_not(gaps):
    found = verdict([0, 1, 2, 4, 5, 6, 7, 8, 9], gaps=gaps, interrupted=CHANNELS)
    assert [(name, message.number) for name, message in found.unreported] == [("a", 3)]


def test_a_loss_in_a_channel_that_the_fault_does_not_touch():
    found = verdict([0, 1, 2, 4, 5, 6, 7, 8, 9], gaps=[gap("a", 2.5, 3.5)], touched=())
    assert [name for name, _ in found.lost_elsewhere] == ["a"]


def test_twice():
    assert verdict([0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9]).twice == [("a", 1)]


def test_out_of_order_at_one_node_and_between_two():
    late = [0, 2, 1, 3, 4, 5, 6, 7, 8, 9]
    assert verdict(late).disordered == [("a", 1)]
    between = [m._replace(port=2) if (m.channel, m.number) == (0, 2) else m for m in ACCEPTED]
    found = verdict(late, accepted=between)
    assert found.disordered == []
    assert found.overtaken == [("a", 1)]


def test_what_was_never_answered_may_come_at_any_time():
    answered = [m for m in ACCEPTED if (m.channel, m.number) != (0, 1)]
    assert verdict([0, 2, 1, 3, 4, 5, 6, 7, 8, 9], accepted=answered).disordered == []


def test_a_channel_that_is_not_heard_of_at_the_end_is_silent():
    assert verdict([*range(9)]).silent == ["a"]
    assert verdict([*range(10)], never=["a"]).silent == ["a"]


def test_a_channel_of_which_nothing_was_sent_at_the_end_is_not_silent():
    early = [message for message in ACCEPTED if message.sent < 8.0]
    assert verdict([*range(8)], accepted=early).silent == []


def test_a_gap_of_a_channel_that_was_never_interrupted_is_needless():
    found = verdict([*range(10)], gaps=[gap("a", 1.0, 2.0), gap("b", 1.0, 2.0)])
    assert [one.name for one in found.needless_gaps] == ["b"]


def test_back_after_counts_from_the_first_message_that_the_node_accepted():
    ports = [m._replace(port=2) if m.number >= 5 else m for m in ACCEPTED]
    seen = Seen({"a": [(7, 7.01)], "b": []}, [])
    report = Report(ports, [], {})
    took = back_after(CHANNELS, report, seen, CHANNELS, 2.0, (2,))
    assert took["a"] == pytest.approx(7.01 - 5.005)
    assert took["b"] is None
    assert back_after(CHANNELS, report, seen, ["a"], 2.0)["a"] == pytest.approx(5.01)


def test_the_publisher_computes_slots_as_the_library_does():
    for name in (b"a", b"{t1}a", b"x{}y", b"{", b"a{b}c{d}"):
        assert slot_of(name) == key_slot(name)


def test_channels_are_spread_evenly_in_pairs_of_one_slot():
    slots = [key_slot(name.encode()) for name in even_channels(60)]
    assert len(set(slots)) == 30
    assert slots == sorted(slots)
    assert slots[::2] == slots[1::2]


def test_rows_are_as_wide_as_the_header_and_mark_complaints():
    row = Result(title="something", accepted=12, back=0.05).row()
    assert len(row) == len(HEADER)
    assert Result(title="something", complaints=("bad",)).row().endswith("<-- see below")
