"""Hash slots against the cluster specification, and against what a server computes."""

from __future__ import annotations

import itertools
import random
from binascii import crc_hqx

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.redis.config.locations import TCPLocation
from actors.redis.config.settings import ConnectionSettings
from actors.redis.topology.slots import (
    SLOTS,
    SlotRange,
    join_ranges,
    key_slot,
    slot_ranges,
    without_slot,
)
from actors.redis.wire.connection import Connection
from actors.testing.servers.process import ServerProcess
from tests.clusters.lending import expand_ranges

slot_sets = st.sets(st.integers(0, SLOTS - 1), max_size=200)


@pytest.mark.parametrize(
    ("key", "slot"),
    [(b"123456789", 0x31C3), (b"foo", 12182), (b"bar", 5061), (b"", 0)],
)
def test_known_slots(key, slot):
    assert key_slot(key) == slot


@pytest.mark.parametrize(
    ("key", "hashed"),
    [
        (b"{user1000}.following", b"user1000"),
        (b"a{tag}b{other}", b"tag"),
        (b"foo{{bar}}zap", b"{bar"),
        (b"foo{bar}{zap}", b"bar"),
    ],
)
def test_only_the_first_hash_tag_is_hashed(key, hashed):
    assert key_slot(key) == key_slot(hashed)


@pytest.mark.parametrize("key", [b"foo{}{bar}", b"foo{bar", b"foo}bar{", b"{}"])
def test_without_a_proper_tag_the_whole_key_is_hashed(key):
    assert key_slot(key) == crc_hqx(key, 0) % SLOTS


@given(st.binary(), st.binary(min_size=1), st.binary())
def test_keys_of_one_tag_share_a_slot(before, tag, after):
    before, tag = before.replace(b"{", b""), tag.replace(b"}", b"") or b"t"
    assert key_slot(before + b"{" + tag + b"}" + after) == key_slot(b"{" + tag + b"}")


@given(slot_sets)
def test_ranges_round_trip(slots):
    ranges = slot_ranges(slots)
    assert list(expand_ranges(ranges)) == sorted(slots)


@given(slot_sets)
def test_ranges_are_as_few_as_can_be(slots):
    ranges = slot_ranges(slots)
    assert all(a.end + 1 < b.start for a, b in itertools.pairwise(ranges))


def test_ranges_are_written_as_servers_write_them():
    assert [str(r) for r in slot_ranges([7, 1, 2, 3, 3])] == ["1-3", "7"]
    assert slot_ranges(range(SLOTS)) == (SlotRange(0, SLOTS - 1),)


@pytest.mark.parametrize("slot", [-1, SLOTS])
def test_a_slot_that_does_not_exist_is_refused(slot):
    with pytest.raises(ValueError, match="0 to 16383"):
        slot_ranges([5, slot])


async def test_the_server_computes_the_same(lone_node: ServerProcess):
    rng = random.Random(20)
    keys = [b"{", b"}", b"{}", b"{}a", b"a{b}c", b"a{{b}}", b"a{}{b}", b"\xff{\x00}\xfe", b"x" * 99]
    keys += [bytes(rng.choices(b"ab{}\x00\xff", k=rng.randint(0, 12))) for _ in range(500)]
    settings = ConnectionSettings(location=TCPLocation(lone_node.host, lone_node.port))
    connection = await Connection.open(settings)
    try:
        futures = [connection.send_command("CLUSTER", "KEYSLOT", key) for key in keys]
        assert [await future for future in futures] == [key_slot(key) for key in keys]
    finally:
        connection.close()
        await connection.wait_closed()


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20))), st.integers(0, 90))
def test_ranges_are_joined_and_cut_like_the_sets_they_stand_for(pairs, slot):
    ranges = [(start, start + length) for start, length in pairs]
    joined = join_ranges(ranges)
    assert joined == slot_ranges(expand_ranges(ranges))
    assert without_slot(joined, slot) == slot_ranges(set(expand_ranges(ranges)) - {slot})


def test_ranges_outside_of_the_slots_are_refused():
    with pytest.raises(ValueError, match="slots are 0 to 16383"):
        join_ranges([(16000, 16384)])
