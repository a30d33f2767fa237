"""What tests of Pub/Sub share: clients, faults, and a look at the server from outside."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Self

from actors import Gap, PubSubMessage, Redis
from actors.pubsub.api.base import BasePubSub
from actors.redis.exceptions import ConnectionError  # noqa: A004
from supervisor import CompositeRetryPolicy, ConstantRetryPolicy
from tests.servers import AnyServer, ask
from tests.support import eventually

__all__ = [
    "QUICK",
    "Gaps",
    "Heard",
    "client_of",
    "data_of",
    "drain",
    "flood",
    "is_subscribed",
    "kill_subscribers",
    "message",
    "numsub",
    "publish_many",
    "subscribers",
    "take",
    "within",
]

#: For tests that are not about the default policy: reconnects without jitter.
QUICK = CompositeRetryPolicy(
    ConstantRetryPolicy((ConnectionError, TimeoutError), retries=None, delay=0.02)
)


def client_of(server: AnyServer, **options: Any) -> Redis[Any]:
    """A client of ``server`` that decodes, unless told otherwise."""
    options.setdefault("decode_responses", True)
    return Redis(server.host, server.port, **options)


def message(
    channel: Any, data: Any, *, pattern: Any = None, type: str | None = None
) -> dict[str, Any]:
    """A message dict as the contract has it."""
    kind = type or ("pmessage" if pattern is not None else "message")
    return {"type": kind, "pattern": pattern, "channel": channel, "data": data}


class Heard(list[Any]):
    """A handler that keeps the payloads it is called with."""

    def __call__(self, heard: PubSubMessage) -> None:
        self.append(heard["data"])

    async def wait(self, count: int, timeout: float = 5.0) -> None:
        await eventually(lambda: len(self) >= count, timeout)


class Gaps(list[Gap]):
    """An ``on_gap`` hook that keeps what it is told."""

    def __call__(self, gap: Gap) -> None:
        self.append(gap)

    def names(self) -> list[Any]:
        return sorted(gap.name for gap in self)


async def drain(pubsub: BasePubSub[Any]) -> list[PubSubMessage]:
    """Everything that is there already."""
    found = []
    while (one := await pubsub.get_message(timeout=0)) is not None:
        found.append(one)
    return found


async def take(pubsub: BasePubSub[Any], count: int, timeout: float = 5.0) -> list[PubSubMessage]:
    """The next ``count`` messages, acknowledgements among them."""
    found: list[PubSubMessage] = []
    async with asyncio.timeout(timeout):
        while len(found) < count:
            one = await pubsub.get_message()
            if one is not None:
                found.append(one)
    return found


async def data_of(pubsub: BasePubSub[Any], count: int, timeout: float = 5.0) -> list[Any]:
    """The payloads of the next ``count`` messages, acknowledgements left out."""
    found: list[Any] = []
    async with asyncio.timeout(timeout):
        async for one in pubsub:
            if "subscribe" not in one["type"]:
                found.append(one["data"])
                if len(found) == count:
                    break
    return found


async def publish_many(
    client: Redis[Any], channel: str, count: int, payload: str = "", *, first: int = 0
) -> None:
    """Have the server publish ``count`` numbers from ``first`` on, each followed by ``payload``."""
    script = "for i = ARGV[1], ARGV[2] do redis.call('PUBLISH', KEYS[1], i .. ARGV[3]) end"
    for begin in range(first, first + count, 1000):
        end = min(begin + 1000, first + count) - 1
        await client.execute_command("EVAL", script, 1, channel, begin, end, payload)


def subscribers(server: AnyServer) -> list[dict[str, str]]:
    """The server's view of its subscribed connections."""
    lines = ask(server, "CLIENT", "LIST", "TYPE", "PUBSUB").splitlines()
    return [dict(field.split("=", 1) for field in line.split()) for line in lines if line]


def kill_subscribers(server: AnyServer) -> None:
    """CLIENT KILL every subscribed connection."""
    ask(server, "CLIENT", "KILL", "TYPE", "pubsub")


def numsub(server: AnyServer, channel: str) -> int:
    """How many connections have ``channel``."""
    return int(ask(server, "PUBSUB", "NUMSUB", channel).rpartition(":")[2])


def is_subscribed(server: AnyServer, *channels: str) -> Callable[[], bool]:
    return lambda: all(numsub(server, channel) == 1 for channel in channels)


@asynccontextmanager
async def flood(
    client: Redis[Any], channels: list[str], *, pause: float = 0.0005
) -> AsyncIterator[dict[str, int]]:
    """Publish numbers to ``channels`` in turn until the context is left; the last of each."""
    last = dict.fromkeys(channels, -1)

    async def publish() -> None:
        while True:
            for channel in channels:
                last[channel] += 1
                await client.publish(channel, str(last[channel]))
            await asyncio.sleep(pause)

    task = asyncio.create_task(publish())
    try:
        yield last
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class within:
    """Assert that the body takes no longer than ``seconds``, with some room on shared cores."""

    def __init__(self, seconds: float) -> None:
        # Beside another pytest process, and the servers of both, a core may be taken for a while.
        self.seconds = seconds + (0.5 if "PYTEST_XDIST_WORKER" in os.environ else 0)
        self.took = 0.0

    def __enter__(self) -> Self:
        self._begun = time.monotonic()
        return self

    def __exit__(self, *exc: object) -> None:
        self.took = time.monotonic() - self._begun
        if exc[0] is None:
            assert self.took < self.seconds, f"took {self.took:.3f} s, not {self.seconds} s"
