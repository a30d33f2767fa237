"""The breaker: what opens it, what does not, and that it is seen."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from actors import Breaker, BreakerOpenError, Handler
from actors.pubsub.handlers.breaker import BreakerState, BreakerStatus
from tests.pubsub.handlers.test_concurrency import node_of
from tests.pubsub.helpers import client_of
from tests.servers import AnyServer
from tests.support import eventually


def test_a_trial_that_the_handler_never_saw_is_none():
    state = BreakerState(Breaker(2, 5.0))
    assert not state.failed(0.0)
    assert state.failed(0.0)
    assert not state.allows(4.9)
    assert state.allows(5.0)
    assert not state.allows(5.0)  # one trial at a time
    state.spared()
    assert state.allows(5.0)
    assert state.failed(6.0)
    assert not state.allows(10.9)
    assert state.allows(11.0)
    assert state.succeeded()
    assert state.status is BreakerStatus.CLOSED
    assert state.trips == 1


@pytest.mark.embedded_only
@pytest.mark.parametrize("concurrency", [1, 4])
async def test_what_does_not_decode_opens_no_breaker(shared_server: AnyServer, concurrency: int):
    seen: list[Any] = []
    failures: list[Any] = []

    async def handler(payload: int) -> None:
        seen.append(payload)

    wanted = Handler(
        handler,
        decode=int,
        breaker=Breaker(5, 60),
        concurrency=concurrency,
        on_failure=failures.append,
    )
    async with client_of(shared_server) as client, client.pubsub(channel_handlers={"a": wanted}):
        for _ in range(20):
            await client.publish("a", "{")
        await client.publish("a", "1")
        await eventually(lambda: seen == [1] and len(failures) == 20)
    assert {type(failure.error) for failure in failures} == {msgspec.ValidationError}


@pytest.mark.embedded_only
@pytest.mark.parametrize("concurrency", [1, 4])
async def test_it_is_seen_and_named(shared_server: AnyServer, concurrency: int, caplog):
    bad = True
    failures: list[Any] = []

    def handler(message: Any) -> None:
        if bad:
            raise ValueError("mine")

    wanted = Handler(
        handler, breaker=Breaker(3, 0.1), concurrency=concurrency, on_failure=failures.append
    )
    async with (
        client_of(shared_server) as client,
        client.pubsub(channel_handlers={"a": wanted}) as p,
    ):

        async def shows(status: str | None) -> bool:
            await client.publish("a", "x")
            return node_of(p, "a").detail.get("breaker") == status

        await eventually(lambda: shows("open"))
        await eventually(lambda: any(isinstance(f.error, BreakerOpenError) for f in failures))
        bad = False
        await eventually(lambda: shows(None))
    closed = [record for record in caplog.records if "breaker_closed" in record.getMessage()]
    assert len(closed) == 1
    assert "handler" in closed[0].getMessage()
    assert "test_it_is_seen_and_named" in closed[0].getMessage()
