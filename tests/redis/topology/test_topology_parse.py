"""The parsers, on replies captured from Valkey 9.1 and Redis 7.0 and on made-up ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.redis.discovery.endpoints import Endpoints
from actors.redis.topology.model import AddressRemap, Health, Node, Role, Topology
from actors.redis.topology.parse import parse_nodes, parse_shards, parse_slots
from actors.redis.topology.slots import SLOTS, SlotRange, slot_ranges
from actors.redis.topology.update import at_addresses
from tests.clusters.lending import uncovered
from tests.redis.topology.captured import ASKED, SERVERS, A, B, C, D, E, F, reply, topology

on_servers = pytest.mark.parametrize("server", SERVERS)
THIRDS = {A: SlotRange(0, 5460), B: SlotRange(5461, 10921), C: SlotRange(10922, 16383)}


def layout(view: Topology) -> dict[str, tuple[list[str], tuple[SlotRange, ...]]]:
    """Return each primary's replicas and slots."""
    return {s.primary.id: ([r.id for r in s.replicas], s.slots) for s in view.shards if s.primary}


def remapped(view: Topology, remap: AddressRemap) -> Topology:
    """Return ``view`` as a pool with this address_remap sees it."""
    return at_addresses(view, Endpoints(remap).address_of)


# -- a healthy cluster -----------------------------------------------------------------------------


@on_servers
@pytest.mark.parametrize("name", ["nodes", "nodes-replica", "shards", "shards-resp2"])
def test_a_healthy_cluster(server, name):
    view = topology(server, name)
    assert layout(view) == {A: ([D], (THIRDS[A],)), B: ([E], (THIRDS[B],)), C: ([F], (THIRDS[C],))}
    assert {n.id: n.port for n in view.nodes.values()} == dict(
        zip([A, B, C, D, E, F], range(17101, 17107), strict=True)
    )
    assert {n.host for n in view.nodes.values()} == {"127.0.0.1"}
    assert view.nodes[D].primary_id == A
    assert view.failing == frozenset()
    assert uncovered(view) == ()


@on_servers
@pytest.mark.parametrize("name", ["slots", "slots-resp2"])
def test_slots_shows_primaries_and_only_replicas_in_sync(server, name):
    view = topology(server, name)
    assert {p.id: s.slots for s in view.shards if (p := s.primary)} == {
        k: (v,) for k, v in THIRDS.items()
    }
    assert {r.id for s in view.shards for r in s.replicas} == (
        {D, E, F} if server == "valkey-9.1" else set()
    )


@on_servers
def test_nodes_tells_who_answered_and_the_epochs(server):
    view = topology(server, "nodes")
    assert view.myself == A
    assert topology(server, "nodes-replica").myself == D
    assert [view.nodes[i].config_epoch for i in (A, B, C, F)] == [1, 2, 3, 3]
    assert view.epoch == 3


def test_a_replica_never_written_to_counts_as_loading_on_redis_7_0():
    assert topology("redis-7.0", "shards").nodes[D].health is Health.LOADING
    assert topology("valkey-9.1", "shards").nodes[D].health is Health.ONLINE


# -- moves and failures ----------------------------------------------------------------------------


@on_servers
def test_slots_on_the_move(server):
    source, target = topology(server, "nodes-migrating"), topology(server, "nodes-importing")
    assert dict(source.migrating) == {10: B, 11: B}
    assert dict(source.importing) == {}
    assert dict(target.importing) == {10: A, 11: A}
    assert dict(target.migrating) == {}
    assert source.primary_for(10) == source.nodes[A]


@on_servers
def test_a_failing_primary(server):
    assert topology(server, "nodes-suspected").nodes[C].health is Health.SUSPECTED
    failed = topology(server, "nodes-failed")
    assert failed.nodes[C].health is Health.FAILED
    assert failed.failing == {C}
    assert not failed.nodes[C].link_up
    assert failed.primary_for(16000) == failed.nodes[C]
    assert C in topology(server, "shards-failed").failing


@on_servers
@pytest.mark.parametrize("kind", ["nodes", "shards", "slots"])
def test_a_promoted_replica_serves_the_slots(server, kind):
    # Valkey lists the failed former primary as a second primary of the shard.
    view = topology(server, f"{kind}-promoted")
    assert view.primary_for(16000) == view.nodes[F]
    assert uncovered(view) == ()


@on_servers
def test_a_restarted_primary_has_learned_of_its_successor(server):
    view = topology(server, "nodes-restarted")
    assert view.nodes[C].role is Role.REPLICA
    assert view.nodes[C].primary_id == F


@on_servers
def test_a_node_in_handshake_is_left_out(server):
    assert set(topology(server, "nodes-handshake").nodes) == {A, B, C, D, E, F}


@on_servers
def test_a_node_without_address_is_kept_and_not_found_by_address(server):
    view = topology(server, "nodes-noaddr")
    view = remapped(view, lambda address: (address[0], address[1] + 1))
    assert not view.nodes[E].addressable
    assert view.nodes[E].port == 0
    assert view.at(view.nodes[E].address) is None
    assert view.nodes[B].port == 17103


# -- addresses -------------------------------------------------------------------------------------


@on_servers
@pytest.mark.parametrize("kind", ["nodes", "shards", "slots"])
def test_a_node_that_does_not_know_its_address_is_where_we_asked(server, kind):
    view = topology(server, f"{kind}-alone")
    assert [n.address for n in view.nodes.values()] == [("asked.test", 17100)]


@on_servers
@pytest.mark.parametrize("kind", ["shards", "slots"])
def test_a_preferred_host_name_or_else_the_ip(server, kind):
    view = topology(server, f"{kind}-hostname")
    assert view.nodes[B].address == ("127.0.0.1", 17102)
    assert view.nodes[A].host == "a.example.test"


@on_servers
@pytest.mark.parametrize("kind", ["shards", "slots"])
def test_an_unknown_endpoint_is_the_host_that_we_asked(server, kind):
    view = topology(server, f"{kind}-unknown")
    assert {n.host for n in view.nodes.values()} == {"asked.test"}
    assert view.nodes[B].port == 17102


@on_servers
def test_nodes_knows_ips_only_and_takes_over_preferred_addresses(server):
    nodes = topology(server, "nodes-hostname")
    assert nodes.nodes[A].host == "127.0.0.1"
    shown = topology(server, "slots-hostname").nodes
    named = at_addresses(nodes, lambda node: shown.get(node.id, node).address)
    assert named.nodes[A].host == "a.example.test"
    assert named.primary_for(0) == named.nodes[A]
    assert named.at(("a.example.test", 17101)) == named.nodes[A]
    assert named.myself == A


@on_servers
@pytest.mark.parametrize("kind", ["nodes", "shards", "slots"])
def test_remap_is_applied_once_to_each_address(server, kind):
    calls: list[tuple[str, int]] = []

    def remap(address):
        calls.append(address)
        return ("outside.test", address[1] + 1000)

    view = remapped(topology(server, kind), remap)
    assert {n.host for n in view.nodes.values()} == {"outside.test"}
    assert view.nodes[A].port == 18101
    assert len(calls) == len(view.nodes)
    assert {host for host, _ in calls} == {"127.0.0.1"}


def test_the_tls_port_where_tls_is_spoken():
    node = {"id": A, "port": 1, "tls-port": 2, "ip": "::1", "endpoint": "::1", "role": "master"}
    shard = {"slots": [0, 9], "nodes": [node | {"health": "online", "replication-offset": 3}]}
    assert parse_shards([shard], ASKED).nodes[A].address == ("::1", 1)
    assert parse_shards([shard], ASKED, tls=True).nodes[A].address == ("::1", 2)
    assert parse_shards([shard], ASKED).nodes[A].replication_offset == 3


def test_a_shard_listed_without_its_primary():
    node = {"id": D, "port": 1, "ip": "::1", "endpoint": "::1", "role": "replica"}
    shard = {"slots": [], "nodes": [node | {"health": "online", "replication-offset": 0}]}
    view = parse_shards([shard], ASKED)
    assert view.shards[0].primary is None
    assert view.shards[0].nodes == (view.nodes[D],)
    assert view.primaries == ()


@pytest.mark.parametrize(
    ("where", "address"),
    [
        ("10.0.0.1:6379@16379", ("10.0.0.1", 6379)),
        ("10.0.0.1:6379", ("10.0.0.1", 6379)),
        ("10.0.0.1:6379@16379,host.test", ("10.0.0.1", 6379)),
        ("10.0.0.1:6379@16379,,tls-port=0,shard-id=ff", ("10.0.0.1", 6379)),
        ("2001:db8::1:6379@16379", ("2001:db8::1", 6379)),
        (":6379@16379", ("asked.test", 6379)),
    ],
)
def test_forms_of_an_address_in_cluster_nodes(where, address):
    view = parse_nodes(f"{A} {where} master - 0 0 1 connected 0-5 7\n", ASKED)
    assert view.nodes[A].address == address
    assert view.shards[0].slots == (SlotRange(0, 5), SlotRange(7, 7))


# -- what is no such reply -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        f"{A} 127.0.0.1 master - 0 0 1 connected",
        f"{A} 127.0.0.1:x@1 master - 0 0 1 connected",
        f"{A} 127.0.0.1:1@1 master - 0 0 1 connected 0-16384",
        f"{A} 127.0.0.1:1@1 master - 0 0 1 connected [5<>{B}]",
    ],
)
def test_a_line_that_is_not_of_cluster_nodes_is_named(line):
    with pytest.raises(ValueError, match="not a line of CLUSTER NODES"):
        parse_nodes(line, ASKED)


@pytest.mark.parametrize(
    "what", [[7], [{"slots": []}], [["slots"]], [{"nodes": [{}], "slots": []}]]
)
def test_what_is_no_reply_to_cluster_shards(what):
    with pytest.raises(ValueError, match=r"CLUSTER SHARDS|argument"):
        parse_shards(what, ASKED)


@pytest.mark.parametrize("what", [[7], [[0, 1]], [[0, 1, [b"h"]]], [[0, "x", [b"h", 1, b"id"]]]])
def test_what_is_no_reply_to_cluster_slots(what):
    with pytest.raises(ValueError, match=r"CLUSTER SLOTS|unpack"):
        parse_slots(what, ASKED)


# -- round trips -----------------------------------------------------------------------------------


@st.composite
def clusters(draw) -> tuple[list[Node], dict[str, set[int]]]:
    """Draw nodes and the slots of each primary."""
    count = draw(st.integers(1, 5))
    cuts = sorted(draw(st.sets(st.integers(1, SLOTS - 1), max_size=20)))
    owned: dict[str, set[int]] = {f"{i:040x}": set() for i in range(count)}
    for start, end in zip([0, *cuts], [*cuts, SLOTS], strict=True):
        owner = draw(st.sampled_from([None, *owned]))
        if owner is not None:
            owned[owner].update(range(start, end))
    nodes = [
        Node(i, "127.0.0.1", 7000 + n, Role.PRIMARY, config_epoch=draw(st.integers(0, 99)))
        for n, i in enumerate(owned)
    ]
    for n in range(draw(st.integers(0, 6))):
        leader = draw(st.sampled_from(nodes[:count]))
        nodes.append(
            Node(f"{n:0>40d}".replace("0", "f", 1), "127.0.0.1", 7500 + n, Role.REPLICA, leader.id)
        )
    return nodes, owned


@given(clusters())
def test_cluster_nodes_round_trip(cluster):
    nodes, owned = cluster
    lines = [
        f"{n.id} {n.host}:{n.port}@1 {'master' if n.is_primary else 'slave'} "
        f"{n.primary_id or '-'} 0 0 {n.config_epoch} connected "
        + " ".join(map(str, slot_ranges(owned.get(n.id, ()))))
        for n in nodes
    ]
    view = parse_nodes("\n".join(lines), ASKED)
    check_round_trip(view, nodes, owned)


@given(clusters(), st.booleans())
def test_cluster_shards_round_trip(cluster, resp2):
    nodes, owned = cluster

    def wire(item):
        return [x for pair in item.items() for x in pair] if resp2 else item

    shards = []
    for leader in (n for n in nodes if n.is_primary):
        members = [n for n in nodes if leader.id in (n.id, n.primary_id)]
        flat = [edge for run in slot_ranges(owned[leader.id]) for edge in run]
        entries = [
            wire(
                {
                    b"id": n.id.encode(),
                    b"port": n.port,
                    b"endpoint": n.host.encode(),
                    b"role": b"master" if n.is_primary else b"replica",
                    b"replication-offset": 1,
                    b"health": b"online",
                }
            )
            for n in members
        ]
        shards.append(wire({b"slots": flat, b"nodes": entries}))
    check_round_trip(parse_shards(shards, ASKED), nodes, owned)


def check_round_trip(view: Topology, nodes: list[Node], owned: dict[str, set[int]]) -> None:
    assert {(n.id, n.address, n.role, n.primary_id) for n in nodes} == {
        (n.id, n.address, n.role, n.primary_id) for n in view.nodes.values()
    }
    assert {s.primary.id: s.slots for s in view.shards if s.primary} == {
        i: slot_ranges(slots) for i, slots in owned.items()
    }


def test_the_captured_minority_knows_that_it_is_alone():
    for server in SERVERS:
        view = parse_nodes(reply(server, "nodes-minority"), ASKED)
        assert {B, F} <= view.failing
