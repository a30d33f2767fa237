"""The fleet's script on real servers: it does what the simulated world's record does."""

from __future__ import annotations

import random

import msgspec
import pytest

from actors import Redis
from actors.worker.fleet.calls import call_arguments, control_channel, record_keys
from actors.worker.fleet.members import FleetSettings, Gone, Member
from actors.worker.fleet.messages import Commit, decode_message, decode_reply
from actors.worker.fleet.script import DIGEST, SCRIPT
from actors.worker.fleet.views import View
from tests.worker.fleet.record import Record

SETTINGS = FleetSettings()
MEMBERS = [Member(name, incarnation) for name in ("a", "b-2", "c", "d.e") for incarnation in "12"]
START = 1_733_039_058_123

_TIME = """\
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""
assert _TIME in SCRIPT
# The same script at a time that the test chooses.
AT_A_TIME = SCRIPT.replace(_TIME, "local now = tonumber(ARGV[8])\n")


class Calls:
    """Calls the script of a fleet and takes what it publishes."""

    def __init__(self, client, pubsub, fleet="shop"):
        self.client, self.pubsub, self.fleet = client, pubsub, fleet

    async def call(self, me, action, value="", now=None, settings=SETTINGS):
        args = call_arguments(self.fleet, me, settings, action, value)
        if now is None:
            return decode_reply(await self.client.execute_command("EVAL", SCRIPT, *args))
        return decode_reply(await self.client.execute_command("EVAL", AT_A_TIME, *args, str(now)))

    async def published(self, count):
        messages = [await anext(self.pubsub) for _ in range(count)]
        return [decode_message(message["data"]) for message in messages]


@pytest.fixture
async def calls(shared_server):
    async with (
        Redis.from_url(shared_server.url) as client,
        client.pubsub(ignore_subscribe_messages=True) as pubsub,
    ):
        await pubsub.subscribe(control_channel("shop"))
        yield Calls(client, pubsub)


def random_call(rng: random.Random, record: Record):
    """Return a call: mostly one that a member would make now, sometimes any other."""
    unprepared = sorted(set(record.announced.members) - record.prepared)
    if record.under_way and unprepared and rng.random() < 0.5:
        return rng.choice(unprepared), "prepared", str(record.announced.number)
    alive = [lease.member for lease in record.leases.values()]
    if alive and rng.random() < 0.6:
        return rng.choice(alive), "renew", rng.choice(["", "0", str(START)])
    me = rng.choice(MEMBERS)
    action = rng.choice(["join", "join", "join", "renew", "prepared", "suspect", "leave", "look"])
    if action == "renew":
        return me, action, "0"
    if action == "prepared":
        return me, action, str(record.announced.number - rng.choice([0, 1]))
    if action == "leave":
        return me, action, rng.choice(["", str(START), "done", "done"])
    return me, action, str(rng.choice(MEMBERS)) if action == "suspect" else ""


@pytest.mark.parametrize("seed", range(12))
async def test_f1_the_script_and_the_record_of_the_simulated_world_are_the_same(calls, seed):
    rng, record, now, told = random.Random(seed), Record(SETTINGS), START, []
    for turn in range(200):
        now += rng.choice([0, 1, 5, 20, 100, 300]) if rng.random() < 0.97 else 1900
        me, action, value = random_call(rng, record)
        reply, published = record.call(now, me, action, value)
        told += published
        assert await calls.call(me, action, value, now) == reply, (turn, me, action, value)
    assert await calls.published(len(told)) == told


async def test_f2_a_view_is_committed_when_all_its_members_are_prepared(calls):
    a, b = Member("a", "1"), Member("b", "1")
    reply = await calls.call(a, "join")
    assert 0 == reply.committed < reply.announced
    assert reply.now == reply.announced
    assert (await calls.call(a, "prepared", str(reply.announced))).committed == reply.announced
    second = await calls.call(b, "join")
    assert (await calls.call(a, "prepared", str(second.announced))).committed == reply.announced
    assert (await calls.call(b, "prepared", str(second.announced))).committed == second.announced
    messages = await calls.published(4)
    assert [type(message).__name__ for message in messages] == ["Prepare", "Commit"] * 2
    assert [message.view.members for message in messages] == [(a,), (a,), (a, b), (a, b)]


async def test_f3_a_lease_ends_by_the_servers_time(calls):
    settings = FleetSettings(ttl=0.001)
    a = Member("a", "1")
    await calls.call(a, "join", settings=settings)
    while (reply := await calls.call(a, "look", settings=settings)).announced != reply.committed:
        pass
    while not isinstance(message := (await calls.published(1))[0], Commit):
        assert message.view.members == (a,)
    assert message.view.members == ()
    reply = await calls.call(a, "renew", "0", settings=settings)
    assert reply.verdict.value == "unknown"


async def test_f3_a_member_that_dies_before_it_has_worked_off_is_told_as_gone(calls):
    settings = FleetSettings(ttl=5.0)
    a, b = Member("a", "1"), Member("b", "1")
    for me in (a, b):
        reply = await calls.call(me, "join", "", START, settings=settings)
    while reply.committed != reply.announced:
        for me in (a, b):
            prepared = str(reply.announced)
            reply = await calls.call(me, "prepared", prepared, START, settings=settings)
    reply = await calls.call(a, "leave", str(START + 7), START, settings=settings)
    reply = await calls.call(b, "prepared", str(reply.announced), START, settings=settings)
    left = reply.committed
    await calls.call(b, "renew", "", START + 3000, settings=settings)
    reply = await calls.call(b, "renew", "", START + 5000, settings=settings)
    assert reply.committed == reply.announced > left
    while not (message := (await calls.published(1))[0]).view.gone:
        assert message.view.number <= left
    assert isinstance(message, Commit)
    assert message.view == View(reply.committed, (b,), (Gone(a, START + 7),))


async def test_f3_a_fleet_that_nobody_renews_leaves_nothing_on_the_server(calls):
    a = Member("a", "1")
    reply = await calls.call(a, "join")
    other = Member("b", "1")
    await calls.call(other, "join")
    await calls.call(a, "prepared", str(reply.announced))
    for key in record_keys("shop"):
        if await calls.client.execute_command("EXISTS", key):
            left = await calls.client.execute_command("PTTL", key)
            assert 0 < left <= 60_000


async def test_f1_the_script_is_known_by_its_digest_afterwards(calls):
    args = call_arguments("shop", Member("a", "1"), SETTINGS, "join", "")
    await calls.client.execute_command("EVAL", SCRIPT, *args)
    reply = decode_reply(await calls.client.execute_command("EVALSHA", DIGEST, *args))
    assert reply.verdict.value == "ok"


async def test_f1_what_the_script_needs_of_an_acl(shared_server, calls):
    commands = [
        "+eval",
        "+evalsha",
        "+time",
        "+hgetall",
        "+hmget",
        "+hset",
        "+hdel",
        "+sadd",
        "+sismember",
    ]
    commands += ["+del", "+pexpire", "+publish", "+hello", "+client"]
    acl = ["on", ">secret", "-@all", *commands]
    await calls.client.execute_command(
        *("ACL", "SETUSER", "member", *acl, "~fleet:{shop}*", "resetchannels", "&fleet:{shop}*")
    )
    try:
        async with Redis.from_url(
            shared_server.url, username="member", password="secret"
        ) as restricted:
            member, me = Calls(restricted, None), Member("a", "1")
            reply = await member.call(me, "join")
            await member.call(me, "prepared", str(reply.announced))
            for action, value in (("renew", "0"), ("look", ""), ("suspect", ""), ("leave", "done")):
                reply = await member.call(me, action, value)
            assert reply.verdict.value == "left"
    finally:
        await calls.client.execute_command("ACL", "DELUSER", "member")


async def test_f1_a_fleet_of_200_has_one_record(calls):
    members = [Member(f"host-{n}", "1") for n in range(200)]
    patient = FleetSettings(ttl=60.0, prepare_within=60.0)  # the calls alone take a while
    for me in members:
        reply = await calls.call(me, "join", settings=patient)
    while reply.committed != reply.announced:
        for me in members:
            reply = await calls.call(me, "prepared", str(reply.announced), settings=patient)
    committed = await calls.client.execute_command("HGET", record_keys("shop")[0], "committed")
    assert msgspec.json.decode(committed)["members"] == sorted(map(str, members))
