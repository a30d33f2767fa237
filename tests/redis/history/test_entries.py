"""Entries and envelopes: what the script writes is read, and rubbish is no envelope."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from actors.redis.history.entries import (
    BEFORE_FIRST,
    Entry,
    EntryId,
    Envelope,
    parse_entries,
    parse_envelope,
)

numbers = st.integers(0, 2**64 - 1)
ids = st.builds(EntryId, numbers, numbers)


@given(ids)
def test_an_id_is_read_as_it_is_written(id):
    assert EntryId.parse(str(id).encode()) == id


@given(ids, ids)
def test_ids_have_the_order_of_their_numbers(one, other):
    assert (one < other) == ((one.ms, one.n) < (other.ms, other.n))


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b"-", b"1", b"1-", b"-1", b"1-2-3", b"+1-2", b" 1-2", b"1-2\n", b"1_0-2"),
        *(b"\xd9\xa1-1", b"18446744073709551616-0", b"0-18446744073709551616", b"1" * 5000 + b"-0"),
    ],
)
def test_what_is_no_id_is_refused(text):
    with pytest.raises(ValueError, match="id"):
        EntryId.parse(text)


@given(st.integers(0, 2**64 - 1), st.integers(1, 2**64 - 1), st.data(), st.binary())
def test_r1_an_envelope_is_read_as_it_is_written(ms, n, data, payload):
    previous_ms = data.draw(st.integers(0, ms))
    envelope = parse_envelope(b"~%d-%d %d %b" % (ms, n, previous_ms, payload))
    assert envelope == Envelope(EntryId(ms, n), previous_ms, payload)
    assert envelope.previous == EntryId(previous_ms, n - 1)


def test_r1_the_first_entry_follows_on_nothing():
    envelope = parse_envelope(b"~1700000000000-1 0 x")
    assert envelope is not None
    assert envelope.previous == BEFORE_FIRST


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"~",
        b"plain",
        b"1-1 0 x",
        b"~1-1 0",
        b"~1-1  x",
        b"~1-1 -1 x",
        b"~1 0 x",
        b" ~1-1 0 x",
        b"~1-0 0 x",  # no entry has the number 0
        b"~5-2 6 x",  # the entry before is later
        b"~18446744073709551616-1 0 x",
        b"~1-18446744073709551616 0 x",
    ],
)
def test_r1_what_is_no_envelope_is_none(message):
    assert parse_envelope(message) is None


@given(st.binary() | st.binary().map(b"~".__add__))
@example(b"~" + b"9" * 100_000)
def test_r1_rubbish_on_the_history_channel_never_raises(message):
    envelope = parse_envelope(message)
    assert envelope is None or message.endswith(b" " + envelope.payload)


def test_entries_of_a_reply_to_xrange():
    reply = [
        [b"5-1", [b"d", b"one"]],
        [b"5-2", [b"x", b"d", b"d", b"two", b"y", b"z"]],
        [b"6-0", [b"other", b"d"]],
    ]
    assert parse_entries(reply) == [
        Entry(EntryId(5, 1), b"one"),
        Entry(EntryId(5, 2), b"two"),
        Entry(EntryId(6, 0), None),
    ]
    assert parse_entries([]) == parse_entries(None) == []


@pytest.mark.parametrize("reply", [7, b"OK", [None], [[b"1-1"]], [[b"x", []]], [[b"1-1", None]]])
def test_a_reply_of_another_form_is_a_value_error(reply):
    with pytest.raises(ValueError, match=r"."):
        parse_entries(reply)
