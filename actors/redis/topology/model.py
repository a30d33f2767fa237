"""A cluster's topology as values: which node serves which slot, replicates which, is failing.

:mod:`actors.redis.topology.parse` makes these values out of replies;
:mod:`actors.redis.topology.merge_views` makes one out of the replies of several nodes.
"""

from __future__ import annotations

import enum
import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from actors.redis.topology.slots import SlotRange, join_ranges

Address = tuple[str, int]
"""Host name or IP address, and TCP port."""

AddressRemap = Callable[[Address], Address]
"""Returns, for the address that a node announces, the one that reaches the node from here."""


class Role(enum.Enum):
    """Whether a node serves its shard's slots or replicates the node that does."""

    PRIMARY = "primary"
    REPLICA = "replica"


class Health(enum.Enum):
    """A node's health, as the asked node sees it."""

    ONLINE = "online"
    LOADING = "loading"
    """Not in sync yet. Redis 7.0 also says so of each replica of a shard without any writes."""
    SUSPECTED = "fail?"
    """Silent for longer than cluster-node-timeout."""
    FAILED = "fail"
    """A majority of the primaries agreed that the node is gone."""


@dataclass(frozen=True, slots=True)
class Node:
    """One server of the cluster, as one reply shows it."""

    id: str
    host: str
    port: int
    """0 while the cluster does not know the node's address."""
    role: Role
    primary_id: str | None = None
    """The id of the primary that a replica follows; None if unknown, and for primaries."""
    health: Health = Health.ONLINE
    flags: frozenset[str] = frozenset()
    """The flags in CLUSTER NODES; empty if the node is from another reply."""
    config_epoch: int = 0
    """The version of the primary's claim to its slots, also for its replicas; 0 if unknown."""
    replication_offset: int | None = None
    link_up: bool = True
    """Whether the asked node has a cluster bus connection to this one."""
    heard_at: int = field(default=0, compare=False)
    """When the asked node last heard that this one is well, in Unix milliseconds of the asked
    node's clock; 0 for the asked node itself, and if unknown."""

    @property
    def address(self) -> Address:
        """Where clients reach the node."""
        return (self.host, self.port)

    @property
    def is_primary(self) -> bool:
        """Whether the node is a primary, with slots or without."""
        return self.role is Role.PRIMARY

    @property
    def failing(self) -> bool:
        """Whether the node is suspected or failed."""
        return self.health in (Health.SUSPECTED, Health.FAILED)

    @property
    def addressable(self) -> bool:
        """Whether the cluster knows where the node is."""
        return is_address(self.address) and "noaddr" not in self.flags


def is_address(address: Address) -> bool:
    """Whether a connection to ``address`` can be tried: a host without spaces, and a real port."""
    host, port = address
    return 0 < port < 65536 and host.isprintable() and not set(host) & set(" ") and host != ""


@dataclass(frozen=True, slots=True)
class Shard:
    """One primary and its replicas, which serve the same slots."""

    slots: tuple[SlotRange, ...]
    """Rising and disjoint; empty for a primary that serves nothing."""
    primary: Node | None
    """None only if a reply leaves out the primary of the replicas."""
    replicas: tuple[Node, ...] = ()

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The primary, if known, and then the replicas."""
        return self.replicas if self.primary is None else (self.primary, *self.replicas)


@dataclass(frozen=True, slots=True)
class Topology:
    """The shards and nodes of a cluster; see :func:`build_topology`."""

    shards: tuple[Shard, ...]
    nodes: Mapping[str, Node]
    """Every node by id, also those of no shard: replicas of an unknown primary."""
    myself: str | None = None
    """The id of the node that gave the reply; None if unknown, and for merged replies."""
    migrating: Mapping[int, str] = field(default_factory=dict)
    """Slots that move, each with the id of the target. Of single nodes only the source of a move
    shows this; a merged topology has it from either end."""
    importing: Mapping[int, str] = field(default_factory=dict)
    """Slots that move, each with the id of the source. Only the target of a move shows this."""
    _starts: tuple[int, ...] = field(init=False, repr=False, compare=False)
    _ends: tuple[tuple[int, Shard], ...] = field(init=False, repr=False, compare=False)
    _by_address: Mapping[Address, Node] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        runs = sorted(
            ((run, shard) for shard in self.shards for run in shard.slots), key=lambda r: r[0]
        )
        object.__setattr__(self, "_starts", tuple(run.start for run, _ in runs))
        object.__setattr__(self, "_ends", tuple((run.end, shard) for run, shard in runs))
        at = {node.address: node for node in self.nodes.values() if node.addressable}
        object.__setattr__(self, "_by_address", at)

    def shard_for(self, slot: int) -> Shard | None:
        """Return the shard that serves ``slot``; None if no shard does."""
        index = bisect_right(self._starts, slot) - 1
        if index < 0:
            return None
        end, shard = self._ends[index]
        return shard if slot <= end else None

    def primary_for(self, slot: int) -> Node | None:
        """Return the primary that serves ``slot``; None if none is known."""
        shard = self.shard_for(slot)
        return None if shard is None else shard.primary

    def shard_of(self, node_id: str) -> Shard | None:
        """Return the shard of a node; None if it has none."""
        return next((s for s in self.shards if any(n.id == node_id for n in s.nodes)), None)

    def at(self, address: Address) -> Node | None:
        """Return the node that clients reach at ``address``; None if there is none."""
        return self._by_address.get(address)

    @property
    def primaries(self) -> tuple[Node, ...]:
        """The primaries that serve slots."""
        return tuple(s.primary for s in self.shards if s.primary is not None and s.slots)

    @property
    def failing(self) -> frozenset[str]:
        """The ids of the nodes that are suspected or failed."""
        return frozenset(node.id for node in self.nodes.values() if node.failing)

    @property
    def epoch(self) -> int:
        """The highest config epoch of all nodes: each change of the slots raises it."""
        return max((node.config_epoch for node in self.nodes.values()), default=0)

    @property
    def fingerprint(self) -> str:
        """A digest of what routing depends on: ids, addresses, roles and slots, but not health."""
        layout = sorted(
            (n.id, n.host, n.port, n.role.value, n.primary_id or "") for n in self.nodes.values()
        )
        slots = sorted((s.slots, s.primary.id if s.primary else "") for s in self.shards if s.slots)
        return hashlib.blake2s(repr((layout, slots)).encode(), digest_size=8).hexdigest()


def order_shards(shards: Iterable[Shard]) -> tuple[Shard, ...]:
    """Sort shards, and the replicas in each: two replies may show the same in different orders."""
    tidy = (
        Shard(s.slots, s.primary, tuple(sorted(s.replicas, key=lambda n: n.id))) for s in shards
    )
    return tuple(sorted(tidy, key=lambda s: (not s.slots, s.slots, [n.id for n in s.nodes])))


def build_topology(
    nodes: Iterable[Node],
    owned: Mapping[str, Iterable[tuple[int, int]]],
    *,
    myself: str | None = None,
    migrating: Mapping[int, str] | None = None,
    importing: Mapping[int, str] | None = None,
) -> Topology:
    """Group ``nodes`` into shards; ``owned`` maps a primary's id to its slot ranges.

    Each primary has a shard, also one without slots. A replica whose primary is not among ``nodes``
    belongs to no shard.
    """
    by_id = {node.id: node for node in nodes}
    followers: dict[str, list[Node]] = {}
    for node in by_id.values():
        if not node.is_primary and node.primary_id is not None:
            followers.setdefault(node.primary_id, []).append(node)
    shards = order_shards(
        Shard(join_ranges(owned.get(node.id, ())), node, tuple(followers.get(node.id, ())))
        for node in by_id.values()
        if node.is_primary
    )
    return Topology(shards, by_id, myself, migrating or {}, importing or {})
