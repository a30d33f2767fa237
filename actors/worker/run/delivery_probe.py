"""Proof of delivery: the worker publishes a probe on a channel of its own and receives it back.

A connection may answer every PING while no published message reaches it: it leads to a former
primary, through a broken proxy, or to a node that the cluster has forgotten. Only a message that
arrives proves that messages arrive. There is one probe channel for each node in use; among shard
channels its name has the slot of a channel that the node serves.

A probe is published three times in each interval, each with a random text: what others publish on
the channel proves nothing. If one does not come back in time although the server took it, the path
through that node is silent: it is logged, and its reader is restarted.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable
from typing import Any

from actors.pubsub.api.base import BasePubSub
from actors.pubsub.handlers.handler import Handler
from actors.pubsub.model.types import Gap, Kind, PubSubMessage, Target
from actors.redis.exceptions import RedisError
from actors.redis.topology.slots import key_slot
from actors.runtime.actor import Actor
from actors.worker.observe.snapshot import PathState, as_text
from actors.worker.run.delivery_proof import PER_INTERVAL, Paths, Proof
from supervisor.log import get_logger

log = get_logger("mailslot.worker")

#: The prefix of the names of probe channels.
PROBE_PREFIX = "mailslot:probe:"
#: Seconds at most between two looks at which nodes are in use.
_LOOK = 0.5


class Prober(Actor[str]):
    """Keeps proof of delivery for the nodes that one pub/sub object listens on.

    The names of its channels contain ``me``, a text that no other process has. The proofs in
    ``paths`` outlive restarts of this actor.
    """

    def __init__(self, pubsub: BasePubSub[Any], client: Any, me: str, paths: Paths) -> None:
        self._pubsub = pubsub
        self._client = client
        self._me = me
        self._paths = paths
        self._sharded = pubsub._channel_kind is Kind.SHARD
        # The probe channel of each node, and since when a channel belongs to no node any more.
        self._channels: dict[str, str] = {}
        self._unused: dict[str, float] = {}

    async def on_start(self) -> None:
        """Start the timer, and list the nodes in use as unproven."""
        self._paths.follow(set(self._wanted()), time.monotonic())
        self.context.timers.every(min(_LOOK, self._paths.interval / PER_INTERVAL / 2), "look")
        self.context.self_ref.tell("look")

    async def receive(self, message: str) -> None:
        """Publish the probes that are due, and restart paths whose probes did not come back."""
        try:
            await self._follow(self._wanted())
        except (RedisError, TimeoutError) as error:
            log.warning("probe_not_subscribed", pubsub=self._pubsub.name, error=str(error))
        for node, proof in list(self._paths.proofs.items()):
            now = time.monotonic()
            if proof.silent(now):
                log.error(
                    "path_silent",
                    pubsub=self._pubsub.name,
                    node=node,
                    action="no published message arrives: the connection is replaced",
                )
                # The gap begins at the last probe that came back. Both clocks are monotonic; the
                # loop's may have another origin.
                proven = proof.since if proof.proved is None else proof.proved
                proven_at = self.context.system.loop.time() - (now - proven)
                self._paths.restarted(node, now)
                self._pubsub.restart_reader(node, proven_at=proven_at)
            elif node in self._channels and proof.due(now):
                await self._publish(node, proof)

    async def _publish(self, node: str, proof: Proof) -> None:
        publish = self._client.spublish if self._sharded else self._client.publish
        channel, text, now = self._channels[node], os.urandom(16).hex(), time.monotonic()
        # Before publishing: the probe may arrive before the server's answer.
        proof.sent(now)
        self._paths.published(channel, text, now)
        try:
            async with asyncio.timeout(self._paths.interval / PER_INTERVAL):
                await publish(channel, text)
        except (RedisError, TimeoutError, OSError) as error:
            # This says nothing about delivery; the reader notices a dead server by itself.
            proof.withdrawn(now)
            log.debug("probe_not_published", node=node, error=str(error))

    # -- which nodes -------------------------------------------------------------------------------

    def _wanted(self) -> dict[str, str]:
        """Return the probe channel for each node in use."""
        if not self._sharded:
            return dict.fromkeys(self._pubsub.nodes(), f"{PROBE_PREFIX}{self._me}")
        wanted = {}
        for node, targets in self._pubsub.sources().items():
            names = [t.name for t in targets if not t.name.startswith(PROBE_PREFIX.encode())]
            tag = next((tag for name in sorted(names) if (tag := slot_tag(name))), None)
            if tag is not None:
                wanted[node] = f"{PROBE_PREFIX}{self._me}:{{{tag}}}"
        return wanted

    async def _follow(self, wanted: dict[str, str]) -> None:
        """Subscribe to the wanted channels; leave those that were unused for an interval."""
        now = time.monotonic()
        self._paths.follow(set(wanted), now)
        known = {*self._channels.values(), *self._unused}
        for channel in known - set(wanted.values()):
            self._unused.setdefault(channel, now)
        for channel in wanted.values():
            self._unused.pop(channel, None)
        old = [c for c, since in self._unused.items() if now - since > self._paths.interval]
        if old and self._sharded:
            await self._pubsub.unsubscribe(*old)
            for channel in old:
                del self._unused[channel]
        new = {channel for channel in wanted.values() if channel not in known}
        if new:
            handler = Handler(self._came_back, on_gap=_ignore, breaker=None)
            await self._pubsub.subscribe(**dict.fromkeys(new, handler))
        self._channels = wanted
        self._paths.channels = {*wanted.values(), *self._unused}

    def _came_back(self, message: PubSubMessage) -> None:
        name = as_text(message["channel"])
        sent_at = self._paths.arrived(name, as_text(message["data"]))
        if sent_at is None:  # somebody else published it: it proves nothing
            log.debug("probe_unknown", channel=name)
            return
        for node, channel in self._channels.items():
            if channel == name and node in self._paths.proofs:
                self._paths.proofs[node].came_back(sent_at)


def _ignore(gap: Gap) -> None:
    """Ignore a gap of the probe's own channel: it loses nobody's messages."""


def slot_tag(name: bytes) -> str | None:
    """Return the hash tag that has the slot of ``name``; None: no text is one."""
    start = name.find(b"{")
    end = name.find(b"}", start + 1)
    tag = name[start + 1 : end] if start >= 0 and end > start + 1 else name
    try:
        text = tag.decode()
    except UnicodeDecodeError:
        return None
    return text if key_slot(f"{PROBE_PREFIX}:{{{text}}}".encode()) == key_slot(name) else None


def probes_waiting(pubsub: BasePubSub[Any], channels: Iterable[str]) -> int:
    """Return how many messages of ``channels`` are received, and not recognised as probes yet."""
    registry = pubsub._known_tree.registry
    wanted = (Target(pubsub._channel_kind, registry.encode(name)) for name in channels)
    subscriptions = [
        registry.subscriptions.get(one) for target in wanted for one in registry.spread(target)
    ]
    return sum(
        one.handler.waiting for one in subscriptions if one is not None and one.handler is not None
    )


def path_states(pubsub: BasePubSub[Any], paths: Paths, now: float) -> list[PathState]:
    """Return the state of each path of ``pubsub``."""
    return [
        PathState(pubsub.name, node, now - proof.since, proof.age(now), paths.restarts[node])
        for node, proof in paths.proofs.items()
    ]
