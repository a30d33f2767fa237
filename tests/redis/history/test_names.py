"""Names of histories: in the channel's slot, or refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.redis.exceptions import DataError
from actors.redis.history.names import history_name
from actors.redis.topology.slots import hash_tag, key_slot

names = st.lists(
    st.sampled_from([b"{", b"}", b"a", b"b:", b":history", b"\xff", b"\x00", b" "]), max_size=8
).map(b"".join)


@pytest.mark.parametrize(
    ("channel", "history"),
    [
        (b"orders", b"{orders}:history"),
        (b"orders:history", b"{orders:history}:history"),
        (b"{shop}.orders", b"{shop}.orders:history"),
        (b"a{b}c{d}", b"a{b}c{d}:history"),
        (b"{{b}}", b"{{b}}:history"),
        (b"\xff\x00", b"{\xff\x00}:history"),
    ],
)
def test_r1_history_and_its_channel_share_one_name(channel, history):
    assert history_name(channel) == history


@pytest.mark.parametrize("channel", [b"{}", b"{", b"}", b"a{b", b"a}b", b"}a{", b"{}{a}"])
def test_r1_a_name_with_braces_and_without_hash_tag_is_refused(channel):
    with pytest.raises(DataError, match=r"cannot have a history.*braces.*use a name without"):
        history_name(channel)


def test_r1_an_empty_name_is_refused():
    with pytest.raises(DataError, match=r"empty name.*give it a name"):
        history_name(b"")


@given(names | st.binary())
def test_r1_a_history_is_in_the_slot_of_its_channel(channel):
    try:
        history = history_name(channel)
    except DataError:
        assert hash_tag(channel) is None
        assert not channel or b"{" in channel or b"}" in channel
    else:
        assert key_slot(history) == key_slot(channel)
        assert history.endswith(b":history")


@given(names, names)
def test_r1_only_a_name_and_the_same_name_in_braces_share_a_history(one, other):
    try:
        same = history_name(one) == history_name(other)
    except DataError:
        return
    assert same == (one == other or b"{%b}" % one == other or one == b"{%b}" % other)
