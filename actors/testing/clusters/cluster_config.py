"""The cluster-config-file (nodes.conf) of each node, written before the first start.

The file names all nodes with their roles and slots, so the servers start as members of a complete
cluster, without CLUSTER MEET and elections. A primary still waits two seconds after its start
before it serves.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from actors.redis.topology.slots import SLOTS, SlotRange
from actors.testing.servers.binary import ServerBinary
from actors.testing.servers.ports import CLUSTER_BUS_OFFSET


@dataclass(frozen=True, slots=True)
class Member:
    """A node in a configuration file."""

    id: str
    host: str
    port: int
    shard: int
    """Number of the shard, from 0; the primary's config epoch is one more."""
    shard_id: str
    primary_id: str | None = None
    slots: SlotRange | None = None


def new_id() -> str:
    """Return an id for a node or a shard: 40 hexadecimal digits."""
    return os.urandom(20).hex()


def even_slots(shards: int) -> list[SlotRange]:
    """Divide all slots into ``shards`` ranges of nearly equal size."""
    bounds = [SLOTS * i // shards for i in range(shards + 1)]
    return [SlotRange(bounds[i], bounds[i + 1] - 1) for i in range(shards)]


def plan_members(ports: Sequence[int], primaries: int, host: str = "127.0.0.1") -> list[Member]:
    """Assign roles: the first ``primaries`` ports to primaries, the others to their replicas."""
    slots = even_slots(primaries)
    primary_members = [
        Member(new_id(), host, port, shard, new_id(), None, slots[shard])
        for shard, port in enumerate(ports[:primaries])
    ]
    replica_members = []
    for number, port in enumerate(ports[primaries:]):
        primary = primary_members[number % primaries]
        replica_members.append(
            Member(new_id(), host, port, primary.shard, primary.shard_id, primary_id=primary.id)
        )
    return primary_members + replica_members


def nodes_config(members: Sequence[Member], myself: Member, binary: ServerBinary) -> str:
    """Return the configuration file of ``myself`` in a cluster of ``members``."""
    lines = [_line(member, member is myself, binary) for member in members]
    epoch = 1 + max(member.shard for member in members)
    return "".join([*lines, f"vars currentEpoch {epoch} lastVoteEpoch 0\n"])


def lone_config(node_id: str, host: str, port: int, binary: ServerBinary) -> str:
    """Return the configuration file of a node that knows no other node."""
    where = _where(host, port, new_id(), binary)
    return (
        f"{node_id} {where} myself,master - 0 0 0 connected\nvars currentEpoch 0 lastVoteEpoch 0\n"
    )


def _where(host: str, port: int, shard_id: str, binary: ServerBinary) -> str:
    # From 7.2 on the file has the id of the shard. Without the id each server makes up its own:
    # CLUSTER SHARDS then shows a primary and its replicas as different shards, and Valkey 9.1
    # crashes at the first SPUBLISH to a slot that moved to such a primary.
    shard = f",,shard-id={shard_id}" if binary.version >= (7, 2, 0) else ""
    return f"{host}:{port}@{port + CLUSTER_BUS_OFFSET}{shard}"


def _line(member: Member, myself: bool, binary: ServerBinary) -> str:
    where = _where(member.host, member.port, member.shard_id, binary)
    role = "master" if member.primary_id is None else "slave"
    words = [member.id, where, f"myself,{role}" if myself else role, member.primary_id or "-"]
    words += ["0", "0", str(member.shard + 1), "connected"]
    if member.slots is not None:
        words.append(str(member.slots))
    return " ".join(words) + "\n"
