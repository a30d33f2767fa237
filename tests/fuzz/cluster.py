"""Part ``cluster``: nodes that lie about each other for a while, and then tell the truth again.

The cluster itself is well all the time. A case is a client with a pub/sub object, for shard
channels or plain ones; afterwards messages must arrive again, and what the client asked of the
nodes must be bounded whatever they said.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from random import Random
from typing import Any

from actors import ActorSystem, RedisCluster
from actors.redis.topology.slots import key_slot
from actors.testing.clusters.cluster import EmbeddedCluster
from tests.fuzz.judge import Judge
from tests.fuzz.lies import Address, lie, redirection
from tests.fuzz.limits import LIMIT, Fault
from tests.fuzz.proxy import HostileProxy
from tests.fuzz.replies import Acts
from tests.fuzz.server import PATIENT, PUBSUB, recovers

__all__ = ["play"]

_NAMES = ("a", "b", "{a}2")
_SLOTS = [key_slot(name.encode()) for name in _NAMES]
_SIDE_BY_SIDE = 4
# Nodes lie, but they answer: whoever waits waits for a busy machine.
_LIMITS = PATIENT | {"pool_timeout": 3.0}
_PUBSUB = PUBSUB | {"start_timeout": LIMIT, "subscription_timeout": 2.0, "max_idle_seconds": 2.0}
# The retry policy says how often a lost connection is made anew: here, where requests are counted,
# the default one does.
del _PUBSUB["retry_policy"]
# Seconds for which a pub/sub object is left alone with the lies, and how often it may ask the whole
# cluster in that time.
_EXPOSED, _MOST_ASKED = 1.0, 110


async def play(judge: Judge, cluster: EmbeddedCluster) -> None:
    """Play steps until the time is up."""
    for step in judge.steps():
        cases = [_case(judge, cluster, judge.random(step, i)) for i in range(_SIDE_BY_SIDE)]
        await judge.play(step, *cases)


class _Liar:
    """Lies of all nodes of one case."""

    def __init__(self, rng: Random, known: Sequence[Address]) -> None:
        self._rng = rng
        self._known = known
        self._sane = rng.choice((0, 4, 10, 20))
        #: Whether each node says that another one serves what it is asked for, always.
        self._contradict = rng.random() < 0.25
        #: How often a topology is a lie, and any other reply.
        self._shares = rng.choice(((1.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.0, 1.0), (0.5, 0.3)))

    def __call__(self, speaker: Address, frame: bytes) -> tuple[str, Acts] | None:
        self._sane -= 1
        if self._sane >= 0 or frame.startswith(b"%"):  # the reply to HELLO
            return None
        is_topology = b" myself," in frame or b"endpoint" in frame
        if self._contradict:
            other = self._known[(self._known.index(speaker) + 1) % len(self._known)]
            return None if is_topology else ("moved", [redirection(self._rng, other, _SLOTS)])
        if self._rng.random() >= self._shares[not is_topology]:
            return None
        kind, told = lie(self._rng, frame, self._known, _SLOTS)
        return kind, [told]


class _Nodes:
    """A proxy in front of each node."""

    def __init__(self, cluster: EmbeddedCluster) -> None:
        self.proxies = {node.address: HostileProxy(*node.address) for node in cluster.nodes}

    def remap(self, address: Address) -> Address:
        proxy = self.proxies.get(address)
        return address if proxy is None else ("127.0.0.1", proxy.port)

    def lie(self, liar: _Liar) -> None:
        for address, proxy in self.proxies.items():
            proxy.mischief = partial(liar, address)

    def heal(self) -> None:
        for proxy in self.proxies.values():
            proxy.heal(reset=False)

    @property
    def asked(self) -> int:
        return sum(proxy.asked for proxy in self.proxies.values())


async def _case(judge: Judge, cluster: EmbeddedCluster, rng: Random) -> None:
    nodes = _Nodes(cluster)
    async with AsyncExitStack() as stack:
        for proxy in nodes.proxies.values():
            await stack.enter_async_context(proxy)
        nodes.lie(_Liar(rng, list(nodes.proxies)))
        system = await stack.enter_async_context(ActorSystem(sink=judge.sink))
        client = _client(nodes)
        whole = await judge.attempt(
            "a client", _use(judge, cluster, nodes, client, system, rng), 4 * LIMIT
        )
        nodes.heal()
        if not whole:
            async with (
                _client(nodes) as fresh,
                fresh.sharded_pubsub(channels=_NAMES, system=system, **_PUBSUB) as pubsub,
            ):
                await _recovered(judge, cluster, pubsub, "SPUBLISH")


def _client(nodes: _Nodes) -> RedisCluster[bytes]:
    seeds = [("127.0.0.1", proxy.port) for proxy in nodes.proxies.values()]
    seeds = [{"host": host, "port": port} for host, port in seeds]
    return RedisCluster(
        startup_nodes=seeds, address_remap=nodes.remap, max_connections=12, **_LIMITS
    )


async def _use(
    judge: Judge,
    cluster: EmbeddedCluster,
    nodes: _Nodes,
    client: RedisCluster[bytes],
    system: ActorSystem,
    rng: Random,
) -> bool:
    """Enter, call, subscribe, be lied to; then hear the truth and wait for messages."""
    async with client:
        for command in rng.sample((("GET", "a"), ("SET", "b", 1), ("SPUBLISH", "a", "x")), 2):
            await judge.attempt(str(command[0]), client.execute_command(*command))
        sharded = rng.random() < 0.7
        make = client.sharded_pubsub if sharded else client.pubsub
        pubsub: Any = make(channels=_NAMES, system=system, **_PUBSUB)
        alive = await judge.attempt(
            "entering", _listen(judge, cluster, nodes, pubsub, rng, sharded), 4 * LIMIT
        )
        nodes.heal()
        await recovers(judge, "GET", lambda: client.execute_command("GET", "a"))
        judge.complain_if(client.connection_pool.in_use, "places of the pool are left taken")
        return bool(alive)


async def _listen(
    judge: Judge,
    cluster: EmbeddedCluster,
    nodes: _Nodes,
    pubsub: Any,
    rng: Random,
    sharded: bool,
) -> bool:
    async with pubsub:
        for _ in range(rng.randrange(3)):
            name = f"more{rng.randrange(100)}"
            await judge.attempt("subscribe", pubsub.subscribe(name))
            await judge.attempt("unsubscribe", pubsub.unsubscribe(name))
        before = nodes.asked
        await asyncio.sleep(_EXPOSED)
        asked = nodes.asked - before
        judge.complain_if(asked > _MOST_ASKED, f"{asked} requests to the nodes in {_EXPOSED} s")
        nodes.heal()
        await _recovered(judge, cluster, pubsub, "SPUBLISH" if sharded else "PUBLISH")
    return True


async def _recovered(judge: Judge, cluster: EmbeddedCluster, pubsub: Any, command: str) -> None:
    """Wait until what is published on every channel from now on arrives."""
    wanted = f"after step {judge.step}".encode()
    missing = {name.encode() for name in _NAMES}
    until = time.monotonic() + LIMIT
    while missing:
        for name in missing:
            node = await cluster.primary_for(name.decode())
            await node.execute(command, name, wanted)
        message = await pubsub.get_message(timeout=0.05)
        while message is not None:
            if message["data"] == wanted:
                missing.discard(message["channel"])
            message = await pubsub.get_message(timeout=0)
        if time.monotonic() > until:
            raise Fault(f"{len(missing)} channels deaf {LIMIT} s after the nodes were sane again")
