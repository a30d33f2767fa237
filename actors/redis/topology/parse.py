"""Reads the replies of CLUSTER NODES, SHARDS and SLOTS as a :class:`Topology`.

CLUSTER NODES shows the most: epochs, slots that move, suspected nodes, replicas that are not in
sync. Only SHARDS and SLOTS show the endpoint that clients should use for a node
(cluster-preferred-endpoint-type).

How an endpoint is read, as the cluster specification says:

- a host name or an IP address stands for itself;
- NULL or nothing: the node does not know its own host, so the host that answered is meant;
- ``?``: host names are preferred and the node has none, so its IP address is meant, or if that is
  missing, too, the host that answered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from actors.redis.topology.model import (
    Address,
    Health,
    Node,
    Role,
    Shard,
    Topology,
    build_topology,
    order_shards,
)
from actors.redis.topology.slots import SLOTS, SlotRange

# -- CLUSTER NODES ---------------------------------------------------------------------------------


def parse_nodes(reply: bytes | str, asked: Address) -> Topology:
    """Read the reply to CLUSTER NODES of the node at ``asked``.

    Nodes in handshake are left out: their ids are provisional. Raises ValueError if a line is not
    one of CLUSTER NODES.
    """
    nodes: list[Node] = []
    owned: dict[str, list[SlotRange]] = {}
    myself: str | None = None
    migrating: dict[int, str] = {}
    importing: dict[int, str] = {}
    for line in _text(reply).splitlines():
        fields = line.split()
        if not fields:
            continue
        try:
            node = _node_of_line(fields, asked)
            if "handshake" in node.flags:
                continue
            nodes.append(node)
            for word in fields[8:]:
                _read_slots(word, owned.setdefault(node.id, []), migrating, importing)
        except (ValueError, IndexError) as error:
            raise ValueError(f"not a line of CLUSTER NODES ({error}): {line!r}") from error
        if "myself" in node.flags:
            myself = node.id
    return build_topology(nodes, owned, myself=myself, migrating=migrating, importing=importing)


def _node_of_line(fields: list[str], asked: Address) -> Node:
    """Read ``id ip:port@bus[,hostname[,aux=value...]] flags primary ping pong epoch link``."""
    node_id, where, flag_list, primary_id, _ping, pong, epoch, link = fields[:8]
    host, colon, port = where.split(",")[0].split("@")[0].rpartition(":")
    if not colon:
        raise ValueError("no address")
    flags = frozenset(flag_list.split(","))
    is_replica = "slave" in flags or "replica" in flags
    return Node(
        id=node_id,
        host=_reach(host, None, asked),
        port=int(port),
        role=Role.REPLICA if is_replica else Role.PRIMARY,
        primary_id=primary_id if is_replica and primary_id != "-" else None,
        health=_health_of_flags(flags),
        flags=flags,
        config_epoch=int(epoch),
        link_up=link == "connected",
        heard_at=int(pong),
    )


def _health_of_flags(flags: frozenset[str]) -> Health:
    if "fail" in flags:
        return Health.FAILED
    return Health.SUSPECTED if "fail?" in flags else Health.ONLINE


def _read_slots(
    word: str, owned: list[SlotRange], migrating: dict[int, str], importing: dict[int, str]
) -> None:
    """Read ``5``, ``0-5460``, ``[5->-target id]`` or ``[5-<-source id]``."""
    if word.startswith("["):
        for arrow, moves in (("->-", migrating), ("-<-", importing)):
            slot, found, other = word.strip("[]").partition(arrow)
            if found:
                moves[int(slot)] = other
                return
        raise ValueError(f"unknown slot state {word}")
    start, _, end = word.partition("-")
    owned.append(_slot_range(int(start), int(end or start)))


# -- CLUSTER SHARDS --------------------------------------------------------------------------------

_HEALTH = {"online": Health.ONLINE, "loading": Health.LOADING, "fail": Health.FAILED}


def parse_shards(reply: Iterable[Any], asked: Address, *, tls: bool = False) -> Topology:
    """Read the reply to CLUSTER SHARDS (RESP3 maps or flat lists) of the node at ``asked``.

    With ``tls`` a node's TLS port is preferred. Raises ValueError for anything that is not such a
    reply.
    """
    try:
        shards = order_shards(_shard(_mapping(item), asked, tls) for item in reply)
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"not a reply to CLUSTER SHARDS: {error!r}") from error
    nodes = {node.id: node for shard in shards for node in shard.nodes}
    return Topology(shards, nodes)


def _shard(shard: Mapping[str, Any], asked: Address, tls: bool) -> Shard:
    members = [_shard_node(_mapping(item), asked, tls) for item in shard["nodes"]]
    # A shard also lists its failed former primary as a primary: the healthy one serves the slots.
    candidates = sorted((n for n in members if n.is_primary), key=lambda n: n.failing)
    primary = candidates[0] if candidates else None
    followers = [
        replace(node, role=Role.REPLICA, primary_id=primary.id if primary else None)
        for node in members
        if node is not primary
    ]
    bounds = list(shard["slots"])
    runs = [_slot_range(*pair) for pair in zip(bounds[::2], bounds[1::2], strict=True)]
    return Shard(tuple(sorted(runs)), primary, tuple(followers))


def _shard_node(node: Mapping[str, Any], asked: Address, tls: bool) -> Node:
    port = node.get("tls-port") if tls else None
    if not port:
        port = node.get("port") or node["tls-port"]
    return Node(
        id=_text(node["id"]),
        host=_reach(node.get("endpoint"), node.get("ip"), asked),
        port=int(port),
        role=Role.PRIMARY if _text(node["role"]) == "master" else Role.REPLICA,
        health=_HEALTH.get(_text(node["health"]), Health.ONLINE),
        replication_offset=int(node["replication-offset"]),
    )


# -- CLUSTER SLOTS ---------------------------------------------------------------------------------


def parse_slots(reply: Iterable[Any], asked: Address) -> Topology:
    """Read the reply to CLUSTER SLOTS of the node at ``asked``, for servers before 7.0.

    The reply shows primaries with slots and replicas in sync, but not their health. Raises
    ValueError for anything that is not such a reply.
    """
    nodes: dict[str, Node] = {}
    owned: dict[str, list[SlotRange]] = {}
    try:
        for start, end, first, *others in reply:
            primary = _slots_node(first, None, asked)
            nodes[primary.id] = primary
            owned.setdefault(primary.id, []).append(_slot_range(start, end))
            for other in others:
                node = _slots_node(other, primary.id, asked)
                nodes.setdefault(node.id, node)
    except (TypeError, IndexError) as error:
        raise ValueError(f"not a reply to CLUSTER SLOTS: {error!r}") from error
    return build_topology(nodes.values(), owned)


def _slots_node(item: Any, primary_id: str | None, asked: Address) -> Node:
    more = _mapping(item[3]) if len(item) > 3 else {}
    return Node(
        id=_text(item[2]),
        host=_reach(item[0], more.get("ip"), asked),
        port=int(item[1]),
        role=Role.PRIMARY if primary_id is None else Role.REPLICA,
        primary_id=primary_id,
    )


# -- common to all ---------------------------------------------------------------------------------


def _reach(endpoint: Any, ip: Any, asked: Address) -> str:
    host = _text(endpoint or "")
    if host == "?":
        host = _text(ip or "")
    return host or asked[0]


def _slot_range(start: int, end: int) -> SlotRange:
    if not 0 <= start <= end < SLOTS:
        raise ValueError(f"no range of slots: {start}-{end}")
    return SlotRange(start, end)


def _mapping(item: Any) -> dict[str, Any]:
    """Read a RESP3 map, or the flat list that stands for it in RESP2."""
    if not isinstance(item, Mapping):
        flat = list(item)
        item = dict(zip(flat[::2], flat[1::2], strict=True))
    return {_text(key): value for key, value in item.items()}


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode()
