"""A call with thousands of handlers: the event loop gets its turns while they are spawned."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors import Redis, exceptions
from tests.pubsub.helpers import numsub
from tests.servers import AnyServer
from tests.support import eventually

_MANY = 1200


async def _ignore(message: Any) -> None: ...


def _handlers(count: int = _MANY) -> dict[str, Any]:
    return {f"many:{number}": _ignore for number in range(count)}


def _pubsub(client: Redis[Any]) -> Any:
    return client.pubsub(subscription_timeout=60)


def _spawned(pubsub: Any) -> int:
    """Return how many handlers' actors there are."""
    handlers = pubsub._session.require_open()._handlers
    return len(handlers.tree().children)


async def test_other_tasks_run_between_portions_and_all_handlers_get_their_messages(
    server: AnyServer,
):
    heard: list[Any] = []

    async def on_message(message: Any) -> None:
        heard.append(message["channel"])

    async with Redis.from_url(server.url, decode_responses=True) as client, _pubsub(client) as one:
        call = asyncio.create_task(one.subscribe(**dict.fromkeys(_handlers(), on_message)))
        seen = set()
        while not call.done():
            seen.add(_spawned(one))
            await asyncio.sleep(0)
        await call
        assert len(seen - {0, _MANY}) > 1
        assert _spawned(one) == _MANY
        for name in ("many:0", f"many:{_MANY - 1}"):
            await client.publish(name, "x")
        await eventually(lambda: len(heard) == 2)
        assert set(heard) == {"many:0", f"many:{_MANY - 1}"}


async def test_p1_a_call_that_is_cancelled_between_portions_leaves_nothing(server: AnyServer):
    async with Redis.from_url(server.url) as client, _pubsub(client) as pubsub:
        call = asyncio.create_task(pubsub.subscribe(**_handlers()))
        while not _spawned(pubsub):
            await asyncio.sleep(0)
        assert _spawned(pubsub) < _MANY
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await eventually(lambda: _spawned(pubsub) == 0)
        assert not pubsub.channels
        assert numsub(server, "many:0") == 0


async def test_a_pubsub_that_is_left_between_portions_ends_the_call(server: AnyServer):
    async with Redis.from_url(server.url) as client:
        async with _pubsub(client) as pubsub:
            call = asyncio.create_task(pubsub.subscribe(**_handlers()))
            while not _spawned(pubsub):
                await asyncio.sleep(0)
            assert _spawned(pubsub) < _MANY
        with pytest.raises(exceptions.ConnectionError):
            await call


async def test_a_callback_that_is_no_handler_in_a_later_portion_leaves_nothing(server: AnyServer):
    async with Redis.from_url(server.url) as client, _pubsub(client) as pubsub:
        with pytest.raises(Exception, match="no argument"):
            await pubsub.subscribe(**_handlers(), wrong=lambda: None)
        await eventually(lambda: _spawned(pubsub) == 0)
        assert not pubsub.channels
