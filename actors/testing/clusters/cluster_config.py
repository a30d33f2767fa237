"""The cluster-config-file (nodes.conf) of each node, written before the first start.

The file names all nodes with their roles and slots, so the servers start as members of a complete
cluster, without CLUSTER MEET and elections. A primary still waits two seconds after its start
before it serves.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import msgspec

from actors.redis.topology.slots import SLOTS, SlotRange
from actors.testing.servers.binary import ServerBinary
from actors.testing.servers.ports import CLUSTER_BUS_OFFSET


def _new_id() -> str:
    return os.urandom(20).hex()


class Member(msgspec.Struct, frozen=True):
    """A node in a configuration file; the ids are 40 hexadecimal digits."""

    port: int
    epoch: int = 0
    """The config epoch: a number of its own for each shard, 0 for a node without slots."""
    primary_id: str | None = None
    slots: SlotRange | None = None
    id: str = msgspec.field(default_factory=_new_id)
    shard_id: str = msgspec.field(default_factory=_new_id)


def plan_members(ports: Sequence[int], primaries: int) -> list[Member]:
    """Assign roles: the first ``primaries`` ports to primaries, the others to their replicas.

    The primaries serve ranges of slots of nearly equal size.
    """
    bounds = [SLOTS * i // primaries for i in range(primaries + 1)]
    members = [
        Member(port, shard + 1, slots=SlotRange(bounds[shard], bounds[shard + 1] - 1))
        for shard, port in enumerate(ports[:primaries])
    ]
    for number, port in enumerate(ports[primaries:]):
        primary = members[number % primaries]
        members.append(Member(port, primary.epoch, primary.id, shard_id=primary.shard_id))
    return members


def nodes_config(members: Sequence[Member], myself: Member, binary: ServerBinary) -> str:
    """Return the configuration file of ``myself`` in a cluster of ``members``."""
    lines = [_line(member, member is myself, binary) for member in members]
    epoch = max(member.epoch for member in members)
    return "".join([*lines, f"vars currentEpoch {epoch} lastVoteEpoch 0\n"])


def _line(member: Member, myself: bool, binary: ServerBinary) -> str:
    where = f"127.0.0.1:{member.port}@{member.port + CLUSTER_BUS_OFFSET}"
    if binary.version >= (7, 2, 0):
        # From 7.2 on the file has the id of the shard. Without the id each server makes up its own:
        # CLUSTER SHARDS then shows a primary and its replicas as different shards, and Valkey 9.1
        # crashes at the first SPUBLISH to a slot that moved to such a primary.
        where += f",,shard-id={member.shard_id}"
    role = "master" if member.primary_id is None else "slave"
    words = [member.id, where, f"myself,{role}" if myself else role, member.primary_id or "-"]
    words += ["0", "0", str(member.epoch), "connected"]
    if member.slots is not None:
        words.append(str(member.slots))
    return " ".join(words) + "\n"
