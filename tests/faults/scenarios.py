"""The faults, and what must be true of each; what they do is in ``plays``.

``Fault.title`` is its row in the table. Where a fault leaves the cluster in another shape, it says
so in ``Fault.spoils``: the next one needs a new cluster.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from actors.testing.clusters.slot_moves import can_migrate_atomically
from actors.testing.servers.binary import ServerBinary
from tests.faults import plays
from tests.faults.stage import Stage

__all__ = ["FAULTS", "Fault", "runs_on"]


class Fault(msgspec.Struct, frozen=True):
    """A fault and what must be true of it.

    Attributes:
        name: for tests and options.
        title: for the table.
        play: does it.
        replicas: the subscriber reads from replicas.
        proxied: the subscriber goes through proxies.
        atomic: needs CLUSTER MIGRATESLOTS.
        shape: primaries and replicas of the cluster that it is played on.
        spoils: the cluster has another shape afterwards.
        relays: nodes of a shard change roles, and relay to each other meanwhile; see ``verdict``.
        forgets: servers may lose entries of histories: a primary dies, or all nodes do.
        most_lost: messages that may be lost at 3,000 a second; None: as many as lie in gaps.
        back_within: seconds within which what is timed must be back; None: not asserted.
    """

    name: str
    title: str
    play: Callable[[Stage], Awaitable[None]]
    replicas: bool = False
    proxied: bool = False
    atomic: bool = False
    shape: tuple[int, int] = (3, 1)
    spoils: bool = False
    relays: bool = False
    forgets: bool = False
    most_lost: int | None = None
    back_within: float | None = None


FAULTS: dict[str, Fault] = {
    fault.name: fault
    for fault in (
        Fault(
            "connections_killed",
            "all subscriber connections killed",
            plays.connections_killed,
            most_lost=60,
            back_within=0.1,
        ),
        Fault("setslot", "slots moved, SETSLOT", plays.setslot, most_lost=5),
        Fault("atomic", "slots moved, MIGRATESLOTS", plays.atomic, atomic=True, most_lost=40),
        # 60 for each of the two.
        Fault("failover", "CLUSTER FAILOVER, and back", plays.failover, most_lost=120, relays=True),
        Fault(
            "failover_held_up",
            "CLUSTER FAILOVER, loop held up",
            plays.failover_held_up,
            relays=True,
        ),
        Fault(
            "killed",
            "primary killed",
            plays.killed,
            most_lost=60,
            back_within=0.1,
            relays=True,
            forgets=True,
        ),
        Fault(
            "stopped",
            "primary stopped (silent)",
            plays.stopped,
            most_lost=0,
            back_within=0.1,
            relays=True,
            forgets=True,
        ),
        Fault("rolling", "rolling restart of all nodes", plays.rolling, most_lost=130, relays=True),
        Fault("network_cut", "network to one primary cut", plays.network_cut, proxied=True),
        Fault(
            "all_restarted",
            "all nodes restarted at once",
            plays.all_restarted,
            relays=True,
            forgets=True,
        ),
        Fault("reparented", "replica re-parented", plays.reparented, most_lost=0),
        Fault("node_added", "node added, given slots", plays.node_added, spoils=True, most_lost=40),
        Fault("emptied", "primary emptied", plays.emptied, spoils=True, most_lost=40, relays=True),
        Fault(
            "shard_gone",
            "shard without replica gone 4 s",
            plays.shard_gone,
            shape=(3, 0),
            back_within=1.0,
            forgets=True,
        ),
        Fault(
            "connections_killed_replicas",
            "all connections killed [replicas]",
            plays.connections_killed,
            replicas=True,
            back_within=0.1,
        ),
        Fault(
            "killed_replicas",
            "primary killed [replicas]",
            plays.killed,
            replicas=True,
            relays=True,
            forgets=True,
        ),
        Fault(
            "stopped_replicas",
            "primary stopped [replicas]",
            plays.stopped,
            replicas=True,
            relays=True,
            forgets=True,
        ),
        Fault(
            "failover_replicas",
            "CLUSTER FAILOVER [replicas]",
            plays.failover,
            replicas=True,
            relays=True,
        ),
        Fault("setslot_replicas", "slots moved, SETSLOT [replicas]", plays.setslot, replicas=True),
        Fault(
            "atomic_replicas",
            "slots moved, MIGRATESLOTS [replicas]",
            plays.atomic,
            replicas=True,
            atomic=True,
        ),
        Fault(
            "network_cut_replicas",
            "network to one replica cut",
            plays.network_cut,
            replicas=True,
            proxied=True,
        ),
        Fault(
            "all_restarted_replicas",
            "all nodes restarted [replicas]",
            plays.all_restarted,
            replicas=True,
            relays=True,
            forgets=True,
        ),
        Fault(
            "reparented_replicas", "replica re-parented [replicas]", plays.reparented, replicas=True
        ),
        Fault(
            "replica_killed_replicas",
            "replica killed [replicas]",
            plays.replica_killed,
            replicas=True,
        ),
        Fault(
            "rolling_replicas",
            "rolling restart [replicas]",
            plays.rolling,
            replicas=True,
            relays=True,
        ),
        Fault(
            "node_added_replicas",
            "node added, given slots [replicas]",
            plays.node_added,
            replicas=True,
            spoils=True,
        ),
        Fault(
            "emptied_replicas",
            "primary emptied [replicas]",
            plays.emptied,
            replicas=True,
            spoils=True,
            relays=True,
        ),
    )
}


def runs_on(fault: Fault, binary: ServerBinary) -> bool:
    """Return whether the servers can do it."""
    return not fault.atomic or can_migrate_atomically(binary)
