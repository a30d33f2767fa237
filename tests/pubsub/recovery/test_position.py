"""What follows from one fact (R2): tables; ``test_position_machine`` has any order of facts."""

from __future__ import annotations

import pytest

from actors.pubsub.recovery import position as words
from actors.pubsub.recovery.position import Lost, Output, Position, Wish
from actors.redis.history.entries import BEFORE_FIRST, Entry, EntryId, Envelope

TEN = EntryId(1000, 10)


def envelope(number: int, *, ms: int = 1000, before: int = 1000) -> Envelope:
    return Envelope(EntryId(ms, number), before, b"%d" % number)


def entries(*numbers: int, ms: int = 1000) -> list[Entry]:
    return [Entry(EntryId(ms, number), b"%d" % number) for number in numbers]


def shown(output: Output) -> list[str | int | None]:
    """Payloads as text, and losses as their number or None."""
    return [one.count if isinstance(one, Lost) else (one.payload or b"").decode() for one in output]


def at_ten() -> Position:
    position = Position(TEN)
    position.begin_read()
    assert position.page(TEN, entries(10), complete=True) == []
    assert position.wish is None
    return position


@pytest.mark.parametrize(
    ("come", "out", "wish", "repeats"),
    [
        ([11], ["11"], None, 0),
        ([11, 12, 13], ["11", "12", "13"], None, 0),
        ([10], [], None, 1),
        ([3, 11, 11, 10, 12], ["11", "12"], None, 3),
        ([12], [], Wish.PAGE, 0),
        ([12, 11, 13], ["11", "12", "13"], Wish.PAGE, 0),
        ([14, 13, 12, 11], ["11", "12", "13", "14"], Wish.PAGE, 0),
    ],
)
def test_r2_envelopes_are_delivered_in_order_and_once(come, out, wish, repeats):
    position = at_ten()
    output: Output = []
    for number in come:
        output += position.envelope(envelope(number))
    assert (shown(output), position.wish, position.repeats) == (out, wish, repeats)


@pytest.mark.parametrize(
    ("page", "complete", "out", "wish"),
    [
        pytest.param(entries(10, 11, 12), True, ["11", "12", "13"], None, id="all there"),
        pytest.param(entries(10, 11), False, ["11"], Wish.PAGE, id="more to come"),
        pytest.param(entries(11, 12), True, ["11", "12", "13"], None, id="just trimmed"),
        pytest.param(entries(12), True, [1, "12", "13"], None, id="one trimmed"),
        pytest.param(entries(13, 14), True, [2, "13", "14"], None, id="trimmed up to what is held"),
        pytest.param(entries(15), True, [2, "13", 1, "15"], None, id="what is held was trimmed"),
        pytest.param(entries(10, 12), True, [1, "12", "13"], None, id="a hole"),
        pytest.param(
            entries(1, 2, ms=2000), True, [2, "13", None, "1", "2"], None, id="another history"
        ),
        pytest.param([], True, [], Wish.LAST, id="nothing from there on"),
        pytest.param(entries(10), True, [None], None, id="held, and not in the history"),
    ],
)
def test_r2_a_page_says_what_is_there_and_what_is_lost(page, complete, out, wish):
    position = at_ten()
    position.envelope(envelope(13))
    assert (position.wish, position.start) == (Wish.PAGE, TEN)
    position.begin_read()
    assert shown(position.page(TEN, page, complete=complete)) == out
    assert position.wish is wish


def test_r2_live_envelopes_pass_while_a_gap_is_read():
    position = at_ten()
    position.interrupted(999)
    assert position.wish is Wish.PAGE
    position.begin_read()
    assert shown(position.envelope(envelope(11))) == ["11"]
    assert shown(position.page(TEN, entries(10, 11), complete=True)) == []
    assert position.wish is None


def test_what_comes_after_a_read_was_begun_wants_another_one():
    position = at_ten()
    position.envelope(envelope(12))
    position.begin_read()
    position.envelope(envelope(15))
    assert shown(position.page(TEN, entries(10, 11, 12), complete=True)) == ["11", "12"]
    assert position.wish is Wish.PAGE
    assert len(position.held) == 1


def test_r2_an_empty_history_is_another_one():
    position = at_ten()
    position.interrupted(999)
    position.begin_read()
    position.page(TEN, [], complete=True)
    position.begin_read()
    assert shown(position.last_entry(None)) == [None]
    assert position.last == BEFORE_FIRST
    assert position.wish is None
    assert shown(position.envelope(envelope(1, ms=2000, before=0))) == ["1"]
    # What a late node still delivers of the former history is no new message.
    assert shown(position.envelope(envelope(11))) == []


def test_r2_a_history_without_its_end_goes_on_from_there():
    position = at_ten()
    position.interrupted(999)
    position.begin_read()
    position.page(TEN, [], complete=True)
    position.begin_read()
    assert shown(position.last_entry(EntryId(1000, 7))) == [None]
    assert shown(position.envelope(envelope(8, ms=2000))) == ["8"]


def test_r2_a_position_begins_at_the_end_of_the_history():
    position = Position()
    assert position.wish is Wish.LAST
    position.begin_read()
    assert position.last_entry(TEN) == []
    assert shown(position.envelope(envelope(11))) == ["11"]


@pytest.mark.parametrize("faster", [False, True])
def test_r2_an_envelope_from_before_the_answer_moves_the_beginning_back(faster):
    position = Position()
    position.begin_read()
    output: Output = []
    if not faster:
        output += position.envelope(envelope(9))
    output += position.last_entry(TEN)
    if faster:
        output += position.envelope(envelope(9))
    assert position.wish is Wish.PAGE  # 10 may not come live
    output += position.envelope(envelope(10))
    assert shown(output) == ["9", "10"]


def test_r2_a_gap_before_the_first_answer_is_recovered():
    position = Position()
    position.interrupted(1500)
    assert (position.wish, position.start) == (Wish.PAGE, EntryId(1500, 0))
    position.begin_read()
    assert shown(position.page(position.start, entries(5, 6, ms=1600), complete=True)) == ["5", "6"]


def test_r2_a_gap_that_began_before_the_answer_is_recovered():
    position = Position()
    position.begin_read()
    position.last_entry(EntryId(1600, 6))
    position.interrupted(1500, early=True)
    position.begin_read()
    assert shown(position.page(EntryId(1500, 0), entries(5, 6, ms=1600), complete=True)) == [
        "5",
        "6",
    ]


@pytest.mark.parametrize("since", [0, 1500])
def test_r2_what_comes_while_a_beginning_is_looked_for_is_not_jumped_over(since):
    position = Position(since_ms=since)
    position.begin_read()
    assert position.page(EntryId(since, 0), [], complete=True) == []
    assert position.wish is Wish.LAST
    position.begin_read()
    assert position.last_entry(EntryId(1600, 6)) == []
    assert (position.wish, position.start) == (Wish.PAGE, EntryId(since, 0))
    position.begin_read()
    output = position.page(EntryId(since, 0), entries(5, 6, ms=1600), complete=True)
    assert shown(output) == ["5", "6"]


@pytest.mark.parametrize(
    ("since", "last", "then"),
    [(0, None, BEFORE_FIRST), (1500, TEN, TEN), (1500, None, BEFORE_FIRST)],
)
def test_r2_a_beginning_after_all_entries_is_the_end_of_the_history(since, last, then):
    position = Position(since_ms=since)
    position.begin_read()
    position.page(EntryId(since, 0), [], complete=True)
    position.begin_read()
    assert position.last_entry(last) == []
    assert (position.last, position.wish) == (then, None)


def test_r5_a_doubt_is_told_though_the_history_looks_whole():
    position = at_ten()
    position.doubt("a primary died")
    position.begin_read()
    output = position.page(TEN, entries(10, 11), complete=True)
    assert shown(output) == [None, "11"]
    assert isinstance(output[0], Lost)
    assert output[0].reason == "a primary died"


def test_r5_a_doubt_and_another_history_are_one_loss():
    position = at_ten()
    position.doubt("a primary died")
    position.begin_read()
    assert shown(position.page(TEN, entries(9, ms=2000), complete=True)) == [None, "9"]


def test_r3_what_is_held_is_bounded_and_read_from_the_history():
    position = at_ten()
    numbers = range(12, 12 + words.MOST_HELD + 5)
    for number in numbers:
        assert position.envelope(envelope(number)) == []
    assert len(position.held) <= words.MOST_HELD
    position.begin_read()
    assert shown(position.page(TEN, entries(10, 11, *numbers), complete=True)) == [
        str(number) for number in (11, *numbers)
    ]
    assert not position.held


def test_r3_a_history_that_cannot_be_read_delivers_what_is_held():
    position = at_ten()
    for number in (14, 12):
        position.envelope(envelope(number))
    output = position.unreadable("no connection")
    assert shown(output) == [None, "12", "14"]
    assert isinstance(output[0], Lost)
    assert "no connection" in output[0].reason
    assert position.wish is None
    assert shown(position.envelope(envelope(15))) == ["15"]


def test_r3_a_position_that_could_not_begin_begins_with_the_next_envelope():
    position = Position()
    assert position.unreadable("no right") == []
    assert shown(position.envelope(envelope(11))) == ["11"]


def test_an_entry_of_somebody_else_counts_and_is_not_delivered():
    position = at_ten()
    position.interrupted(999)
    position.begin_read()
    page = [*entries(10), Entry(EntryId(1000, 11), None), *entries(12)]
    assert shown(position.page(TEN, page, complete=True)) == ["12"]


def test_f2_a_channel_that_is_handed_over_begins_with_the_next_envelope():
    position = Position()
    position.begin_with_next()
    assert position.wish is None
    assert shown(position.envelope(envelope(41))) == ["41"]
    assert position.last == EntryId(1000, 41)
    assert shown(position.envelope(envelope(42))) == ["42"]
    assert position.wish is None


def test_f2_a_gap_before_that_envelope_is_read_from_the_history():
    position = Position()
    position.begin_with_next()
    position.interrupted(900)
    assert position.wish is Wish.PAGE
    assert position.start == EntryId(900, 0)
