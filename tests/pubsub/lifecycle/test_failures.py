"""Bugs of ours, made on purpose: what supervision makes of them."""

from __future__ import annotations

import asyncio

import pytest

from actors import ActorSystem
from actors.pubsub.lifecycle.manager import Subscribe
from tests.pubsub.helpers import Gaps, Heard, client_of, data_of, numsub, within
from tests.servers import AnyServer
from tests.support import eventually

# Nothing here depends on whose server it is.
pytestmark = pytest.mark.embedded_only


async def test_a_manager_that_crashes_comes_back_with_all_subscriptions(
    shared_server: AnyServer, caplog
):
    """P2 and P10 hold all the same: handlers stay handlers, and the time between is a gap."""
    gaps, one, two = Gaps(), Heard(), Heard()
    async with (
        ActorSystem("shop") as system,
        client_of(shared_server) as client,
        client.pubsub(
            channels=["i"],
            channel_handlers={"a": one},
            pattern_handlers={"p*": two},
            on_gap=gaps,
            ignore_subscribe_messages=True,
        ) as p,
    ):
        parts = p._session.tree
        assert parts is not None
        for turn in range(1, 3):
            parts.manager.tell(Subscribe(None, None))  # type: ignore[arg-type]
            with within(2):
                await eventually(lambda n=turn: p.stats().gaps == 3 * n)
            for name in ("i", "a", "p1"):
                await client.publish(name, str(turn))
            await one.wait(turn)
            await two.wait(turn)
            assert await data_of(p, 1) == [str(turn)]
            assert set(p.channels) == {"i", "a"}
            assert numsub(shared_server, "a") == 1
        assert (one, two) == (["1", "2"], ["1", "2"])
        assert gaps.names() == ["a", "a", "i", "i", "p*", "p*"]
        assert {gap.reason for gap in gaps} == {"the reader stopped (shutdown)"}
        assert all(0 < gap.seconds < 1 for gap in gaps)
        manager = system.tree().find(f"{parts.manager.path}")
        assert manager is not None
        assert manager.restarts == 2
        await p.subscribe("later")
        await p.unsubscribe()


async def test_calls_that_wait_when_the_manager_crashes_are_not_forgotten(server: AnyServer):
    async with (
        client_of(server) as client,
        client.pubsub(subscription_timeout=5, unsubscription_timeout=5) as p,
    ):
        await p.subscribe("old", "older")
        parts = p._session.tree
        assert parts is not None
        server.pause()
        calls = [
            asyncio.create_task(p.subscribe("new")),
            asyncio.create_task(p.unsubscribe("old")),
        ]
        await asyncio.sleep(0.02)
        parts.manager.tell(Subscribe(None, None))  # type: ignore[arg-type]
        await asyncio.sleep(0.02)
        server.resume()
        with within(2):
            await asyncio.gather(*calls)
        assert set(p.channels) == {"older", "new"}
        await eventually(lambda: numsub(server, "new") == numsub(server, "older") == 1)
        assert numsub(server, "old") == 0


async def test_a_manager_that_crashes_on_and_on_ends_the_pubsub(shared_server: AnyServer):
    with within(3), pytest.raises(ExceptionGroup) as caught:
        async with client_of(shared_server) as client, client.pubsub(channels=["a"]) as p:
            for _ in range(20):
                p._session.tree.manager.tell(Subscribe(None, None))  # type: ignore[union-attr,arg-type]
            await asyncio.sleep(5)
    (error,) = caught.value.exceptions
    assert isinstance(error, TypeError)


async def test_a_router_that_raises_inside_a_drain_costs_one_connection(
    server: AnyServer, caplog, monkeypatch
):
    gaps, heard = Gaps(), Heard()
    async with (
        client_of(server) as client,
        client.pubsub(
            channels=["i"],
            channel_handlers={"a": heard},
            on_gap=gaps,
            ignore_subscribe_messages=True,
        ) as p,
    ):
        await client.publish("a", "0")
        await heard.wait(1)
        subscriber = next(iter(p._session.tree.reconciler.subscribers.values()))  # type: ignore[union-attr]

        def broken(*_):
            raise KeyError("a bug of ours")

        monkeypatch.setattr(subscriber.events, "on_confirmed", broken)
        await p.subscribe("b")  # its acknowledgement ends the connection, the wish stands
        monkeypatch.undo()
        await eventually(lambda: len(gaps) >= 1 and p.stats().gaps >= 2)
        for i in (1, 2):
            await client.publish("a", str(i))
            await client.publish("i", str(i))
        await heard.wait(3)
        assert heard == ["0", "1", "2"]
        assert await data_of(p, 2) == ["1", "2"]
        assert p.stats().reconnects == 1
        assert p.connection is not None
    assert "a bug of ours" in caplog.text
    assert "reading_failed" in caplog.text


async def test_the_batch_in_which_it_raised_is_delivered_as_far_as_it_came(server: AnyServer):
    """Inlets touched before the error are woken: nothing waits for the next batch for ever."""
    heard = Heard()
    async with client_of(server) as client, client.pubsub(channel_handlers={"a": heard}) as p:
        subscriber = next(iter(p._session.tree.reconciler.subscribers.values()))  # type: ignore[union-attr]
        wire = subscriber.connection
        publish = b"".join(b">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\n%d\r\n" % i for i in range(3))
        data = publish + b":1\r\n" + publish  # an answer to nothing
        buffer = wire.get_buffer(len(data))
        buffer[: len(data)] = data
        wire.buffer_updated(len(data))
        await heard.wait(3, 1)
        assert heard == ["0", "1", "2"]
        await eventually(lambda: p.stats().gaps == 1)
        await client.publish("a", "3")
        await heard.wait(4)


async def test_a_reader_that_crashes_is_restarted_as_if_its_connection_were_lost(
    server: AnyServer,
):
    gaps, heard = Gaps(), Heard()
    async with (
        client_of(server) as client,
        client.pubsub(channel_handlers={"a": heard}, on_gap=gaps) as p,
    ):
        parts = p._session.tree
        assert parts is not None
        reader = parts.system.lookup(f"{parts.name}/readers/connection")
        assert reader is not None
        reader._cell.crash_with(RuntimeError("a bug of ours"))
        await eventually(lambda: gaps)
        await client.publish("a", "1")
        await heard.wait(1)
        assert "a bug of ours" in gaps[0].reason


async def test_readers_spawned_in_a_dead_tree_do_no_harm(shared_server: AnyServer):
    """The manager hears of the readers' supervisor late, or never: leaving works all the same."""
    async with client_of(shared_server) as client:
        for _ in range(5):
            p = client.pubsub(channels=["a"])
            entering = asyncio.create_task(p.__aenter__())
            await asyncio.sleep(0)
            entering.cancel()
            await asyncio.gather(entering, return_exceptions=True)
        async with client.pubsub(channels=["a"]) as p:
            await client.publish("a", "1")
            assert await data_of(p, 1) == ["1"]
