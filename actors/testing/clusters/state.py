"""Questions to an embedded cluster, and waiting until all its nodes agree."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from actors.redis.config.locations import TCPLocation
from actors.redis.exceptions import RedisError
from actors.redis.topology.merge_views import merge
from actors.redis.topology.model import Topology
from actors.redis.topology.slots import key_slot
from actors.testing.clusters.node import ClusterNode, wait_until


class ClusterState:
    """The nodes of a cluster and the questions to them; no method changes the cluster."""

    def __init__(self) -> None:
        self.nodes: list[ClusterNode] = []
        """All nodes, those that are down too: first the initial primaries, then their replicas."""

    @property
    def url(self) -> str:
        """The URL for a cluster client: of a node that runs, or else of the first node."""
        return next((node for node in self.nodes if node.alive), self.nodes[0]).url

    @property
    def startup_nodes(self) -> list[TCPLocation]:
        """All nodes, as a cluster client takes them."""
        return [node.location for node in self.nodes]

    @property
    def alive(self) -> list[ClusterNode]:
        """The nodes that run and are not paused."""
        return [node for node in self.nodes if node.alive]

    def node(self, node_id: str) -> ClusterNode:
        """Return the node with this id; KeyError if no node has it."""
        for node in self.nodes:
            if node.id == node_id:
                return node
        raise KeyError(node_id)

    async def views(self) -> dict[str, Topology]:
        """Return each living node's view of the cluster by node id, without silent nodes."""
        asked = self.alive
        views = await asyncio.gather(*(node.view() for node in asked), return_exceptions=True)
        found: dict[str, Topology] = {}
        for node, view in zip(asked, views, strict=True):
            if isinstance(view, Topology):
                found[node.id] = view
            elif not isinstance(view, RedisError | TimeoutError):
                raise view
        return found

    async def topology(self) -> Topology:
        """Return the merged views of the living nodes; ValueError while none answers."""
        return merge(list((await self.views()).values()))

    async def primaries(self) -> list[ClusterNode]:
        """Return the primaries that serve slots, in the order of the slots."""
        return [self.node(primary.id) for primary in (await self.topology()).primaries]

    async def primary_for(self, target: str | bytes | int) -> ClusterNode:
        """Return the primary of a channel or key (str or bytes) or of a slot (int).

        Raises:
            LookupError: no node serves that slot.
        """
        if isinstance(target, str):
            target = target.encode()
        slot = key_slot(target) if isinstance(target, bytes) else target
        primary = (await self.topology()).primary_for(slot)
        if primary is None:
            raise LookupError(f"no node serves slot {slot}")
        return self.node(primary.id)

    async def replicas_of(self, primary: ClusterNode) -> list[ClusterNode]:
        """Return the replicas of ``primary``, dead ones too; none if it is no primary."""
        shard = (await self.topology()).shard_of(primary.id)
        if shard is None or shard.primary is None or shard.primary.id != primary.id:
            return []
        return [self.node(replica.id) for replica in shard.replicas]

    async def slots_of(self, primary: ClusterNode) -> list[int]:
        """Return the slots that ``primary`` serves in its own view."""
        shard = (await primary.view()).shard_of(primary.id)
        ranges = shard.slots if shard is not None and shard.primary is not None else ()
        return [slot for part in ranges for slot in range(part.start, part.end + 1)]

    async def settled(self, timeout: float = 20.0) -> Topology:
        """Wait until the cluster is stable, and return its topology.

        Stable: all living nodes serve and agree on roles and slots, no node sees a living one as
        failing, and each replica of a living primary is in sync.

        Raises:
            ClusterTimeoutError: not within ``timeout`` seconds; the message says what is missing.
        """
        return await wait_until(self._settled, "the cluster is stable", timeout)

    async def agree(
        self, what: str, condition: Callable[[Topology], bool], timeout: float = 15.0
    ) -> None:
        """Wait until ``condition`` holds in the view of every living node.

        Raises:
            ClusterTimeoutError: not within ``timeout`` seconds; ``what`` names the condition.
        """

        async def all_see_it() -> bool:
            views = await self.views()
            behind = [i for i in (n.id for n in self.alive) if i not in views]
            behind += [node_id for node_id, view in views.items() if not condition(view)]
            assert not behind, f"not yet in the view of {[str(self.node(i)) for i in behind]}"
            return True

        await wait_until(all_see_it, what, timeout)

    async def _settled(self) -> Topology:
        alive = self.alive
        views = await self.views()
        ids = {node.id for node in alive}
        for node in alive:
            view = views.get(node.id)
            assert view is not None, f"{node!r} does not answer"
            assert ids <= view.nodes.keys(), f"{node!r} does not know all nodes"
            suspected = [str(self.node(i)) for i in view.failing & ids]
            assert not suspected, f"{node!r} sees {suspected} as failing"
            unlinked = [i for i in ids if not view.nodes[i].link_up]
            assert not unlinked, f"{node!r} has no link to {[str(self.node(i)) for i in unlinked]}"
        assert len({view.fingerprint for view in views.values()}) == 1, "the nodes disagree"
        topology = merge(list(views.values()))
        await asyncio.gather(*(self._serves(node, topology) for node in alive))
        return topology

    async def _serves(self, node: ClusterNode, topology: Topology) -> None:
        state = (await node.info("cluster"))["cluster_state"]
        assert state == "ok", f"{node!r} has cluster_state {state}"
        primary_id = topology.nodes[node.id].primary_id
        if primary_id is not None and self.node(primary_id).alive:
            assert await node.in_sync(), f"{node!r} is not in sync with its primary"
