"""Random lives of a pub/sub object against a model of what is subscribed (P1, P2, P10).

Calls, messages and killed connections in any order, some of the calls without waiting for the one
before. What must hold: every message goes to whom the model says, once, and whatever is missing
lies in a gap; in the end client, server and model agree.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from typing import Any

import pytest

from actors import Gap, PubSub, Redis
from tests.pubsub.helpers import QUICK, client_of, kill_subscribers
from tests.servers import AnyServer, ask
from tests.support import eventually

NAMES = ("a", "b", "c", "ab")
PATTERNS = ("a*", "?b", "c")
MATCHES = {"a*": ("a", "ab"), "?b": ("ab",), "c": ("c",)}
ITERATOR = "the iterator"


class Life:
    """One pub/sub object, its model, and what its consumers saw."""

    def __init__(self, pubsub: PubSub[Any], client: Redis[Any], seed: int) -> None:
        self.pubsub = pubsub
        self.client = client
        self.random = random.Random(seed)
        #: Target -> consumer; targets are ("channel" or "pattern", name).
        self.model: dict[tuple[str, str], str] = {}
        self.seen: dict[tuple[str, str, str], list[int]] = defaultdict(list)
        self.expected: dict[tuple[str, str, str], list[int]] = defaultdict(list)
        self.gaps: set[tuple[str, str]] = set()
        self.lossy: set[int] = set()
        self.number = 0
        self.handlers = 0

    # -- consumers ---------------------------------------------------------------------------------

    def on_gap(self, gap: Gap) -> None:
        self.gaps.add((gap.kind, gap.name))

    def see(self, consumer: str, message: Any) -> None:
        kind = "channel" if message["pattern"] is None else "pattern"
        name = message["pattern"] or message["channel"]
        self.seen[consumer, kind, name].append(int(message["data"]))

    async def iterate(self) -> None:
        while True:
            message = await self.pubsub.get_message()
            if message is not None:
                self.see(ITERATOR, message)

    # -- steps -------------------------------------------------------------------------------------

    async def step(self) -> None:
        choice = self.random.random()
        if choice < 0.35:
            await self.call()
        elif choice < 0.45:
            await asyncio.gather(*(self.call() for _ in range(3)))
        elif choice < 0.95:
            await self.publish()
        else:
            await self.kill()

    def call(self) -> Any:
        """Begin a random call; the model follows the order in which calls begin."""
        kind = self.random.choice(("channel", "pattern"))
        names = self.random.sample(NAMES if kind == "channel" else PATTERNS, 2)
        p = self.pubsub
        if self.random.random() < 0.4:
            for name in names:
                self.model.pop((kind, name), None)
            return (p.unsubscribe if kind == "channel" else p.punsubscribe)(*names)
        handled: dict[str, Any] = {}
        for name in names:
            consumer = ITERATOR
            if self.random.random() < 0.6:
                self.handlers += 1
                consumer = f"handler {self.handlers}"
                handled[name] = lambda message, consumer=consumer: self.see(consumer, message)
            self.model[kind, name] = consumer
        plain = [name for name in names if name not in handled]
        return (p.subscribe if kind == "channel" else p.psubscribe)(*plain, **handled)

    async def publish(self) -> None:
        name = self.random.choice(NAMES)
        self.number += 1
        for (kind, wanted), consumer in self.model.items():
            if wanted == name if kind == "channel" else name in MATCHES[wanted]:
                self.expected[consumer, kind, wanted].append(self.number)
        await self.client.publish(name, str(self.number))
        # Handed to its consumer before anything changes hands.
        await eventually(lambda: not self.missing())

    async def kill(self) -> None:
        """Kill the connection, publish into the outage, and wait until it is over."""
        gaps = self.pubsub.stats().gaps
        await self.client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        if not self.model:
            return
        for _ in range(3):
            self.number += 1
            self.lossy.add(self.number)
            await self.client.publish(self.random.choice(NAMES), str(self.number))
        await eventually(lambda: self.pubsub.stats().gaps >= gaps + len(self.model))

    # -- checks ------------------------------------------------------------------------------------

    def missing(self) -> bool:
        return any(
            [n for n in self.seen[key] if n not in self.lossy] != numbers
            for key, numbers in self.expected.items()
        )

    def check(self, server: AnyServer) -> None:
        channels = {name for kind, name in self.model if kind == "channel"}
        patterns = {name for kind, name in self.model if kind == "pattern"}
        assert set(self.pubsub.channels) == channels
        assert set(self.pubsub.patterns) == patterns
        assert set(ask(server, "PUBSUB", "CHANNELS").split()) == channels
        assert ask(server, "PUBSUB", "NUMPAT") == f":{len(patterns)}"
        for key, numbers in self.seen.items():
            assert len(numbers) == len(set(numbers)), f"{key}: twice"
            assert numbers == sorted(numbers), f"{key}: out of order"
            sure = [n for n in numbers if n not in self.lossy]
            assert sure == self.expected.get(key, []), key


@pytest.mark.parametrize("seed", range(6))
async def test_p1_p2_p10_random_lives_follow_the_model(server: AnyServer, seed: int, full_speed):
    async with (
        client_of(server) as client,
        client.pubsub(
            ignore_subscribe_messages=True, retry_policy=QUICK, unsubscription_timeout=2
        ) as p,
    ):
        life = Life(p, client, seed)
        p._session.require_open().registry.on_gap = life.on_gap
        iterating = asyncio.create_task(life.iterate())
        for _ in range(150):
            await life.step()
        iterating.cancel()
        await asyncio.wait([iterating])
        life.check(server)
        assert life.number > 50
        kill_subscribers(server)
