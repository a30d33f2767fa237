"""Changes of a running cluster, by the cluster's own commands."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from actors.redis.topology.model import Role, Topology
from actors.testing.clusters import slot_moves as moves
from actors.testing.clusters.node import ClusterNode, ClusterTimeoutError, wait_until
from actors.testing.clusters.state import ClusterState

_GRACEFUL_TRY = 6.0
# Seconds after which nodes that disagree about a slot are told, and how often.
_SPLIT_AFTER, _REPAIRS = 5.0, 3


class ClusterChanges(ClusterState):
    """Failovers and moves of slots; each returns once every living node knows of the change."""

    # --- primaries and replicas ---

    async def failover(
        self, replica: ClusterNode, *, force: bool = False, takeover: bool = False
    ) -> None:
        """Make ``replica`` the primary of its shard.

        By default the primary hands over and no write is lost. ``force`` does without the primary,
        for one that is dead; ``takeover`` also without the votes of the other primaries.
        """
        mode = ["TAKEOVER"] if takeover else ["FORCE"] if force else []
        if not mode:
            await wait_until(replica.in_sync, f"{replica!r} is in sync", 15.0)
        error: ClusterTimeoutError | None = None
        for _ in range(3):
            # A server gives up a failover that gets no votes in time, and does not report it.
            await replica.execute("CLUSTER", "FAILOVER", *mode)
            try:
                await self.promoted(replica, _GRACEFUL_TRY)
            except ClusterTimeoutError as late:
                error = late
            else:
                return
        assert error is not None
        raise error

    async def promoted(self, replica: ClusterNode, timeout: float = 20.0) -> None:
        """Wait until every living node sees ``replica`` as a primary that serves slots."""
        await self.agree(
            f"{replica!r} is a primary",
            lambda view: any(primary.id == replica.id for primary in view.primaries),
            timeout,
        )

    async def successor(self, primary: ClusterNode, timeout: float = 20.0) -> ClusterNode:
        """Wait until a replica has replaced the dead ``primary``, and return that replica."""
        candidates = await self.replicas_of(primary)

        async def promoted() -> ClusterNode | None:
            serving = {node.id for node in (await self.topology()).primaries}
            return next((node for node in candidates if node.id in serving), None)

        return await wait_until(promoted, f"{primary!r} is replaced", timeout)

    async def reparent(self, replica: ClusterNode, primary: ClusterNode) -> None:
        """Make ``replica`` a replica of another primary."""
        await replica.execute("CLUSTER", "REPLICATE", primary.id)
        await self.agree(
            f"{replica!r} is a replica of {primary!r}",
            lambda view: view.nodes[replica.id].primary_id == primary.id,
        )
        await wait_until(replica.in_sync, f"{replica!r} is in sync", 15.0)

    # --- slots ---

    async def move_slots(
        self,
        slots: Iterable[int],
        source: ClusterNode,
        target: ClusterNode,
        *,
        batch: int = 1,
    ) -> None:
        """Move slots and their keys by CLUSTER SETSLOT, ``batch`` slots at a time."""
        slots = list(slots)
        others = await self._others(source, target)
        await moves.move_slots(slots, source, target, others, batch=batch)
        await self._served_by(slots, target)

    async def begin_move(self, slot: int, source: ClusterNode, target: ClusterNode) -> None:
        """Begin to move a slot: MIGRATING at the source, IMPORTING at the target."""
        await moves.begin_moves([slot], source, target)

    async def finish_move(self, slot: int, source: ClusterNode, target: ClusterNode) -> None:
        """Finish the move of :meth:`begin_move`: move the keys, make the target the owner."""
        await moves.finish_moves([slot], source, target, await self._others(source, target))
        await self._served_by([slot], target)

    async def migrate_atomically(
        self,
        slots: Iterable[int],
        source: ClusterNode,
        target: ClusterNode,
        *,
        timeout: float = 20.0,
    ) -> None:
        """Move slots by CLUSTER MIGRATESLOTS; RuntimeError on servers without that command."""
        slots = list(slots)
        await moves.migrate_atomically(slots, source, target, timeout)
        await self._served_by(slots, target)

    async def empty(
        self,
        primary: ClusterNode,
        *,
        to: ClusterNode | None = None,
        atomically: bool | None = None,
    ) -> None:
        """Move all slots of ``primary`` away: to one node, or evenly to all other primaries.

        ``atomically`` uses CLUSTER MIGRATESLOTS; None uses it where the server has the command.
        (CLUSTER SETSLOT needs minutes for thousands of slots on Valkey, whose primaries wait for
        their replicas at each slot.)
        """
        if atomically is None:
            atomically = moves.can_migrate_atomically(primary.binary)
        targets = [to] if to else [node for node in await self.primaries() if node is not primary]
        slots = await self.slots_of(primary)
        for number, target in enumerate(targets):
            share = slots[
                len(slots) * number // len(targets) : len(slots) * (number + 1) // len(targets)
            ]
            if atomically:
                await self.migrate_atomically(share, primary, target)
            else:
                await self.move_slots(share, primary, target, batch=128)

    async def _others(self, *involved: ClusterNode) -> list[ClusterNode]:
        others = [node for node in self.alive if node not in involved]
        roles = await asyncio.gather(*(node.role() for node in others))
        return [node for node, role in zip(others, roles, strict=True) if role is Role.PRIMARY]

    async def _served_by(self, slots: Sequence[int], target: ClusterNode) -> None:
        """Wait until every living node sees ``target`` serve ``slots``; repair what stays split."""

        def served(view: Topology) -> bool:
            owners = map(view.primary_for, slots)
            return all(owner is not None and owner.id == target.id for owner in owners)

        what = f"{target!r} serves its {len(slots)} new slots"
        for _ in range(_REPAIRS):
            try:
                await self.agree(what, served, _SPLIT_AFTER)
            except ClusterTimeoutError:
                await moves.repair_owner(slots, target, await self._others(target))
            else:
                return
        await self.agree(what, served)

    # --- clients ---

    async def kill_clients(self, kind: str = "pubsub", node: ClusterNode | None = None) -> int:
        """Close the connections of a kind (normal, replica, pubsub) at one node or at all nodes.

        Returns how many it closed. Subscribers of shard channels are of kind ``pubsub``, too.
        """
        where = [node] if node is not None else self.alive
        asked = (one.execute("CLIENT", "KILL", "TYPE", kind) for one in where)
        return sum(await asyncio.gather(*asked))
