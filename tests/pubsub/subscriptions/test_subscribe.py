"""The calls: what waits for what, what a time limit leaves behind, what errors say (P11)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors import Redis, exceptions
from actors.testing import FaultProxy
from tests.pubsub.helpers import (
    Gaps,
    Heard,
    client_of,
    data_of,
    drain,
    kill_subscribers,
    numsub,
    take,
    within,
)
from tests.servers import AnyServer, ask
from tests.support import eventually

NOT_IN_TIME = "Failed to receive acknowledgement of subscription within"


async def test_contract_subscribed_is_true_right_after_the_call(shared_server: AnyServer):
    async with client_of(shared_server) as client, client.pubsub() as p:
        assert not p.subscribed
        await p.subscribe("a")
        assert p.subscribed
        assert p.channels == {"a": None}
        assert numsub(shared_server, "a") == 1
        await p.psubscribe("a*")
        await p.unsubscribe("a")
        assert p.subscribed
        assert numsub(shared_server, "a") == 0
        await p.punsubscribe()
        assert not p.subscribed
        await p.subscribe()  # nothing: nothing happens
        assert not p.subscribed


async def test_contract_unsubscribe_without_names_is_about_one_kind(shared_server: AnyServer):
    async with client_of(shared_server) as client, client.pubsub(channels=["a", "b"]) as p:
        await p.psubscribe("a*", "b*")
        await p.unsubscribe()
        assert (p.channels, p.patterns) == ({}, {"a*": None, "b*": None})
        await p.subscribe("c")
        await p.punsubscribe()
        assert (p.channels, p.patterns) == ({"c": None}, {})


@pytest.mark.parametrize("read_acks", [False, True])
async def test_sub_unsub_resub_with_and_without_reading_acks(
    shared_server: AnyServer, read_acks: bool
):
    async with client_of(shared_server) as client, client.pubsub() as p:
        for turn in range(3):
            await p.subscribe("a", "b")
            await p.psubscribe("p*")
            if read_acks:
                await drain(p)
            await p.unsubscribe("a") if turn % 2 else await p.unsubscribe()
            await p.punsubscribe("p*")
            if read_acks:
                await drain(p)
            await p.subscribe("a")
            await p.psubscribe("p*")
            assert set(p.channels) >= {"a"}
            assert set(p.patterns) == {"p*"}
            await client.publish("a", str(turn))
            assert await data_of(p, 1) == [str(turn)]


async def test_p1_calls_that_cross_leave_what_the_last_one_says(shared_server: AnyServer):
    """Nobody waits for anybody: server, dict and consumer agree in the end."""
    heard = Heard()
    async with client_of(shared_server) as client, client.pubsub(unsubscription_timeout=30) as p:
        for turn in range(20):
            await asyncio.gather(p.subscribe("a"), p.unsubscribe("a"), p.subscribe(a=heard))
            assert p.channels == {"a": heard}
            assert numsub(shared_server, "a") == 1
            await client.publish("a", str(turn))
            await heard.wait(turn + 1)
            with within(15):  # no acknowledgement is waited for that does not come
                await asyncio.gather(p.unsubscribe("a"), p.subscribe("a"), p.unsubscribe("a"))
            await eventually(lambda: numsub(shared_server, "a") == 0)
            assert p.channels == {}


async def test_p4_ten_thousand_channels_in_pipelined_batches(server: AnyServer):
    names = [f"channel-{i}" for i in range(10_000)]
    last = Heard()
    async with client_of(server) as client, client.pubsub(ignore_subscribe_messages=True) as p:
        p.unsubscription_timeout = 5
        p.subscription_timeout = 5
        await p.subscribe(*names, last=last)
        assert len(p.channels) == 10_001
        assert numsub(server, names[-1]) == 1
        stats = ask(server, "INFO", "commandstats")
        assert _calls(stats, "subscribe") < 30
        await client.publish("last", "1")
        await last.wait(1)
        kill_subscribers(server)
        await eventually(lambda: p.stats().gaps == 10_001, 10)
        assert len(await client.pubsub_channels()) == 10_001
        await p.unsubscribe(*names)
        assert set(p.channels) == {"last"}
        assert await client.pubsub_channels() == {"last"}
        assert _calls(ask(server, "INFO", "commandstats"), "unsubscribe") < 30


def _calls(stats: str, command: str) -> int:
    line = next(line for line in stats.splitlines() if line.startswith(f"cmdstat_{command}:"))
    return int(line.partition("calls=")[2].partition(",")[0])


# -- time limits -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["channels", "patterns"])
async def test_contract_no_ack_in_time_is_a_builtin_timeout_error(
    shared_server: AnyServer, kind: str
):
    names = [f"name-{i}" for i in range(5000)]
    first: dict[str, Any] = {kind: names}
    async with client_of(shared_server) as client:
        async with client.pubsub(subscription_timeout=1e-4) as p:
            call = p.subscribe if kind == "channels" else p.psubscribe
            with pytest.raises(TimeoutError, match=NOT_IN_TIME):
                await call(*names)
            assert (p.channels, p.patterns) == ({}, {})
            p.subscription_timeout = 1
            await call(*names[:100])
            assert len(p.channels) + len(p.patterns) == 100
        with pytest.raises(ExceptionGroup) as caught:
            async with client.pubsub(subscription_timeout=1e-4, **first):
                pass
        assert [type(error) for error in caught.value.exceptions] == [TimeoutError]
        assert NOT_IN_TIME in str(caught.value.exceptions[0])


async def test_k8_a_timeout_leaves_nothing_subscribed(server: AnyServer):
    heard = Heard()
    async with client_of(server) as client, client.pubsub(subscription_timeout=0.1) as p:
        await p.subscribe("before")
        server.pause()
        with pytest.raises(TimeoutError, match=NOT_IN_TIME):
            await p.subscribe("a", b=heard)
        server.resume()
        # The server carries out what it was sent, and then what takes it back.
        await p.subscribe("after")
        await eventually(lambda: numsub(server, "a") == numsub(server, "b") == 0)
        assert set(p.channels) == {"before", "after"}
        await client.publish("a", "nobody's")
        await client.publish("before", "1")
        assert await data_of(p, 1) == ["1"]


async def test_k8_a_cancelled_call_leaves_nothing_subscribed(server: AnyServer):
    async with client_of(server) as client, client.pubsub() as p:
        for wait in range(6):
            call = asyncio.create_task(p.subscribe("a"))
            for _ in range(wait):
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
        await eventually(lambda: numsub(server, "a") == int("a" in p.channels))


async def test_p1_a_call_that_fails_takes_nothing_that_another_one_wanted(server: AnyServer):
    first = Heard()
    async with client_of(server) as client, client.pubsub(channel_handlers={"a": first}) as p:
        server.pause()
        p.subscription_timeout = 0.05
        with pytest.raises(TimeoutError):
            await p.subscribe("b")
        await p.subscribe("a")  # live: there is nothing to wait for
        await p.subscribe(a=first)
        server.resume()
        p.subscription_timeout = 1
        kill_subscribers(server)
        await eventually(lambda: p.stats().reconnects == 1 and numsub(server, "a") == 1)
        await client.publish("a", "1")
        await first.wait(1)


async def test_contract_unsubscribe_gives_up_waiting_with_a_log_line_only(
    server: AnyServer, caplog
):
    async with (
        client_of(server) as client,
        client.pubsub(channels=["a"], unsubscription_timeout=0.05) as p,
    ):
        server.pause()
        with within(0.5):
            await p.unsubscribe("a")
        assert p.channels == {}
        server.resume()
        await eventually(lambda: numsub(server, "a") == 0)
    lines = [record.getMessage() for record in caplog.records]
    assert sum("unsubscribe_not_acknowledged" in line for line in lines) == 1


# -- errors ----------------------------------------------------------------------------------------


def limited(server: AnyServer) -> Redis:
    """A client that may subscribe to ``allowed*`` alone."""
    ask(server, "ACL", "SETUSER", "limited", "on", ">pw", "+@all", "resetchannels", "&allowed*")
    return client_of(server, username="limited", password="pw")


@pytest.mark.every_backend
async def test_k7_p11_noperm_is_an_authorization_error_within_100_ms(server: AnyServer):
    async with limited(server) as client, client.pubsub(channels=["allowed"]) as p:
        for call in (p.subscribe, p.psubscribe):
            with (
                within(0.1),
                pytest.raises(exceptions.AuthorizationError, match=r"(?i)permission.*asked for '"),
            ):
                await call("denied")
        # One command, one answer: none of its names is subscribed.
        with pytest.raises(exceptions.AuthorizationError):
            await p.subscribe("allowed-2", "denied", denied=print)
        assert p.channels == {"allowed": None}
        await p.subscribe("allowed-3")
        await client.publish("allowed", "1")
        assert await data_of(p, 1) == ["1"]
        assert await client.pubsub_channels() == {"allowed", "allowed-3"}
        assert p.stats().reconnects == 0


async def test_k7_an_error_is_the_answer_to_its_own_command(server: AnyServer):
    """A PING on its way, with or without a payload, gets its own answer, and nobody else does."""
    async with limited(server) as client, client.pubsub(channels=["allowed"]) as p:
        await drain(p)
        connection = p.connection
        assert connection is not None
        pings = [connection.send_command("PING"), connection.send_command("PING", "payload")]
        denied = asyncio.create_task(p.subscribe("denied"))
        pings.append(connection.send_command("PING", "after"))
        allowed = asyncio.create_task(p.subscribe("allowed-2"))
        await asyncio.sleep(0)
        pings.append(connection.send_command("PING"))
        with pytest.raises(exceptions.AuthorizationError):
            await denied
        await allowed
        assert await asyncio.gather(*pings) == [b"PONG", b"payload", b"after", b"PONG"]
        assert [one["channel"] for one in await drain(p)] == ["allowed-2"]
        assert p.stats().reconnects == 0


async def test_p11_noperm_in_the_constructor_is_one_group_at_once(server: AnyServer):
    async with limited(server) as client:
        with within(0.5), pytest.raises(ExceptionGroup) as caught:
            async with client.pubsub(channel_handlers={"denied": print}):
                pytest.fail("it must not come this far")
        assert [type(e) for e in caught.value.exceptions] == [exceptions.AuthorizationError]


async def test_p11_a_permission_that_goes_and_comes_back(server: AnyServer, caplog):
    """Nothing but the user removes a desired target: it is asked for again, and there is a gap."""
    gaps = Gaps()
    heard = Heard()
    async with (
        limited(server) as client,
        client.pubsub(channel_handlers={"allowed": heard}, channels=["allowed-too"]) as p,
    ):
        p._session.require_open().registry.on_gap = gaps
        # Ends the connections of those who are subscribed to what they may not be any more.
        ask(server, "ACL", "SETUSER", "limited", "resetchannels", "&allowed-too")
        await eventually(lambda: numsub(server, "allowed-too") == 1)
        await eventually(lambda: "resubscribe_refused" in caplog.text)
        assert caplog.text.count("resubscribe_refused") == 1
        assert p.channels == {"allowed": heard, "allowed-too": None}
        assert numsub(server, "allowed") == 0
        ask(server, "ACL", "SETUSER", "limited", "&allowed")
        await eventually(lambda: numsub(server, "allowed") == 1)
        await client.publish("allowed", "1")
        await heard.wait(1)
        await eventually(lambda: [gap.name for gap in gaps] == ["allowed"])
        assert len(await take(p, 4)) == 4
        assert gaps.names() == ["allowed", "allowed-too"]


async def test_calls_outside_of_the_context(shared_server: AnyServer):
    async with client_of(shared_server) as client:
        p = client.pubsub()
        for call in (p.subscribe, p.psubscribe, p.unsubscribe, p.punsubscribe):
            with pytest.raises(exceptions.ConnectionError, match="not initialized correctly"):
                await call("a")
        with pytest.raises(exceptions.ConnectionError, match="not initialized correctly"):
            p.unconfirmed()
        async with p:
            await p.subscribe("a")
        assert not p.subscribed
        for call in (p.subscribe, p.psubscribe, p.unsubscribe, p.punsubscribe):
            with pytest.raises(exceptions.ConnectionError, match="closed: make a new one"):
                await call("a")
        with pytest.raises(exceptions.ConnectionError, match="used before"):
            await p.__aenter__()


async def test_p1_thousands_of_channels_in_one_call_leave_the_loop_its_turns(
    shared_server: AnyServer,
):
    names = [f"many:{number}" for number in range(3000)]
    async with (
        client_of(shared_server) as client,
        client.pubsub(ignore_subscribe_messages=True, subscription_timeout=20) as p,
    ):
        seen: set[int] = set()
        call = asyncio.create_task(p.subscribe(*names))
        while not call.done():
            seen.add(len(p._session.require_open().registry.subscriptions))
            await asyncio.sleep(0)
        await call
        assert len(seen - {0, 3000}) >= 4
        assert numsub(shared_server, names[0]) == numsub(shared_server, names[-1]) == 1


async def test_p1_calls_take_effect_in_their_order_however_many_channels_they_are_for(
    shared_server: AnyServer,
):
    names = [f"many:{number}" for number in range(3000)]
    async with (
        client_of(shared_server) as client,
        client.pubsub(
            channels=["a"],
            ignore_subscribe_messages=True,
            subscription_timeout=20,
            unsubscription_timeout=20,
        ) as p,
    ):
        overtaken = asyncio.create_task(p.subscribe(*names))
        await asyncio.sleep(0)
        await p.unsubscribe(*names)
        await asyncio.wait_for(overtaken, 20)
        assert p.channels == {"a": None}
        assert numsub(shared_server, names[0]) == numsub(shared_server, names[-1]) == 0
        await p.subscribe(*names)
        await p.subscribe(*names)
        assert len(p.channels) == 3001
        assert numsub(shared_server, names[0]) == numsub(shared_server, names[-1]) == 1


async def test_p1_a_large_unsubscribe_is_carried_out_when_it_returns(shared_server: AnyServer):
    """Its names are taken in portions, and the time of that is not the server's."""
    names = [f"large:{n}" for n in range(20_000)]
    async with (
        FaultProxy(shared_server.host, shared_server.port) as network,
        Redis(network.host, network.port) as client,
        client.pubsub(channels=names, unsubscription_timeout=0.05) as p,
    ):
        network.swallow()  # no acknowledgement comes
        await p.unsubscribe()
        assert p.channels == {}
