"""Entering, leaving, and where a pub/sub object lives: pools, systems, errors as users see them."""

from __future__ import annotations

import asyncio
import gc

import pytest

from actors import Actor, ActorSpec, ActorSystem, ConnectionPool, PubSub, Redis, exceptions
from actors.runtime.messages.overflow import MailboxSpec, Overflow
from supervisor import ConstantRetryPolicy
from tests.pubsub.helpers import (
    Heard,
    client_of,
    data_of,
    drain,
    numsub,
    publish_many,
    subscribers,
    take,
    within,
)
from tests.servers import AnyServer, ask
from tests.support import eventually


async def test_contract_subscriptions_of_the_constructor(shared_server: AnyServer):
    one, two = Heard(), Heard()
    async with client_of(shared_server) as client:
        p = client.pubsub(
            channels=["a", b"b"],
            channel_handlers={"c": one, "quiet": None},
            patterns=("p*",),
            pattern_handlers={b"q*": two},
        )
        assert not p.subscribed
        async with p:
            assert p.subscribed
            assert p.channels == {"a": None, "b": None, "c": one, "quiet": None}
            assert p.patterns == {"p*": None, "q*": two}
        assert not p.subscribed
        assert (p.channels, p.patterns) == ({}, {})
        assert await client.pubsub_channels() == set()


async def test_contract_a_pubsub_on_a_pool_without_a_client(shared_server: AnyServer):
    pool = ConnectionPool(host=shared_server.host, port=shared_server.port)
    async with PubSub(pool, True, channels=["a"]) as p:
        ask(shared_server, "PUBLISH", "a", "1")
        assert await data_of(p, 1) == [b"1"]
        assert pool.in_use == 1
        assert p.connection is not None
        assert p.connection.location == pool.location
    assert pool.in_use == 0


async def test_several_pubsubs_of_one_client_are_apart(shared_server: AnyServer):
    async with (
        client_of(shared_server) as client,
        client.pubsub(channels=["a", "both"], ignore_subscribe_messages=True) as one,
        client.pubsub(channels=["b", "both"], ignore_subscribe_messages=True) as two,
    ):
        for channel in ("a", "b", "both"):
            await client.publish(channel, channel)
        assert await data_of(one, 2) == ["a", "both"]
        assert await data_of(two, 2) == ["b", "both"]
        await one.unsubscribe("both")
        await client.publish("both", "x")
        assert await data_of(two, 1) == ["x"]
        assert numsub(shared_server, "both") == 1


async def test_k8_p13_no_connection_goes_back_with_a_subscription_on_it(server: AnyServer):
    async with client_of(server, max_connections=2) as client:
        for _ in range(5):
            async with client.pubsub(channels=["a"], patterns=["*"]) as p:
                await client.publish("a", "1")
                await take(p, 2)
            await eventually(lambda: subscribers(server) == [])
            await client.publish("a", "nobody's")
            async with client.pubsub(channels=["other"]) as p:
                assert [one["channel"] for one in await drain(p) if one] == ["other"]
        assert client.connection_pool.in_use == 0


# -- errors of entering ----------------------------------------------------------------------------


@pytest.mark.every_backend
async def test_a_wrong_password_is_one_error_at_once(make_server):
    server = make_server({"requirepass": "right"})
    for options, kind, words in (
        ({"password": "wrong"}, exceptions.AuthenticationFailureError, "check the password"),
        ({}, exceptions.AuthenticationRequiredError, "give username and password"),
    ):
        async with client_of(server, **options) as client:
            with within(1), pytest.raises(ExceptionGroup) as caught:
                async with client.pubsub(channels=["a"]):
                    pytest.fail("it must not come this far")
            (error,) = caught.value.exceptions
            assert type(error) is kind
            assert words in str(error)
            assert "right" not in str(error)
            assert client.connection_pool.in_use == 0


async def test_a_password_that_changes_while_it_is_down_is_one_error(server: AnyServer):
    """No bursts of attempts with credentials that were refused."""
    with within(3), pytest.raises(ExceptionGroup) as caught:
        ask(server, "ACL", "SETUSER", "u", "on", ">first", "+@all", "&*")
        async with (
            client_of(server, username="u", password="first") as client,
            client.pubsub(channels=["a"]) as p,
        ):
            ask(server, "ACL", "DELUSER", "u")  # ends the user's connections
            async for _ in p:
                pass
    (error,) = caught.value.exceptions
    assert isinstance(error, exceptions.AuthenticationFailureError)
    refused = [line for line in ask(server, "ACL", "LOG").split() if line == "auth"]
    assert len(refused) <= 1


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"bogus": 1}, TypeError, "PubSub has no option 'bogus'"),
        ({"max_idle_seconds": 0}, ValueError, "max_idle_seconds must be more than 0"),
        ({"mailbox": 0}, ValueError, "capacity must be 1 or more"),
        ({"overflow": "explode"}, ValueError, "overflow must be one of drop_oldest, drop_newest"),
        ({"overflow": "fail"}, ValueError, "drop_newest, block, not 'fail': 'fail' tells the send"),
        ({"overflow": Overflow.FAIL, "mailbox": 9}, ValueError, "not 'fail'"),
        (
            {"mailbox": MailboxSpec(9)},
            ValueError,
            "MailboxSpec needs an overflow here, one of",
        ),
        ({"on_gap": 3}, TypeError, "on_gap must be a function or coroutine function, or None, not"),
        ({"on_failure": 3}, TypeError, "on_failure must be a function"),
        ({"on_lagged": "x"}, TypeError, "on_lagged must be a function .* not 'x'"),
        ({"retry_policy": 3}, TypeError, "retry_policy must be a RetryPolicy, or None, not 3"),
        ({"channels": 5}, TypeError, "channels must be a name .str or bytes., an iterable of"),
        ({"channels": [5]}, TypeError, "channels: a name must be str or bytes, not int: 5"),
        ({"channel_handlers": ["a"]}, TypeError, "channel_handlers must map names to handlers"),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_options_without_a_meaning_are_errors_of_the_call(
    shared_server: AnyServer, options, error, words
):
    async with client_of(shared_server) as client:
        with pytest.raises(error, match=words):
            client.pubsub(**options)


@pytest.mark.parametrize("url", ["http://localhost", "redis://localhost:notaport", "redis://h?x=1"])
def test_a_wrong_url_is_an_error_of_the_call(url: str):
    with pytest.raises(ValueError, match=r"\w"):
        Redis.from_url(url)


@pytest.mark.parametrize("bound", [{"mailbox": 9}, {"mailbox": MailboxSpec(9, "block")}, {}])
async def test_a_bound_is_taken_whole_or_in_parts(shared_server: AnyServer, bound):
    async with client_of(shared_server) as client:
        assert client.pubsub(**bound)
        assert client.pubsub(**bound, overflow="drop_newest")
        assert client.pubsub(mailbox=MailboxSpec(9), overflow="drop_newest")


# -- the body --------------------------------------------------------------------------------------


async def test_contract_an_error_of_the_body_passes_unwrapped(shared_server: AnyServer):
    """Deliberately not a group: what is raised inside is what is caught outside."""
    with pytest.raises(ValueError, match="mine"):
        async with client_of(shared_server) as client, client.pubsub(channels=["a"]):
            raise ValueError("mine")
    with pytest.raises(asyncio.CancelledError):
        async with client_of(shared_server) as client, client.pubsub(channels=["a"]):
            raise asyncio.CancelledError


async def test_p13_an_exit_waits_for_the_message_in_hand(shared_server: AnyServer):
    done = []

    async def handler(message) -> None:
        await asyncio.sleep(0.1)
        done.append(message["data"])

    async with client_of(shared_server) as client:
        async with client.pubsub(channel_handlers={"a": handler}) as p:
            await publish_many(client, "a", 5)
            await eventually(lambda: p.stats().received == 5)
            await asyncio.sleep(0.01)
        assert done == ["0"]


async def test_what_handlers_did_not_come_to_is_one_line(shared_server: AnyServer, caplog):
    """Messages that wait when the context is left are told of once, with their number."""

    async def handler(_) -> None:
        await asyncio.sleep(0.02)

    async with client_of(shared_server) as client:
        handlers = {f"h{i}": handler for i in range(5)}
        async with client.pubsub(channel_handlers=handlers) as p:
            for name in handlers:
                await publish_many(client, name, 20)
            await eventually(lambda: p.stats().received == 100)
    lines = [r.getMessage() for r in caplog.records if "not_handled" in r.getMessage()]
    assert len(lines) == 1
    count = int(lines[0].partition("messages=")[2].split()[0])
    assert 60 <= count < 100
    assert len(caplog.records) == 1


async def test_drain_handles_everything_first(shared_server: AnyServer, caplog):
    heard = Heard()
    async with (
        client_of(shared_server) as client,
        client.pubsub(channel_handlers={"a": heard}) as p,
    ):
        await publish_many(client, "a", 5000)
        await eventually(lambda: p.stats().received == 5000)
        assert await p.drain(5)
        assert len(heard) == 5000
    assert caplog.records == []


# -- systems ---------------------------------------------------------------------------------------


async def test_an_actor_system_around_shows_it_in_its_tree(shared_server: AnyServer):
    async with ActorSystem("shop") as system, client_of(shared_server) as client:
        handlers = {"orders/eu": print}
        async with client.pubsub(channels=["a"], channel_handlers=handlers) as p:
            tree = system.tree()
            root = next(node for node in tree.walk() if node.id.startswith("pubsub-"))
            assert root.path == f"shop/{root.id}"
            below = {node.path.removeprefix(f"{root.path}/") for node in root.walk()} - {root.path}
            assert below == {
                "handlers",
                "handlers/orders_eu",
                "manager",
                "readers",
                "readers/connection",
            }
            assert {node.status for node in root.walk()} == {"running"}
            text = str(tree)
            assert "orders_eu" in text
            assert "restarts" not in text
            assert p.subscribed
        assert not [node for node in system.tree().walk() if node.id.startswith("pubsub-")]
        assert system.running


async def test_a_system_may_be_given(shared_server: AnyServer):
    async with (
        ActorSystem("one") as one,
        ActorSystem("two") as two,
        client_of(shared_server) as client,
        client.pubsub(system=one),
    ):
        assert "pubsub-" in str(one.tree())
        assert "pubsub-" not in str(two.tree())


async def test_a_system_that_stops_ends_the_pubsub(shared_server: AnyServer):
    """The body hears of it: nothing would come any more."""
    system = ActorSystem("short")
    await system.start()
    with within(1), pytest.raises(ExceptionGroup) as caught:
        async with (
            client_of(shared_server) as client,
            client.pubsub(system=system, channel_handlers={"a": print}),
        ):
            await system.stop()
            await asyncio.sleep(5)
    (error,) = caught.value.exceptions
    assert isinstance(error, exceptions.ConnectionError)
    assert "the actor system of this pubsub has stopped" in str(error)


async def test_handlers_that_cannot_be_kept_alive_end_the_pubsub(shared_server: AnyServer):
    """An actor whose policy is spent: its messages must not vanish in silence."""

    class Fragile(Actor[dict]):
        def receive(self, message: dict) -> None:
            raise ValueError("mine")

    spec = ActorSpec(Fragile, retry_policy=ConstantRetryPolicy((ValueError,), retries=0))
    with within(2), pytest.raises(ExceptionGroup) as caught:
        async with (
            client_of(shared_server) as client,
            client.pubsub(channel_handlers={"a": spec, "b": print}),
        ):
            await client.publish("a", "1")
            await asyncio.sleep(5)
    assert [str(error) for error in caught.value.exceptions] == ["mine"]


async def test_p13_a_cancelled_drain_leaves_no_error_that_nobody_retrieves(server: AnyServer):
    reports: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))
    async with client_of(server) as client, client.pubsub(channels=["a"]) as pubsub:
        server.pause()  # the end of the subscription is not confirmed
        drain = asyncio.create_task(pubsub.drain())
        await asyncio.sleep(0)
        drain.cancel()
        await asyncio.gather(drain, return_exceptions=True)
    server.resume()
    del drain
    gc.collect()
    assert not reports
