"""A peer that accepts connections and is of no use: it is called less and less often (S5)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors import Redis
from actors.pubsub.api.base import BasePubSub
from actors.redis.exceptions import ConnectionError  # noqa: A004
from supervisor import ExponentialBackoffRetryPolicy
from tests.redis.helpers import HELLO, answers, confirmation, peer
from tests.support import eventually

# Nothing here depends on whose server it is.
pytestmark = pytest.mark.embedded_only


#: The default policy's growth, without jitter.
GROWS = ExponentialBackoffRetryPolicy((ConnectionError,), retries=None, base_delay=0.05)


class Peer:
    """A server that works until it is ``broken``; then ``fault`` says what it answers."""

    def __init__(self, fault) -> None:
        self.fault = fault
        self.broken = False
        self.greeted: list[float] = []

    def __call__(self, command: list[bytes]) -> bytes | None:
        if command[0] == b"HELLO":
            self.greeted.append(asyncio.get_running_loop().time())
        if self.broken:
            return self.fault(command)
        return HELLO if command[0] == b"HELLO" else confirmation(command)


def greets_and_drops(command: list[bytes]) -> bytes | None:
    return HELLO if command[0] == b"HELLO" else None


def drops_at_once(command: list[bytes]) -> bytes | None:
    return None


def breaks_the_protocol(command: list[bytes]) -> bytes | None:
    return HELLO if command[0] == b"HELLO" else b"SSH-2.0\r\n"


def confirms_and_breaks(command: list[bytes]) -> bytes | None:
    return HELLO if command[0] == b"HELLO" else confirmation(command) + b"?\r\n"


@pytest.mark.parametrize(
    "fault", [greets_and_drops, drops_at_once, breaks_the_protocol, confirms_and_breaks]
)
async def test_s5_connections_that_were_never_useful_are_made_less_and_less_often(fault):
    server = Peer(fault)
    async with (
        peer(answers(server)) as port,
        Redis("127.0.0.1", port) as client,
        client.pubsub(channels=["a"], retry_policy=GROWS) as p,
    ):
        server.broken = True
        assert p.connection is not None
        p.connection.abort()
        begun = asyncio.get_running_loop().time()
        await eventually(lambda: len(server.greeted) >= 6, timeout=60)
        assert server.greeted[5] - begun > 0.05 + 0.1 + 0.2 + 0.4 - 0.05
        server.broken = False
        await eventually(lambda: p.connection is not None and not p.unconfirmed(), timeout=30)


def is_useful(p: BasePubSub[Any]) -> bool:
    tree = p._session.tree
    assert tree is not None
    reader = tree.system.lookup(f"{tree.name}/readers/connection")
    assert reader is not None
    return tree.is_useful(reader)


async def test_s5_a_connection_that_worked_is_restored_at_once_again():
    server = Peer(greets_and_drops)
    async with (
        peer(answers(server)) as port,
        Redis("127.0.0.1", port) as client,
        client.pubsub(channels=["a"]) as p,
    ):
        for turn in range(1, 4):
            await eventually(lambda: is_useful(p))
            assert p.connection is not None
            p.connection.abort()
            await eventually(lambda n=turn: p.stats().gaps == n)
        assert len(server.greeted) == 4, "each was restored by the first attempt"


async def test_s5_a_connection_without_subscriptions_is_useful_once_it_was_kept():
    server = Peer(greets_and_drops)
    async with (
        peer(answers(server)) as port,
        Redis("127.0.0.1", port) as client,
        client.pubsub() as p,
    ):
        assert not is_useful(p)
        await eventually(lambda: is_useful(p))
