"""A private cluster: its start and end, its processes and its members."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from actors.redis.exceptions import ResponseError
from actors.testing.clusters.changes import ClusterChanges
from actors.testing.clusters.cluster_config import Member, nodes_config, plan_members
from actors.testing.clusters.node import ClusterNode, ClusterTimeoutError
from actors.testing.servers.args import ServerArgs, as_words
from actors.testing.servers.binary import ServerBinary, find_binary
from actors.testing.servers.guard import new_folder, release_folder
from actors.testing.servers.ports import PortReservation

__all__ = ["ClusterNode", "ClusterTimeoutError", "EmbeddedCluster"]


class EmbeddedCluster(ClusterChanges):
    """A cluster of real servers on loopback; it ends with the context, and with this process.

    ::

        async with EmbeddedCluster() as cluster:
            client = RedisCluster.from_url(cluster.url)
            cluster.kill(await cluster.primary_for("orders"))

    The start takes two to three seconds. Asynchronous methods that change the cluster return once
    every living node knows of the change, or raise :class:`ClusterTimeoutError`. Plain methods
    (kill, pause, resume) take effect at once and do not wait.

    Args:
        primaries: how many shards.
        replicas: how many replicas each of them has.
        binary: the server program, as for :class:`~actors.testing.EmbeddedServer`.
        node_timeout: cluster-node-timeout in milliseconds: how long a node may be silent before it
            is suspected. A dead primary is replaced after one and a half to three times that.
        full_coverage: cluster-require-full-coverage. With False the other shards go on serving when
            a shard is down; with True, the servers' own default, the whole cluster stops then.
        replica_migration: cluster-allow-replica-migration; None leaves the server's default (on):
            a primary without slots becomes a replica of the node that got its last slot.
        args: further configuration for every server, words or a mapping.

    Raises:
        ServerNotFoundError: there is no server program to run.
    """

    def __init__(
        self,
        primaries: int = 3,
        replicas: int = 1,
        *,
        binary: str | os.PathLike[str] | ServerBinary | None = None,
        node_timeout: int = 1500,
        full_coverage: bool = False,
        replica_migration: bool | None = None,
        args: ServerArgs = (),
    ) -> None:
        super().__init__()
        if primaries < 1 or replicas < 0:
            raise ValueError(
                f"a cluster has at least 1 primary and 0 replicas, not {primaries} and {replicas}"
            )
        self.binary = binary if isinstance(binary, ServerBinary) else find_binary(binary)
        self.node_timeout = node_timeout
        self._counts = (primaries, replicas)
        self._args = ["--cluster-node-timeout", str(node_timeout)]
        self._args += ["--cluster-require-full-coverage", "yes" if full_coverage else "no"]
        self._args += ["--repl-diskless-sync-delay", "0"]
        if replica_migration is not None:
            self._args += [
                "--cluster-allow-replica-migration",
                "yes" if replica_migration else "no",
            ]
        self._args += as_words(args)
        self._exit = AsyncExitStack()

    # --- start and end ---

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._exit.aclose()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._exit.aclose()

    async def _start(self) -> None:
        self._folder = new_folder()
        self._exit.callback(release_folder, self._folder)
        primaries, replicas = self._counts
        ports = [self._reserve() for _ in range(primaries * (1 + replicas))]
        members = plan_members(ports, primaries)
        for member in members:
            self._make_node(member, members)
        await asyncio.gather(*(node.start() for node in self.nodes))
        await self.settled()

    def _reserve(self) -> int:
        reservation = PortReservation(cluster=True)
        self._exit.callback(reservation.close)
        return reservation.port

    def _make_node(self, member: Member, members: list[Member]) -> ClusterNode:
        config_file = self._folder / f"nodes-{member.port}.conf"
        config_file.write_text(nodes_config(members, member, self.binary))
        node = ClusterNode(self.binary, member.id, member.port, config_file, self._args)
        self.nodes.append(node)
        self._exit.callback(node.close)
        self._exit.push_async_callback(node.disconnect)
        return node

    # --- processes: methods that do not wait ---

    def kill(self, node: ClusterNode) -> None:
        """End the node with SIGKILL."""
        node.kill()

    def pause(self, node: ClusterNode) -> None:
        """Stop the node with SIGSTOP: its connections stay open and get no answer."""
        node.pause()

    def resume(self, node: ClusterNode) -> None:
        """Continue a paused node."""
        node.resume()

    # --- processes: methods that wait ---

    async def start(self, *nodes: ClusterNode) -> None:
        """Start nodes that are down, and wait until the cluster is stable with them."""
        await asyncio.gather(*(node.start() for node in nodes))
        await self.settled()

    async def restart(self, *nodes: ClusterNode, graceful: bool = False) -> None:
        """Restart nodes all at once, by SIGKILL or (``graceful``) SIGTERM; wait until stable."""
        if graceful:
            await asyncio.gather(*(node.stop() for node in nodes))
        else:
            for node in nodes:
                node.kill()
        await self.start(*nodes)

    async def rolling_restart(self, *, replicas_too: bool = False) -> None:
        """Restart each primary, one after another.

        A replica takes over before its primary stops; a primary without replicas just restarts.
        With ``replicas_too`` all replicas restart first, one by one.
        """
        primaries = await self.primaries()
        if replicas_too:
            for node in [node for node in self.alive if node not in primaries]:
                await self.restart(node, graceful=True)
        for primary in primaries:
            ready = [replica for replica in await self.replicas_of(primary) if replica.alive]
            if ready:
                await self.failover(ready[0])
            await self.restart(primary, graceful=True)

    # --- members ---

    async def add_node(self, replica_of: ClusterNode | None = None) -> ClusterNode:
        """Add a node to the cluster: a primary without slots, or a replica of ``replica_of``."""
        member = Member(self._reserve())
        node = self._make_node(member, [member])
        introducer = self.alive[0]
        await node.start()
        await introducer.execute("CLUSTER", "MEET", node.host, node.port)
        await self.settled()
        if replica_of is not None:
            await self.reparent(node, replica_of)
        return node

    async def forget(self, node: ClusterNode) -> None:
        """End the node and make all other nodes forget it."""
        node.kill()
        for other in self.alive:
            try:
                await other.execute("CLUSTER", "FORGET", node.id)
            except ResponseError as error:
                # In Valkey a node passes CLUSTER FORGET on: this one may know already.
                if "Unknown node" not in str(error):
                    raise
        await self.agree(f"{node!r} is forgotten", lambda view: node.id not in view.nodes)
        self.nodes.remove(node)
