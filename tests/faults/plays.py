"""What is done to a cluster: each plays a fault on a stage, and says which channels it concerns."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection

from actors.redis.topology.slots import key_slot
from actors.testing.clusters.cluster import ClusterNode
from tests.faults.stage import Stage

__all__ = [
    "all_restarted",
    "atomic",
    "connections_killed",
    "emptied",
    "failover",
    "failover_held_up",
    "killed",
    "network_cut",
    "node_added",
    "reparented",
    "replica_killed",
    "rolling",
    "setslot",
    "shard_gone",
    "stopped",
]

# -- connections -----------------------------------------------------------------------------------


async def connections_killed(stage: Stage) -> None:
    """Close all of the subscriber's connections at once."""
    stage.concerns(stage.channels)
    stage.time(stage.channels)
    assert await stage.cluster.kill_clients("pubsub") > 0


async def network_cut(stage: Stage) -> None:
    """Lose all bytes between the subscriber and one node, for 3 s; nobody is told."""
    primary = node = await _primary(stage)
    if stage.read_from_replicas:
        (node,) = await stage.cluster.replicas_of(primary)
    assert stage.proxies is not None
    proxy = stage.proxies[node]
    stage.concerns(await stage.channels_of(primary))
    stage.time(stage.touched)
    proxy.swallow()
    await asyncio.sleep(3.0)
    proxy.heal()
    proxy.cut()


# -- slots move ------------------------------------------------------------------------------------


async def setslot(stage: Stage) -> None:
    """Move all of one primary's slots that have channels, one by one, with keys in them."""
    source, target, *_ = await stage.cluster.primaries()
    slots = sorted({key_slot(name.encode()) for name in await stage.channels_of(source)})
    await _fill(stage, source)
    names = await stage.channels_of(source)
    _move(stage, names)
    await stage.cluster.move_slots(slots, source, target)
    await asyncio.sleep(0.3)
    await stage.cluster.move_slots(slots, target, source)


def _move(stage: Stage, names: Collection[str]) -> None:
    # The new owner accepts messages as soon as it owns the slot; a subscriber hears of that then.
    stage.concerns(names)
    stage.time(stage.interrupted)


async def atomic(stage: Stage) -> None:
    """Move half of a primary's slots to another one in one step, and back."""
    source, target, *_ = await stage.cluster.primaries()
    slots = await stage.cluster.slots_of(source)
    slots = slots[: len(slots) // 2]
    await _fill(stage, source)
    _move(stage, await stage.channels_of(source))
    await stage.cluster.migrate_atomically(slots, source, target)
    await asyncio.sleep(0.3)
    await stage.cluster.migrate_atomically(slots, target, source)


async def emptied(stage: Stage) -> None:
    """Move all slots of a primary away, to the others."""
    primary = await _primary(stage)
    _move(stage, await stage.channels_of(primary))
    await stage.cluster.empty(primary)
    await stage.cluster.settled()


async def node_added(stage: Stage) -> None:
    """Add a node and give it slots of every primary."""
    primaries = await stage.cluster.primaries()
    added = await stage.cluster.add_node()
    for primary in primaries:
        slots = sorted({key_slot(name.encode()) for name in await stage.channels_of(primary)})
        await stage.cluster.move_slots(slots[: len(slots) // 3 + 1], primary, added)
    _move(stage, await stage.channels_of(added))


# -- nodes -----------------------------------------------------------------------------------------


async def killed(stage: Stage) -> None:
    """Kill a primary with SIGKILL; a replica replaces it. Then start it again."""
    primary = await _primary(stage)
    stage.concerns(await stage.channels_of(primary))
    began = time.time()
    stage.cluster.kill(primary)
    successor = await stage.cluster.successor(primary)
    stage.time(stage.touched, began, successor)
    await stage.live("after the promotion")
    await stage.cluster.start(primary)


async def stopped(stage: Stage) -> None:
    """Stop a primary with SIGSTOP; a replica replaces it. Then let it go on."""
    primary = await _primary(stage)
    names = await stage.channels_of(primary)
    stage.interrupts(names)
    began = time.time()
    stage.cluster.pause(primary)
    successor = await stage.cluster.successor(primary)
    stage.time(names, began, successor)
    await stage.live("after the promotion")
    stage.cluster.resume(primary)
    await stage.cluster.settled()


async def failover(stage: Stage) -> None:
    """Hand over from a primary to its replica, and back (CLUSTER FAILOVER)."""
    primary = await _primary(stage)
    (replica,) = await stage.cluster.replicas_of(primary)
    stage.concerns(await stage.channels_of(primary))
    stage.time(stage.touched)
    await stage.cluster.failover(replica)
    await stage.cluster.settled()
    await stage.live("after the first one")
    await stage.cluster.failover(primary)
    await stage.cluster.settled()


async def failover_held_up(stage: Stage) -> None:
    """Hand over, and back, while the subscriber's event loop is held up again and again."""
    primary = await _primary(stage)
    (replica,) = await stage.cluster.replicas_of(primary)
    stage.concerns(await stage.channels_of(primary))
    for node in (replica, primary):
        holding = asyncio.create_task(_hold_up(5))
        await stage.cluster.failover(node)
        await holding
        await stage.cluster.settled()
        await stage.live(f"after the failover to {node!r}")


async def _hold_up(times: int) -> None:
    for _ in range(times):
        time.sleep(0.4)  # as a handler does that computes
        await asyncio.sleep(0.02)


async def rolling(stage: Stage) -> None:
    """Restart all nodes, one after another, each primary after a graceful failover."""
    stage.concerns(stage.channels)
    stage.time(stage.channels)
    await stage.cluster.rolling_restart(replicas_too=True)


async def all_restarted(stage: Stage) -> None:
    """Kill all nodes and start them again, at once."""
    stage.concerns(stage.channels)
    for node in stage.cluster.nodes:
        stage.cluster.kill(node)
    await asyncio.gather(*(node.start() for node in stage.cluster.nodes))
    stage.time(stage.channels)
    await stage.cluster.settled()


async def shard_gone(stage: Stage) -> None:
    """Kill a primary that has no replica; start it again later."""
    primary = await _primary(stage)
    stage.concerns(await stage.channels_of(primary))
    stage.cluster.kill(primary)
    await asyncio.sleep(4.0)
    await primary.start()
    stage.time(stage.touched)
    await stage.cluster.settled()


async def reparented(stage: Stage) -> None:
    """Make a replica follow another primary, and back."""
    first, second, *_ = await stage.cluster.primaries()
    (replica,) = await stage.cluster.replicas_of(first)
    names = await stage.channels_of(first)
    if stage.read_from_replicas:
        # The replica receives nothing from then on, and nobody says so. Nor later, on its way back.
        stage.concerns(names | await stage.channels_of(second))
    stage.time(names)
    await stage.cluster.reparent(replica, second)
    await stage.live("after the first one")
    await stage.cluster.reparent(replica, first)
    await stage.cluster.settled()


async def replica_killed(stage: Stage) -> None:
    """Kill a replica with SIGKILL, and start it again."""
    primary = await _primary(stage)
    (replica,) = await stage.cluster.replicas_of(primary)
    if stage.read_from_replicas:
        stage.concerns(await stage.channels_of(primary))
        stage.time(stage.touched)
    stage.cluster.kill(replica)
    await stage.live("without the replica")
    await stage.cluster.start(replica)


# -- parts -----------------------------------------------------------------------------------------


async def _primary(stage: Stage) -> ClusterNode:
    return (await stage.cluster.primaries())[1]


async def _fill(stage: Stage, node: ClusterNode) -> None:
    """Put keys into the slots of the node's channels."""
    names = await stage.channels_of(node)
    keys = [f"{name.partition('}')[0]}}}{i}" for name in names for i in range(20)]
    await node.execute_all([("SET", key, "value") for key in keys])
