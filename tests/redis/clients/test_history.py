"""Publishing with a history to one server: what subscribers, the stream and the caller get."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors import History, Redis, exceptions
from actors.redis.history.entries import BEFORE_FIRST, EntryId, parse_entries, parse_envelope
from supervisor.model.retry_policy import NoRetryPolicy
from tests.redis.helpers import HELLO, answers, peer
from tests.support import eventually

KEY = "{orders}:history"


@pytest.fixture
async def client(shared_server):
    async with Redis.from_url(shared_server.url, decode_responses=True) as client:
        await client.execute_command("SCRIPT", "FLUSH")
        yield client


async def heard(client: Redis[Any], *command: bytes) -> list[Any]:
    """Subscribe by ``command``; return the list in which the messages appear."""
    connection = await client.connection_pool.open_dedicated()
    pushes: list[Any] = []
    connection.on_push = pushes.append
    connection.write(b" ".join(command) + b"\r\n")
    await eventually(lambda: len(pushes) == len(command) - 1)
    pushes.clear()
    return pushes


async def entries(client: Redis[Any], key: str = KEY):
    """Return the entries of a history."""
    connection = await client.connection_pool.acquire()
    try:
        return parse_entries(await connection.execute("XRANGE", key, "-", "+"))
    finally:
        client.connection_pool.release(connection)


async def test_r1_one_publish_is_an_entry_an_envelope_and_the_message(client):
    pushes = await heard(client, b"SUBSCRIBE", b"orders", KEY.encode())
    first = await client.publish("orders", "é", history=History())
    second = await client.publish(b"orders", b"\xff 1 ~", history=History())
    third = await client.publish("orders", 7, history=History())
    assert type(first) is str
    ids = [EntryId.parse(shown.encode()) for shown in (first, second, third)]
    assert [one.n for one in ids] == [1, 2, 3]
    payloads = ["é".encode(), b"\xff 1 ~", b"7"]
    assert [(e.id, e.payload) for e in await entries(client)] == [*zip(ids, payloads, strict=True)]
    await eventually(lambda: len(pushes) == 6)
    assert [push[1] for push in pushes] == [KEY.encode(), b"orders"] * 3
    assert [push[2] for push in pushes[1::2]] == payloads
    envelopes = [parse_envelope(push[2]) for push in pushes[::2]]
    assert [(e.id, e.payload) for e in envelopes if e] == [*zip(ids, payloads, strict=True)]
    assert [e.previous for e in envelopes if e] == [BEFORE_FIRST, *ids[:-1]]


async def test_r1_shard_channels_alike(client):
    pushes = await heard(client, b"SSUBSCRIBE", b"orders", KEY.encode())
    entry_id = await client.spublish("orders", "x", history=History())
    await eventually(lambda: len(pushes) == 2)
    assert pushes == [
        [b"smessage", KEY.encode(), f"~{entry_id} 0 x".encode()],
        [b"smessage", b"orders", b"x"],
    ]


async def test_r1_ids_are_bytes_unless_decoding_is_asked_for(shared_server):
    async with Redis.from_url(shared_server.url) as client:
        entry_id = await client.publish("orders", "x", history=History())
        assert type(entry_id) is bytes
        ids = await client.publish_many([("orders", "x")], history=History())
        assert [entry_id, *ids] == [str(entry.id).encode() for entry in await entries(client)]


async def test_r1_patterns_match_history_channels_too(client):
    pushes = await heard(client, b"PSUBSCRIBE", b"*")
    await client.publish("orders", "x", history=History())
    await eventually(lambda: len(pushes) == 2)
    assert [push[2] for push in pushes] == [KEY.encode(), b"orders"]


async def test_r1_a_publish_without_history_is_not_in_it(client):
    await client.publish("orders", "kept", history=History())
    assert await client.publish("orders", "forgotten") == 0
    assert [entry.payload for entry in await entries(client)] == [b"kept"]


async def calls(client: Redis[Any]) -> dict[str, int]:
    stats = await client.execute_command("INFO", "commandstats")
    lines = (line.split(":calls=") for line in stats.splitlines() if ":calls=" in line)
    return {name.removeprefix("cmdstat_"): int(rest.split(",")[0]) for name, rest in lines}


async def test_r1_one_round_trip_and_the_text_once(client):
    await client.execute_command("CONFIG", "RESETSTAT")
    for _ in range(5):
        await client.publish("orders", "x", history=History())
    seen = await calls(client)
    assert (seen["evalsha"], seen["eval"]) == (5, 1)
    await client.execute_command("SCRIPT", "FLUSH")
    assert (await client.publish("orders", "x", history=History())).endswith("-6")


async def test_r1_names_that_cannot_have_a_history_are_refused_before_anything_is_sent(client):
    await client.execute_command("CONFIG", "RESETSTAT")
    for name in ("{", "a}b", "", b"{}"):
        with pytest.raises(exceptions.DataError, match="cannot have a history"):
            await client.publish(name, "x", history=History())
        with pytest.raises(exceptions.DataError, match="cannot have a history"):
            await client.spublish(name, "x", history=History())
        with pytest.raises(exceptions.DataError, match="cannot have a history"):
            await client.publish_many([("good", "x"), (name, "x")], history=History())
        with pytest.raises(exceptions.DataError, match="cannot have a history"):
            async with client.pipeline() as pipe:
                pipe.publish("good", "x")
                pipe.publish(name, "x", history=History())
    assert {"eval", "evalsha", "publish"}.isdisjoint(await calls(client))
    with pytest.raises(exceptions.DataError, match="utf-8"):
        await client.publish("\ud800", "x", history=History())


# --- Batches --------------------------------------------------------------------------------------


async def test_r1_publish_many_appends_in_order_also_where_no_script_is_known(client):
    messages = [(f"c{n % 3}", str(n)) for n in range(4500)]
    ids = await client.publish_many(iter(messages), history=History())
    assert [int(one.split("-")[1]) for one in ids] == [1 + n // 3 for n in range(4500)]
    for n in range(3):
        payloads = [entry.payload for entry in await entries(client, f"{{c{n}}}:history")]
        assert payloads == [str(m).encode() for m in range(n, 4500, 3)]
    seen = await calls(client)
    assert seen["eval"] == 3  # one for each batch of 2,000


async def test_r1_publish_many_raises_the_first_error_clearly(client):
    await client.execute_command("SET", "{bad}:history", "x")
    with pytest.raises(exceptions.WrongTypeError, match="holds no stream") as caught:
        await client.publish_many([("orders", "1"), ("bad", "2")], history=History())
    assert "command 2 of 2: EVALSHA" in caught.value.__notes__[0]
    assert len(await entries(client)) == 1


@pytest.mark.parametrize("transaction", [False, True])
async def test_r1_pipelines(client, transaction):
    async with client.pipeline(transaction) as pipe:
        plain = pipe.publish("orders", "plain")
        first = pipe.publish("orders", "1", history=History())
        length = pipe.execute_command("XLEN", KEY)
        second = pipe.spublish("orders", "2", history=History())
    assert (await plain, await length) == (0, 1)
    assert pipe.results == (0, await first, 1, await second)
    assert [str(entry.id) for entry in await entries(client)] == [await first, await second]
    async with client.pipeline(transaction, raise_on_error=False) as pipe:
        pipe.execute_command("SET", KEY, "x")
        refused = pipe.publish("orders", "3", history=History())
        after = pipe.ping()
    with pytest.raises(exceptions.WrongTypeError, match="holds no stream"):
        await refused
    assert await after == "PONG"


async def test_batches_refuse_to_wait_for_replicas(client):
    with pytest.raises(exceptions.DataError, match=r"publish_many\(\) cannot wait for replicas"):
        await client.publish_many([("orders", "x")], history=History(replicas=1))
    with pytest.raises(exceptions.DataError, match="a pipeline cannot wait for replicas"):
        client.pipeline().publish("orders", "x", history=History(replicas=1))
    assert await client.execute_command("EXISTS", KEY) == 0


async def test_r1_noreply_appends_though_nobody_tells_the_id(client, shared_server):
    async with Redis.from_url(shared_server.url, decode_responses=True, noreply=True) as deaf:
        assert await deaf.publish("orders", "1", history=History()) == ""
        assert await deaf.publish_many([("orders", "2")], history=History()) == [""]
        async with deaf.pipeline() as pipe:
            pipe.publish("orders", "3", history=History())
        with pytest.raises(exceptions.DataError, match="noreply=True cannot wait for replicas"):
            await deaf.publish("orders", "4", history=History(replicas=1))

    async def arrived() -> bool:
        return [entry.payload for entry in await entries(client)] == [b"1", b"2", b"3"]

    await eventually(arrived)


# --- Limits ---------------------------------------------------------------------------------------


async def test_r1_maxlen_keeps_as_many_entries_and_somewhat_more(server):
    async with Redis.from_url(server.url, decode_responses=True) as client:
        await client.publish_many([("orders", n) for n in range(1000)], history=History(maxlen=150))
        kept = [entry.payload for entry in await entries(client)]
        assert 150 <= len(kept) <= 250
        assert kept == [b"%d" % n for n in range(1000 - len(kept), 1000)]
        # Where the server keeps each entry by itself, the limit is exact.
        await client.execute_command("CONFIG", "SET", "stream-node-max-entries", 1)
        await client.execute_command("DEL", KEY)
        await client.publish_many([("orders", n) for n in range(20)], history=History(maxlen=1))
        assert [entry.id.n for entry in await entries(client)] == [20]


async def test_r1_max_age_removes_what_is_older_by_the_servers_clock(server):
    async with Redis.from_url(server.url, decode_responses=True) as client:
        await client.execute_command("CONFIG", "SET", "stream-node-max-entries", 1)
        by_age = History(maxlen=None, max_age=1)
        await client.publish_many([("orders", n) for n in range(20)], history=by_age)
        assert len(await entries(client)) == 20

        async def now() -> int:
            seconds, micros = await client.execute_command("TIME")
            return int(seconds) * 1000 + int(micros) // 1000

        last = (await entries(client))[-1].id.ms

        async def older() -> bool:
            return await now() > last + 1000

        await eventually(older)
        assert (await client.publish("orders", "new", history=by_age)).endswith("-21")
        assert [entry.payload for entry in await entries(client)] == [b"new"]


async def test_r1_with_both_limits_an_entry_goes_when_one_says_so(server):
    async with Redis.from_url(server.url, decode_responses=True) as client:
        await client.execute_command("CONFIG", "SET", "stream-node-max-entries", 1)
        both = History(maxlen=3, max_age=10**10)
        await client.publish_many([("orders", n) for n in range(20)], history=both)
        assert [entry.id.n for entry in await entries(client)] == [18, 19, 20]
        await client.execute_command("DEL", KEY)
        await client.execute_command("XADD", KEY, "5-1", "d", "of 1970")
        await client.publish("orders", "x", history=History(maxlen=3, max_age=60))
        assert [entry.id.n for entry in await entries(client)] == [2]


# --- What others do to a history ------------------------------------------------------------------


async def test_r1_a_clock_that_was_set_back_holds_no_publisher_up(client):
    await client.execute_command("XADD", KEY, "9999999999999-41", "d", "from the future")
    pushes = await heard(client, b"SUBSCRIBE", KEY.encode())
    assert await client.publish("orders", "x", history=History()) == "9999999999999-42"
    await eventually(lambda: len(pushes) == 1)
    assert pushes[0][2] == b"~9999999999999-42 9999999999999 x"


async def test_r1_a_key_of_another_type_is_told_and_nothing_is_published(client):
    pushes = await heard(client, b"SUBSCRIBE", b"orders", KEY.encode())
    await client.execute_command("RPUSH", KEY, "x")
    with pytest.raises(exceptions.WrongTypeError, match=r"'\{orders\}:history' holds no stream"):
        await client.publish("orders", "x", history=History())
    await client.execute_command("DEL", KEY)
    entry_id = await client.publish("orders", "y", history=History())
    await eventually(lambda: len(pushes) == 2)
    assert pushes[0][2] == f"~{entry_id} 0 y".encode()


@pytest.mark.parametrize(
    "id",
    [
        "1-18446744073709551615",
        "9999999999999-9007199254740992",  # numbers are exact below 2**53
        "9007199254740993-5",
        "18446744073709551615-18446744073709551615",
    ],
)
async def test_r1_an_entry_that_none_can_follow_is_told(client, id):
    pushes = await heard(client, b"SUBSCRIBE", b"orders", KEY.encode())
    await client.execute_command("XADD", KEY, id, "d", "x")
    with pytest.raises(exceptions.ResponseError, match="no entry can follow the last one"):
        await client.publish("orders", "x", history=History())
    await client.execute_command("DEL", KEY)
    assert (await client.publish("orders", "y", history=History())).endswith("-1")
    await eventually(lambda: len(pushes) == 2)


async def test_r1_entries_removed_at_the_end_are_told_while_their_time_is_ahead(client):
    await client.execute_command("XADD", KEY, "9999999999999-1", "d", "x")
    await client.execute_command("XDEL", KEY, "9999999999999-1")
    with pytest.raises(exceptions.ResponseError, match="removed entries"):
        await client.publish("orders", "x", history=History())


async def test_r1_strangers_entries_do_not_stop_publishers(client):
    await client.publish("orders", "1", history=History())
    await client.execute_command("XADD", KEY, "*", "their", "own")
    entry_id = await client.publish("orders", "2", history=History())
    last = (await entries(client))[-2:]
    assert last[0].payload is None
    assert (str(last[1].id), last[1].payload) == (entry_id, b"2")


async def test_r1_what_the_users_rules_must_allow(server):
    rules = "+evalsha +eval +time +xrevrange +xadd +xtrim +publish +spublish ~*:history &*"
    acl = (*("resetkeys", "resetchannels", "-@all", "+hello"), *rules.split())
    async with Redis.from_url(server.url, decode_responses=True) as root:
        await root.execute_command("ACL", "SETUSER", "pub", "on", ">secret", *acl)
        async with Redis(
            *(server.host, server.port), username="pub", password="secret", decode_responses=True
        ) as client:
            await client.publish("orders", "1", history=History(max_age=60))
            await client.spublish("orders", "2", history=History())
            await root.execute_command("ACL", "SETUSER", "pub", "resetchannels", "&orders")
            with pytest.raises(exceptions.AuthorizationError, match="channels 'orders' and"):
                await client.publish("orders", "3", history=History())
            assert len(await entries(root)) == 3  # appended, not published
            await root.execute_command("ACL", "SETUSER", "pub", "allchannels", "-xadd")
            with pytest.raises(exceptions.AuthorizationError, match="needs EVALSHA, EVAL, TIME"):
                await client.publish("orders", "4", history=History())
            await root.execute_command("ACL", "SETUSER", "pub", "-evalsha")
            with pytest.raises(exceptions.AuthorizationError, match=r"not published.*evalsha"):
                await client.publish("orders", "5", history=History())
        assert len(await entries(root)) == 3


async def test_r1_a_server_without_memory_publishes_nothing(server):
    async with Redis.from_url(server.url, decode_responses=True) as client:
        pushes = await heard(client, b"SUBSCRIBE", b"orders", KEY.encode())
        await client.execute_command("CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(exceptions.ResponseError, match="OOM"):
            await client.publish("orders", "1", history=History())
        await client.execute_command("CONFIG", "SET", "maxmemory", "0")
        await client.publish("orders", "2", history=History())
        await eventually(lambda: len(pushes) == 2)
        assert pushes[1][2] == b"2"


# --- Replicas and lost connections ----------------------------------------------------------------


async def test_r5_replicas_have_the_entry_before_publish_returns(make_server):
    server = make_server({"repl-diskless-sync-delay": 0})
    replica = make_server(("--replicaof", server.host, str(server.port)))
    safe = History(replicas=1)
    async with (
        Redis.from_url(server.url, decode_responses=True, stream_timeout=60) as client,
        Redis.from_url(server.url, decode_responses=True, stream_timeout=2) as impatient,
        Redis.from_url(replica.url, decode_responses=True) as behind,
    ):

        async def replicates() -> bool:
            return "state=online" in await client.execute_command("INFO", "replication")

        await eventually(replicates, 20)
        ids = []
        for number in range(9):
            ids.append(await client.publish("orders", number, history=safe))
            assert [str(entry.id) for entry in await entries(behind)] == ids
        replica.pause()
        waiting = asyncio.create_task(client.publish("orders", "waits", history=safe))
        await eventually(lambda: client.connection_pool.in_use == 1)
        # The commands of other tasks do not wait.
        assert (await client.publish("orders", "quick", history=History())).split("-")[1] in "1011"
        assert not waiting.done()
        with pytest.raises(
            exceptions.ReplicationError, match=r"was published.*only 0 of 1 replicas.*not publish"
        ) as caught:
            await impatient.publish("orders", "unsafe", history=safe)
        last = (await entries(client))[-1]
        assert last.payload == b"unsafe"
        assert (caught.value.id, caught.value.acknowledged) == (str(last.id), 0)
        replica.resume()
        assert await waiting in [str(entry.id) for entry in await entries(behind)]


async def test_r5_a_publish_that_is_cancelled_while_it_waits_leaves_nothing_behind(client):
    # There is no replica: WAIT holds the connection up for as long as the client lets it.
    waiting = asyncio.create_task(client.publish("orders", "x", history=History(replicas=1)))
    await eventually(lambda: client.execute_command("XLEN", KEY))
    assert client.connection_pool.in_use == 1
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert client.connection_pool.in_use == 0
    assert (await client.publish("orders", "y", history=History())).endswith("-2")


async def test_r5_an_error_before_the_wait_is_the_error_of_the_publish(client):
    await client.execute_command("SET", KEY, "x")
    with pytest.raises(exceptions.WrongTypeError, match="holds no stream"):
        await client.publish("orders", "x", history=History(replicas=1))


async def test_r5_a_connection_lost_while_waiting_is_a_message_published():
    def reply(command: list[bytes]) -> bytes | None:
        return {b"HELLO": HELLO, b"EVALSHA": b"$3\r\n5-1\r\n"}.get(command[0])

    async with peer(answers(reply)) as port, Redis("127.0.0.1", port) as client:
        with pytest.raises(
            exceptions.ReplicationError, match=r"entry 5-1.*unknown number of replicas"
        ) as caught:
            await client.publish("orders", "x", history=History(replicas=1))
    assert (caught.value.id, caught.value.acknowledged) == (b"5-1", None)
    assert isinstance(caught.value.__cause__, exceptions.UnansweredError)


@pytest.mark.parametrize("replicas", [0, 1])
async def test_r1_a_connection_lost_before_the_reply_may_have_published(replicas):
    seen = []

    def reply(command: list[bytes]) -> bytes | None:
        seen.append(command[0])
        return HELLO if command[0] == b"HELLO" else None

    async with peer(answers(reply)) as port, Redis("127.0.0.1", port) as client:
        with pytest.raises(exceptions.UnansweredError):
            await client.publish("orders", "x", history=History(replicas=replicas))
    assert seen.count(b"EVALSHA") == 1  # not sent again: the message might come twice


async def test_r1_a_silent_server_is_a_reply_timeout():
    def reply(command: list[bytes]) -> bytes:
        return HELLO if command[0] == b"HELLO" else b""

    async with (
        peer(answers(reply)) as port,
        Redis("127.0.0.1", port, stream_timeout=0.2, retry_policy=NoRetryPolicy()) as client,
    ):
        for replicas in (0, 1):
            with pytest.raises(exceptions.ReplyTimeoutError):
                await client.publish("orders", "x", history=History(replicas=replicas))
