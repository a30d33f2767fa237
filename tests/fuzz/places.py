"""Where scenes are played: one server, or a cluster with shard channels; and what both can do."""

from __future__ import annotations

from typing import Any, Protocol

from actors import Redis, RedisCluster
from actors.testing.clusters.cluster import EmbeddedCluster
from tests.fuzz.server import PATIENT, RETRY
from tests.servers import AnyServer, ask

__all__ = ["ClusterPlace", "Place", "ServerPlace"]

_OPTIONS: dict[str, Any] = {
    "ignore_subscribe_messages": True,
    "retry_policy": RETRY,
    "start_timeout": 10.0,
    "subscription_timeout": 10.0,
    "unsubscription_timeout": 5.0,
}


class Place(Protocol):
    """Servers, and the view from outside the library."""

    @property
    def where(self) -> Any:
        """What a worker is given."""

    @property
    def is_cluster(self) -> bool:
        """Whether it is a cluster."""

    def client(self) -> Any:
        """Return a new client."""

    def pubsub(self, client: Any, **options: Any) -> Any:
        """Return a new pub/sub object of the client."""

    async def publish(self, name: str, data: str) -> None:
        """Publish a message."""

    async def subscribers(self, name: str) -> int:
        """Return how many connections are subscribed to a channel."""


class ServerPlace:
    """One server."""

    is_cluster = False

    def __init__(self, server: AnyServer) -> None:
        self._server = server
        self.where = server.url

    def client(self) -> Any:
        """Return a new client."""
        return Redis(self._server.host, self._server.port, decode_responses=True, **PATIENT)

    def pubsub(self, client: Any, **options: Any) -> Any:
        """Return a new pub/sub object of the client."""
        return client.pubsub(**_OPTIONS, **options)

    async def publish(self, name: str, data: str) -> None:
        """Publish a message."""
        ask(self._server, "PUBLISH", name, data)

    async def subscribers(self, name: str) -> int:
        """Return how many connections are subscribed to a channel."""
        return int(ask(self._server, "PUBSUB", "NUMSUB", name).rpartition(":")[2])


class ClusterPlace:
    """A cluster, with shard channels."""

    is_cluster = True

    def __init__(self, cluster: EmbeddedCluster) -> None:
        self._cluster = cluster
        self.where = [node.address for node in cluster.nodes]

    def client(self) -> Any:
        """Return a new client."""
        nodes = self._cluster.startup_nodes
        return RedisCluster(startup_nodes=nodes, decode_responses=True, **PATIENT)

    def pubsub(self, client: Any, **options: Any) -> Any:
        """Return a new pub/sub object of the client."""
        return client.sharded_pubsub(**_OPTIONS, **options)

    async def publish(self, name: str, data: str) -> None:
        """Publish a message."""
        node = await self._cluster.primary_for(name)
        await node.execute("SPUBLISH", name, data)

    async def subscribers(self, name: str) -> int:
        """Return how many connections are subscribed to a channel, on all nodes."""
        replies = [await n.execute("PUBSUB", "SHARDNUMSUB", name) for n in self._cluster.nodes]
        return sum(count for _, count in replies)
