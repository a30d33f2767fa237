"""Whoever publishes, and however much is kept: numbers have no holes, and the chain is whole."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors import History, Redis
from actors.redis.history.entries import BEFORE_FIRST, EntryId, parse_entries, parse_envelope
from tests.support import eventually

KEY = b"{orders}:history"

histories = st.builds(
    History, maxlen=st.sampled_from([1, 5, 120, None]), max_age=st.sampled_from([0.001, 3600])
)
#: What one publisher does: how, with which limits, how often.
steps = st.tuples(
    st.sampled_from(["publish", "spublish", "many", "pipeline", "transaction"]),
    histories,
    st.integers(1, 40),
)
publishers = st.lists(st.lists(steps, min_size=1, max_size=4), min_size=1, max_size=4)


async def carry_out(client: Redis[str], name: str, plan: Iterable[tuple[str, History, int]]):
    """Publish as planned; return the ids and payloads, in order."""
    sent: list[tuple[str, str]] = []
    for number, (how, history, count) in enumerate(plan):
        payloads = [f"{name} {number} {n}" for n in range(count)]
        if how == "many":
            messages = [("orders", payload) for payload in payloads]
            ids = await client.publish_many(messages, history=history)
        elif how in {"pipeline", "transaction"}:
            async with client.pipeline(how == "transaction") as pipe:
                for payload in payloads:
                    pipe.publish("orders", payload, history=history)
            ids = list(pipe.results)
        else:
            send = client.publish if how == "publish" else client.spublish
            ids = [await send("orders", payload, history=history) for payload in payloads]
        sent += zip(ids, payloads, strict=True)
    return sent


async def check(url: str, plans: list[list[tuple[str, History, int]]]) -> None:
    async with (
        Redis.from_url(url, decode_responses=True) as one,
        Redis.from_url(url, decode_responses=True) as other,
    ):
        await one.execute_command("FLUSHALL")
        await one.execute_command("SCRIPT", "FLUSH")
        listener = await one.connection_pool.open_dedicated()
        pushes: list[list[bytes]] = []
        listener.on_push = pushes.append
        listener.write(b"SUBSCRIBE %b\r\nSSUBSCRIBE %b\r\n" % (KEY, KEY))
        await eventually(lambda: len(pushes) == 2)
        del pushes[:]
        clients = [one, other] * 2
        sent = await asyncio.gather(
            *(carry_out(clients[n], str(n), plan) for n, plan in enumerate(plans))
        )
        total = sum(map(len, sent))
        await eventually(lambda: len(pushes) == total)
        kept = parse_entries(await listener_free(one))
        envelopes = [parse_envelope(push[2]) for push in pushes]
        assert all(envelopes)
        chain = [(e.previous, e.id, e.payload) for e in envelopes if e is not None]
    # The chain is whole, and times never go back.
    assert [entry.n for _, entry, _ in chain] == [*range(1, total + 1)]
    assert chain[0][0] == BEFORE_FIRST
    assert all(before[1] == after[0] and before[1] < after[1] for before, after in pairwise(chain))
    # Each publisher was told the ids of its own messages, in its order.
    by_id = {str(entry): payload.decode() for _, entry, payload in chain}
    for mine in sent:
        assert [by_id[entry] for entry, _ in mine] == [payload for _, payload in mine]
        numbers = [EntryId.parse(entry.encode()).n for entry, _ in mine]
        assert numbers == sorted(numbers)
    # The stream is the end of the chain.
    assert kept
    assert [(e.id, e.payload) for e in kept] == [(e, p) for _, e, p in chain[-len(kept) :]]


async def listener_free(client: Redis[str]):
    connection = await client.connection_pool.acquire()
    try:
        return await connection.execute("XRANGE", KEY, "-", "+")
    finally:
        client.connection_pool.release(connection)


@pytest.mark.parametrize("exact", [False, True], ids=["by block", "by entry"])
def test_r1_numbers_have_no_holes_whoever_publishes_whatever_is_kept(server, exact):
    async def prepare() -> None:
        async with Redis.from_url(server.url) as client:
            limit = 1 if exact else 100
            await client.execute_command("CONFIG", "SET", "stream-node-max-entries", limit)

    @settings(
        max_examples=25,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(publishers)
    def holds(plans) -> None:
        asyncio.run(check(server.url, plans))

    asyncio.run(prepare())
    holds()
