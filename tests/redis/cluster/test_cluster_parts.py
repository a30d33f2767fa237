"""The parts of the cluster's pool and client that need no cluster."""

from __future__ import annotations

import asyncio

import pytest

from actors.redis import exceptions
from actors.redis.cluster.key_routing import Route, Scope, route
from actors.redis.discovery.errors import nobody_answered
from actors.redis.discovery.single_flight import SingleFlight
from actors.redis.topology.model import Node, Role, Topology, build_topology
from actors.redis.topology.slots import SLOTS, SlotRange, key_slot
from actors.redis.topology.update import at_addresses, move_slot, tidy
from actors.redis.wire.resp import words
from tests.clusters.lending import owner_of, uncovered

KEY_SLOT = key_slot(b"key")


def cluster_of(primaries: int, replicas: int = 1) -> Topology:
    nodes: list[Node] = []
    owned: dict[str, list[tuple[int, int]]] = {}
    share = SLOTS // primaries
    for number in range(primaries):
        name = f"p{number}"
        nodes.append(Node(name, "host", 7000 + number, Role.PRIMARY))
        end = SLOTS - 1 if number == primaries - 1 else (number + 1) * share - 1
        owned[name] = [(number * share, end)]
        for copy in range(replicas):
            port = 8000 + 100 * copy + number
            nodes.append(Node(f"r{number}{copy}", "host", port, Role.REPLICA, name))
    return build_topology(nodes, owned, migrating={5: "p1"}, importing={5: "p0"})


# --- routing --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        ("GET", "key"),
        ("get", b"key"),
        ("SPUBLISH", "key", "payload"),
        ("SET", "{key}other", 1),
        ("EVAL", "return 1", 2, "key", "{key}2", "argument"),
        ("fcall", "f", "1", "key"),
        ("ZUNION", 2, "key", "{key}2"),
        ("BLMPOP", 0, 1, "key", "LEFT"),
        ("BITOP", "AND", "key", "{key}2"),
        ("OBJECT", "ENCODING", "key"),
        ("MIGRATE", "host", 7000, "key", 0, 1000),
        ("XREAD", "COUNT", 1, "STREAMS", "key", 0),
        (b"XREADGROUP", b"GROUP", "g", "c", b"streams", b"key", ">"),
        ("FANCY.COMMAND", "key"),
    ],
)
def test_the_first_key_decides(command):
    assert route(command, "utf-8") == Route(Scope.OWNER, KEY_SLOT)


def test_commands_without_a_key():
    assert route(("PING",), "utf-8") == Route(Scope.ANY)
    assert route((b"cluster", "info"), "utf-8") == Route(Scope.ANY)
    assert route(("EVAL", "return 1", 0), "utf-8") == Route(Scope.PRIMARY)
    assert route(("PUBLISH", "key", "x"), "utf-8") == Route(Scope.PRIMARY, KEY_SLOT)
    for command in (("GET",), ("EVAL", "return 1"), ("XREAD", "COUNT", 1), ("XREAD", "STREAMS")):
        with pytest.raises(exceptions.DataError, match="is missing"):
            route(command, "utf-8")


def test_keys_in_another_encoding():
    assert route(("GET", "grün"), "latin-1").slot == key_slot("grün".encode("latin-1"))
    assert route(("GET", 17), "utf-8").slot == key_slot(b"17")


def test_names_of_several_words():
    assert words(("PUBSUB NUMSUB", "a")) == ("PUBSUB", "NUMSUB", "a")
    assert words((b"OBJECT ENCODING", "a")) == (b"OBJECT", b"ENCODING", "a")
    with pytest.raises(exceptions.DataError):
        words(())


# --- patches --------------------------------------------------------------------------------------


def test_a_slot_moves():
    before = cluster_of(3)
    after = move_slot(before, 5, "p2")
    assert [owner_of(after, slot) for slot in (4, 5, 6)] == ["p0", "p2", "p0"]
    assert uncovered(after) == ()
    # The move that was under way is over.
    assert not after.migrating
    assert not after.importing
    assert move_slot(after, 5, "p2") is after
    back = move_slot(after, 5, "p0")
    assert back.shards == before.shards
    with pytest.raises(KeyError):
        move_slot(before, 5, "nobody")


def test_a_slot_at_a_replica_means_that_it_was_promoted():
    before = cluster_of(2, replicas=2)
    after = move_slot(before, 100, "r00")
    shard = after.shard_for(0)
    assert shard is not None
    assert shard.primary is not None
    assert shard.primary.id == "r00"
    assert shard.slots == (SlotRange(0, SLOTS // 2 - 1),)
    assert {node.id: node.primary_id for node in shard.replicas} == {"p0": "r00", "r01": "r00"}
    # One of another shard: that one was promoted, too, and got this slot on top.
    other = move_slot(before, 100, "r10")
    assert owner_of(other, 100) == owner_of(other, SLOTS - 1) == "r10"
    assert owner_of(other, 101) == "p0"


def test_a_slot_that_nobody_had():
    before = build_topology([Node("a", "host", 1, Role.PRIMARY)], {})
    assert owner_of(move_slot(before, 7, "a"), 7) == "a"
    orphan = build_topology([Node("r", "host", 1, Role.REPLICA, "gone")], {})
    assert owner_of(move_slot(orphan, 7, "r"), 7) == "r"


def test_addresses_and_what_does_not_count():
    topology = cluster_of(3)
    assert at_addresses(topology, lambda node: node.address) is topology
    moved = at_addresses(topology, lambda node: ("near", node.port))
    assert {node.host for shard in moved.shards for node in shard.nodes} == {"near"}
    assert moved.at(("near", 7000)) is not None
    seen = build_topology(
        [
            Node("a", "h", 1, Role.PRIMARY, flags=frozenset({"myself", "master"})),
            Node("b", "h", 2, Role.REPLICA, "a", replication_offset=7),
        ],
        {"a": [(0, 9)]},
        myself="a",
    )
    plain = tidy(seen)
    assert plain.myself is None
    assert plain.nodes["a"].flags == {"master"}
    assert plain.nodes["b"].replication_offset is None
    shard = plain.shard_for(3)
    assert shard is not None
    assert shard.nodes == (plain.nodes["a"], plain.nodes["b"])


# --- shared runs ----------------------------------------------------------------------------------


async def test_a_flight_is_shared_by_those_who_came_before_it():
    began = 0
    gate = asyncio.Event()

    async def run() -> int:
        nonlocal began
        began += 1
        number = began
        await gate.wait()
        return number

    flight = SingleFlight(run)
    assert not flight.busy
    first = [asyncio.create_task(flight()) for _ in range(3)]
    while not began:
        await asyncio.sleep(0)
    second = [asyncio.create_task(flight()) for _ in range(3)]
    await asyncio.sleep(0)
    assert (began, flight.busy) == (1, True)
    gate.set()
    assert await asyncio.gather(*first, *second) == [1, 1, 1, 2, 2, 2]
    assert not flight.busy
    assert await flight() == 3


async def test_a_flight_that_fails_fails_for_all_and_the_next_one_flies():
    results: list[Exception | int] = [ValueError("once"), 5]

    async def run() -> int:
        result = results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    flight = SingleFlight(run)
    failed = await asyncio.gather(flight(), flight(), return_exceptions=True)
    assert [type(error) for error in failed] == [ValueError, ValueError]
    assert await flight() == 5
    # One that nobody waits for leaves no complaint.
    results.append(ValueError("unheard"))
    flight.start()
    while flight.busy:
        await asyncio.sleep(0)


async def test_the_end_of_a_flight_is_an_error_for_who_waits():
    flight = SingleFlight(asyncio.Event().wait)
    waiting = [asyncio.create_task(flight()) for _ in range(2)]
    await asyncio.sleep(0)
    late = asyncio.create_task(flight())
    await asyncio.sleep(0)
    await flight.close()
    for task in (*waiting, late):
        with pytest.raises(exceptions.ConnectionError, match="was left"):
            await task


# --- errors ---------------------------------------------------------------------------------------


def test_the_error_is_the_one_to_act_upon():
    refused = exceptions.ConnectionError("cannot connect to [::1]:1: refused")
    denied = exceptions.AuthenticationFailureError("who?")
    alone = exceptions.ResponseError("This instance has cluster support disabled")
    error = nobody_answered({("::1", 1): refused, ("b", 2): denied})
    assert type(error) is exceptions.AuthenticationFailureError
    assert str(error).endswith("[::1]:1: refused; b:2: who?")
    assert error.__cause__ is denied
    error = nobody_answered({("b", 2): denied, ("c", 3): alone})
    assert type(error) is exceptions.RedisClusterError
    assert "c:3: it runs without cluster mode" in str(error)
    down = nobody_answered({("a", 1): TimeoutError()})
    assert isinstance(down, exceptions.RedisClusterError)
    assert isinstance(down, exceptions.ConnectionError)
    assert "none to ask" in str(nobody_answered({}))
