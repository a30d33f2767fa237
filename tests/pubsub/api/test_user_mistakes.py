"""What a user gets wrong is an error at the call, with its cause and its cure; nothing hangs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors import Actor, Breaker, Handler, exceptions
from supervisor import SpecError
from tests.pubsub.helpers import client_of
from tests.servers import AnyServer

# Untyped: a type checker would refuse most of what these tests do.
handler_of: Any = Handler
breaker_of: Any = Breaker


def handle(message: Any) -> None: ...


def no_argument() -> None: ...


class NeedsDatabase(Actor[Any]):
    """Cannot be made without arguments."""

    def __init__(self, database: Any) -> None: ...


@pytest.mark.parametrize(
    ("options", "error", "problem"),
    [
        ({"channel": ["a"]}, TypeError, "PubSub has no option 'channel': is 'channels' meant"),
        ({"channels": {"a": handle}}, TypeError, "by name belong into channel_handlers"),
        ({"patterns": {"a": handle}}, TypeError, "by name belong into pattern_handlers"),
        ({"start_timeout": "x"}, ValueError, "start_timeout must be a number of seconds, or None"),
        ({"start_timeout": -1}, ValueError, "start_timeout must be 0 or more seconds, or None"),
        ({"subscription_timeout": -1}, ValueError, "subscription_timeout must be 0 or more"),
        ({"max_idle_seconds": 0}, ValueError, "max_idle_seconds must be more than 0 seconds"),
        ({"system": 3}, TypeError, "system must be an ActorSystem, or None, not 3"),
        ({"on_gap": no_argument}, TypeError, "on_gap is called with one argument, and no_arg"),
        ({"on_lagged": no_argument}, TypeError, "on_lagged is called with one argument"),
        ({"on_failure": no_argument}, TypeError, "on_failure is called with one argument"),
    ],
)
async def test_options_that_cannot_work(shared_server: AnyServer, options, error, problem):
    async with client_of(shared_server) as client:
        make: Any = client.pubsub
        with pytest.raises(error, match=problem):
            make(**options)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: handler_of(handle, concurrency="3"), "concurrency must be a whole number"),
        (lambda: handler_of(handle, timeout="x"), "timeout must be a number of seconds, or None"),
        (lambda: handler_of(handle, mailbox=0), "mailbox: capacity must be 1 or more, not 0"),
        (lambda: handler_of(handle, breaker=5), "breaker must be a Breaker, or None, not 5"),
        (lambda: handler_of(handle, shared=3), "shared must be True or False, not 3"),
        (lambda: handler_of(handle, on_gap=no_argument), "on_gap is called with one argument"),
        (lambda: handler_of(NeedsDatabase), r"missing a required argument: 'database'; give arg"),
        (lambda: breaker_of(limit="x"), "limit must be a whole number, not 'x'"),
        (lambda: breaker_of(cooldown=0), "cooldown must be more than 0 seconds, not 0"),
    ],
)
def test_handlers_that_cannot_work(make, problem):
    with pytest.raises(SpecError, match=problem):
        make()


async def test_a_pubsub_that_was_not_entered_yields_no_messages_but_says_so(
    shared_server: AnyServer,
):
    async with client_of(shared_server) as client:
        pubsub = client.pubsub(channels=["a"])
        with pytest.raises(exceptions.ConnectionError, match="Enter the pubsub first"):
            await anext(pubsub)
        with pytest.raises(exceptions.ConnectionError, match="Enter the pubsub first"):
            await anext(pubsub.batches())


async def test_a_pubsub_of_another_event_loop_says_so(shared_server: AnyServer):
    async with client_of(shared_server) as client, client.pubsub(channels=["a"]) as pubsub:
        calls = [
            lambda: pubsub.subscribe("b"),
            lambda: pubsub.unsubscribe("a"),
            lambda: pubsub.drain(),
            lambda: pubsub.get_message(ignore_subscribe_messages=True),
            lambda: client.ping(),
            lambda: client.publish("a", "b"),
        ]
        while await pubsub.get_message(timeout=0.1):
            pass

        async def elsewhere() -> None:
            for call in calls:
                with pytest.raises(RuntimeError, match="belongs to another event loop"):
                    await call()

        await asyncio.to_thread(lambda: asyncio.run(elsewhere()))
        assert await client.publish("a", "b") == 1
