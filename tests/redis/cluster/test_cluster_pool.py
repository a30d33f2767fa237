"""The cluster's pool: finding the cluster, the topology, and leases."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import closing
from itertools import pairwise

import pytest
import pytest_asyncio

from actors import RedisCluster
from actors.redis import exceptions
from actors.redis.cluster.cluster_pool import ClusterConnectionPool
from actors.redis.config.locations import TCPLocation
from actors.redis.discovery.cluster_observer import ClusterObserver
from actors.redis.discovery.node_probe import ANSWER_TIMEOUT, NodeProbe
from actors.redis.topology.model import Health, Role
from actors.redis.topology.slots import key_slot
from actors.redis.wire.connection import Connection
from actors.testing.clusters.cluster import EmbeddedCluster
from actors.testing.clusters.proxies import ClusterProxies
from actors.testing.servers.ports import PortReservation
from actors.testing.servers.server import EmbeddedServer
from tests.clusters.lending import NODE_TIMEOUT, owner_of, uncovered
from tests.redis.helpers import peer, says, silent
from tests.support import eventually, free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

SLOT = key_slot(b"orders")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[EmbeddedCluster]:
    async with EmbeddedCluster(node_timeout=NODE_TIMEOUT) as cluster:
        yield cluster


def pool_of(cluster: EmbeddedCluster, **options) -> ClusterConnectionPool:
    return ClusterConnectionPool(cluster.startup_nodes[:1], **options)


def observer_of(pool: ClusterConnectionPool) -> ClusterObserver:
    assert pool._session is not None
    return pool._session.observer


# --- finding the cluster --------------------------------------------------------------------------


async def test_one_startup_node_shows_all(cluster):
    pool = pool_of(cluster)
    with pytest.raises(RuntimeError, match="enter the client or the pool first"):
        _ = pool.topology
    async with pool:
        assert pool.topology.fingerprint == (await cluster.topology()).fingerprint
        assert pool.topology.failing == frozenset()
        assert uncovered(pool.topology) == ()
        assert (pool.in_use, pool.idle) == (0, 0)
        primary = await cluster.primary_for("orders")
        node = pool.cluster_layout.node_for_slot(SLOT)
        assert (node.node_id, node.host, node.port) == (primary.id, *primary.address)
        replica = pool.cluster_layout.node_for_slot(SLOT, primary=False)
        assert replica.node_id in [node.id for node in await cluster.replicas_of(primary)]
        assert len(pool.cluster_layout.primaries) == len(pool.cluster_layout.replicas) == 3


async def test_startup_nodes_that_do_not_answer_cost_nothing(cluster):
    with closing(PortReservation()) as dead:
        async with peer(silent) as mute:
            nodes = [("127.0.0.1", dead.port), ("127.0.0.1", mute), cluster.startup_nodes[3]]
            pool = ClusterConnectionPool(nodes)
            began = time.monotonic()
            async with pool:
                assert time.monotonic() - began < 0.4
                assert len(pool.topology.nodes) == 6
                assert pool.startup_nodes == (
                    TCPLocation("127.0.0.1", dead.port),
                    TCPLocation("127.0.0.1", mute),
                    cluster.startup_nodes[3],
                )


async def test_a_killed_startup_node(cluster):
    victim, replica = cluster.nodes[0], (await cluster.replicas_of(cluster.nodes[0]))[0]
    cluster.kill(victim)
    async with ClusterConnectionPool([victim.location, cluster.nodes[1].location]) as pool:
        assert victim.id in pool.topology.nodes
        assert await eventually(lambda: _failed(pool, victim.id), timeout=15)
        await cluster.promoted(replica)
        # A look asks one node, which may not know yet.
        assert await eventually(lambda: _is_primary(pool, replica.id), timeout=15)


async def _is_primary(pool: ClusterConnectionPool, node_id: str) -> bool:
    return (await pool.refresh()).nodes[node_id].role is Role.PRIMARY


async def _failed(pool: ClusterConnectionPool, node_id: str) -> bool:
    return (await pool.refresh()).nodes[node_id].health is Health.FAILED


async def test_no_startup_node_answers():
    with closing(PortReservation()) as dead:
        async with peer(silent) as mute:
            pool = ClusterConnectionPool(
                [("127.0.0.1", dead.port), {"host": "127.0.0.1", "port": mute}],
                connect_timeout=0.2,
            )
            with pytest.raises(exceptions.ConnectionError) as caught:
                await pool.__aenter__()
    text = str(caught.value)
    assert f"127.0.0.1:{dead.port}: connection refused" in text
    assert f"127.0.0.1:{mute}: no connection to 127.0.0.1:{mute} within 0.2 s" in text
    assert isinstance(caught.value.__cause__, exceptions.ConnectionError)
    # The failed entry left no connection open.
    with pytest.raises(RuntimeError, match="outside of its context"):
        await pool.refresh()


async def test_entries_at_the_same_time_share_the_load_and_its_failure(cluster):
    pool = pool_of(cluster)
    await asyncio.gather(*(pool.__aenter__() for _ in range(5)))
    assert len(pool.topology.nodes) == 6
    for _ in range(5):
        await pool.__aexit__(None, None, None)
    with pytest.raises(RuntimeError):
        await pool.refresh()
    with closing(PortReservation()) as dead:
        lost = ClusterConnectionPool(port=dead.port)
        results = await asyncio.gather(
            *(lost.__aenter__() for _ in range(3)), return_exceptions=True
        )
    assert [type(result) for result in results] == [exceptions.NoReachableNodeError] * 3


async def test_an_entry_that_is_cancelled():
    async with peer(silent) as mute:
        pool = ClusterConnectionPool(port=mute, host="127.0.0.1")
        entries = [asyncio.create_task(pool.__aenter__()) for _ in range(2)]
        await asyncio.sleep(0.02)
        for entry in entries:
            entry.cancel()
            with pytest.raises(asyncio.CancelledError):
                await entry
        with pytest.raises(RuntimeError, match="outside of its context"):
            await pool.refresh()


async def test_it_is_found_again_by_the_nodes_it_had(cluster):
    async with ClusterProxies(cluster.nodes[:1]) as proxies:
        # The startup node is gone at the second entry.
        pool = ClusterConnectionPool(proxies.startup_nodes)
        async with pool:
            pass
    async with pool:
        assert len((await pool.refresh()).nodes) == 6


async def test_a_server_without_cluster_mode():
    async with EmbeddedServer() as server:
        with pytest.raises(exceptions.RedisClusterError, match="needs Redis instead") as caught:
            await ClusterConnectionPool(host=server.host, port=server.port).__aenter__()
        assert f"{server.host}:{server.port}: it runs without cluster mode" in str(caught.value)


@pytest.mark.parametrize("dead", ["refuses", "is silent", "drops"])
async def test_no_node_can_be_reached(dead):
    answer = {"is silent": silent, "drops": says(b"", then_close=True)}
    async with peer(answer.get(dead, silent)) as port:
        if dead == "refuses":
            port = free_port()
        client = RedisCluster("127.0.0.1", port, connect_timeout=0.3)
        with pytest.raises(exceptions.RedisClusterError, match="nodes answered") as caught:
            await client.__aenter__()
        assert isinstance(caught.value, exceptions.ConnectionError)
        assert f"127.0.0.1:{port}: " in str(caught.value)


async def test_wrong_password(cluster):
    with pytest.raises(exceptions.AuthenticationFailureError, match="let this client in") as caught:
        await pool_of(cluster, username="nobody", password="wrong").__aenter__()
    assert str(cluster.nodes[0].port) in str(caught.value)
    assert "'nobody'" in str(caught.value)
    assert "wrong" not in str(caught.value).replace("WRONGPASS", "")


async def test_roles_that_may_not_look(cluster):
    for node in cluster.nodes:
        await node.execute(
            "ACL", "SETUSER", "shy", "on", ">pw", "~*", "&*", "+@all", "-cluster|nodes"
        )
    try:
        async with pool_of(cluster, username="shy", password="pw") as pool:
            assert pool.topology.fingerprint == (await cluster.topology()).fingerprint
            first = await pool.refresh()
            assert await pool.refresh() is first
        for node in cluster.nodes:
            await node.execute("ACL", "SETUSER", "shy", "-cluster|shards")
        async with pool_of(cluster, username="shy", password="pw") as pool:
            assert len(pool.topology.primaries) == 3
        for node in cluster.nodes:
            await node.execute("ACL", "SETUSER", "shy", "-cluster")
        with pytest.raises(exceptions.AuthorizationError, match="let this client in"):
            await pool_of(cluster, username="shy", password="pw").__aenter__()
    finally:
        for node in cluster.nodes:
            await node.execute("ACL", "DELUSER", "shy")


# --- whom a look asks -----------------------------------------------------------------------------


async def asked(cluster: EmbeddedCluster) -> dict[str, int]:
    """Return how often each node was asked for the topology, by id."""
    counts = {}
    for node in cluster.nodes:
        line = (await node.info("commandstats")).get("cmdstat_cluster|nodes", "calls=0")
        counts[node.id] = int(line.split(",")[0].removeprefix("calls="))
    return counts


async def asked_since(cluster: EmbeddedCluster, before: dict[str, int]) -> dict[str, int]:
    """Return how often each node was asked since ``before``; those that were not are left out."""
    now = await asked(cluster)
    return {node: now[node] - before[node] for node in now if now[node] > before[node]}


async def calm(cluster: EmbeddedCluster, pool: ClusterConnectionPool) -> None:
    """Wait until all nodes say the same, so that one of them confirms what is known."""
    await cluster.settled()

    async def confirmed() -> bool:
        before = await asked(cluster)
        for _ in cluster.nodes:
            await pool.refresh()
        return set((await asked_since(cluster, before)).values()) == {1}

    await eventually(confirmed)


async def test_a_calm_look_asks_one_node_in_turn(cluster):
    async with pool_of(cluster) as pool:
        await calm(cluster, pool)
        before = await asked(cluster)
        for looks in range(1, 13):
            await pool.refresh()
            assert sum((await asked_since(cluster, before)).values()) == looks
        assert await asked_since(cluster, before) == dict.fromkeys(before, 2)


async def test_a_calm_look_asks_the_preferred_nodes_in_turn(cluster):
    async with pool_of(cluster) as pool:
        await calm(cluster, pool)
        wanted = {node.id for node in cluster.nodes[:2]}
        before = await asked(cluster)
        for _ in range(10):
            await pool.refresh([*wanted, "unknown"])
        counts = await asked_since(cluster, before)
        assert sum(counts.values()) == 10
        # Once in a while another node is asked: whether it knows the preferred ones.
        assert sum(count for node, count in counts.items() if node not in wanted) <= 1
        assert all(counts[node] >= 4 for node in wanted)


async def test_a_look_that_disagrees_asks_others(cluster):
    source = await cluster.primary_for("orders")
    target = next(node for node in await cluster.primaries() if node is not source)
    async with pool_of(cluster) as pool:
        await calm(cluster, pool)
        await cluster.move_slots([SLOT], source, target)
        before = await asked(cluster)
        topology = await pool.refresh()
        assert owner_of(topology, SLOT) == target.id
        assert await asked_since(cluster, before) == dict.fromkeys(before, 1)
        before = await asked(cluster)
        await pool.refresh()
        assert sum((await asked_since(cluster, before)).values()) == 1
        await cluster.move_slots([SLOT], target, source)


async def test_looks_that_go_on_to_disagree_ask_no_more_than_they_may(cluster, monkeypatch):
    """Where each look finds another topology, the budget bounds how many nodes are asked."""
    monkeypatch.setattr("actors.redis.discovery.cluster_observer.confirm", lambda *_: None)
    async with pool_of(cluster) as pool:
        before = await asked(cluster)
        began = time.monotonic()
        for _ in range(20):
            await pool.refresh()
        took = time.monotonic() - began
        others = sum((await asked_since(cluster, before)).values()) - 20
        assert 0 < others <= 10 + took + 1


async def test_a_silent_node_is_left_out_and_asked_again_after_ever_longer_pauses(
    cluster, monkeypatch
):
    victim = cluster.nodes[0]
    async with pool_of(cluster) as pool:
        await calm(cluster, pool)
        loop = asyncio.get_running_loop()
        asked_at: list[float] = []
        connected = NodeProbe._connected

        async def note(probe: NodeProbe) -> Connection:
            if probe.address == victim.address:
                asked_at.append(loop.time())
            return await connected(probe)

        monkeypatch.setattr(NodeProbe, "_connected", note)
        cluster.pause(victim)

        async def is_silent() -> bool:
            await pool.refresh()
            return pool.silent(victim.id)

        await eventually(is_silent)
        del asked_at[:]

        async def asked_often() -> bool:
            began = loop.time()
            await pool.refresh()
            assert loop.time() - began < 0.4, "nobody waits for it"
            return len(asked_at) >= 4

        await eventually(asked_often, timeout=20.0, every=0.02)
        pauses = [after - before for before, after in pairwise(asked_at)]
        assert pauses == sorted(pauses)
        assert pauses[-1] > 1.5 * pauses[0]
        cluster.resume(victim)

        async def answers_again() -> bool:
            await pool.refresh()
            return not pool.silent(victim.id)

        await eventually(answers_again, timeout=15.0, every=0.05)


# --- asking again ---------------------------------------------------------------------------------


async def test_a_refresh_is_quick_and_tells_nothing_new(cluster):
    async with pool_of(cluster) as pool:
        first = await pool.refresh()
        times = []
        for _ in range(5):
            began = time.monotonic()
            topology = await pool.refresh()
            times.append(time.monotonic() - began)
            assert topology is first is pool.topology
        assert min(times) < 0.05  # 4 ms where nothing else runs, and not in debug mode


async def test_refreshes_share_runs_and_none_is_older_than_its_question(cluster, monkeypatch):
    async with pool_of(cluster) as pool:
        observer = observer_of(pool)
        looks = 0

        async def look(*args, **options):
            nonlocal looks
            looks += 1
            return await type(observer).look(observer, *args, **options)

        monkeypatch.setattr(observer, "look", look)
        running = asyncio.create_task(pool.refresh())
        while not looks:
            await asyncio.sleep(0)
        # All these calls come while a run is under way: they share the next one.
        await asyncio.gather(*(pool.refresh() for _ in range(20)))
        assert looks == 2
        assert running.done()
        # A caller that is cancelled does not disturb the others.
        impatient, patient = (asyncio.create_task(pool.refresh()) for _ in range(2))
        await asyncio.sleep(0)
        impatient.cancel()
        assert await patient is pool.topology
        assert impatient.cancelled()
        assert looks == 3


async def test_a_stopped_node_does_not_hold_up_the_others(cluster):
    async with pool_of(cluster) as pool:
        victim = cluster.nodes[0]
        began = time.monotonic()
        cluster.pause(victim)
        durations = []

        async def refreshed() -> bool:
            start = time.monotonic()
            topology = await pool.refresh()
            durations.append(time.monotonic() - start)
            return victim.id in topology.failing

        await eventually(refreshed, timeout=10, every=0.05)
        assert time.monotonic() - began > 0.5 * NODE_TIMEOUT / 1000
        # One look waits for it, the one that asks it; from then on it is known to be silent.
        assert sorted(durations)[-2] < ANSWER_TIMEOUT
        assert max(durations) < 4 * ANSWER_TIMEOUT
        cluster.resume(victim)

        async def recovered() -> bool:
            return not (await pool.refresh()).failing

        await eventually(recovered, timeout=15, every=0.05)


async def test_nobody_answers_any_more(cluster):
    async with pool_of(cluster) as pool:
        before = pool.topology
        for node in cluster.nodes:
            cluster.pause(node)
        began = time.monotonic()
        with pytest.raises(exceptions.ConnectionError) as caught:
            await pool.refresh()
        assert time.monotonic() - began < 1.5
        for node in cluster.nodes:
            assert f"{node.host}:{node.port}: no answer within 0.5 s" in str(caught.value)
        assert pool.topology is before
        for node in cluster.nodes:
            cluster.resume(node)

        async def answered() -> bool:
            return not (await pool.refresh()).failing

        await eventually(answered, timeout=15, every=0.1)


async def test_leaving_during_a_refresh(cluster):
    pool = pool_of(cluster)
    async with pool:
        for node in cluster.nodes:
            cluster.pause(node)
        refresh = asyncio.create_task(pool.refresh())
        await asyncio.sleep(0.05)
    with pytest.raises(exceptions.ConnectionError, match="was left"):
        await refresh


@pytest.mark.parametrize("rounds", range(1, 5))
async def test_p13_leaving_that_is_cancelled_closes_all_connections(cluster, rounds):
    made: list[Connection] = []

    class Noted(Connection):
        def __init__(self, settings) -> None:
            super().__init__(settings)
            made.append(self)

    pool = pool_of(cluster, connection_class=Noted)
    await pool.__aenter__()
    leaving = asyncio.create_task(pool.__aexit__(None, None, None))
    for _ in range(rounds):
        await asyncio.sleep(0)
    was_cancelled = leaving.cancel()
    (end,) = await asyncio.gather(leaving, return_exceptions=True)
    assert isinstance(end, asyncio.CancelledError) is was_cancelled
    assert made
    assert all(connection.lost is not None for connection in made)


async def test_moves_are_seen_while_they_happen(cluster):
    source = await cluster.primary_for("orders")
    target = next(node for node in await cluster.primaries() if node is not source)
    async with pool_of(cluster) as pool:
        await pool.refresh([source.id])  # may ask another node, once in a while
        await cluster.begin_move(SLOT, source, target)
        # Each of the two ends says what it does.
        topology = await pool.refresh([source.id])
        assert topology.migrating == {SLOT: target.id}
        topology = await pool.refresh([target.id])
        assert topology.migrating == {SLOT: target.id}
        assert topology.importing == {SLOT: source.id}
        await cluster.finish_move(SLOT, source, target)
        topology = await pool.refresh([target.id, "unknown"])
        assert owner_of(topology, SLOT) == target.id
        assert not topology.migrating
        assert pool.topology is topology
        await cluster.move_slots([SLOT], target, source)


async def test_failover(cluster):
    primary = await cluster.primary_for("orders")
    (replica,) = await cluster.replicas_of(primary)
    async with pool_of(cluster) as pool:
        await cluster.failover(replica)
        topology = await pool.refresh()
        assert owner_of(topology, SLOT) == replica.id
        assert topology.nodes[primary.id].primary_id == replica.id


# --- MOVED ----------------------------------------------------------------------------------------


async def test_moved_corrects_the_topology_at_once(cluster):
    async with pool_of(cluster) as pool:
        owner = owner_of(pool.topology, SLOT)
        other = next(node for node in pool.topology.primaries if node.id != owner)
        assert pool.note_moved(SLOT, other.address) == other.address
        assert owner_of(pool.topology, SLOT) == other.id
        assert owner_of(pool.topology, SLOT + 1) == owner
        # An empty host is that of the asked node; "?" is found by a port that only one node has.
        first = pool.topology.nodes[owner]
        assert pool.note_moved(SLOT, ("", first.port), asked=("127.0.0.1", 1)) == first.address
        assert owner_of(pool.topology, SLOT) == owner
        assert pool.note_moved(SLOT, ("?", other.port)) == other.address
        assert owner_of(pool.topology, SLOT) == other.id
        assert pool.note_moved(SLOT, ("?", 1)) is None
        # A replica that owns a slot was promoted and has all slots of its former primary.
        shard = pool.topology.shard_of(owner)
        assert shard is not None
        replica = shard.replicas[0]
        pool.note_moved(SLOT + 1, replica.address)
        assert pool.topology.nodes[replica.id].role is Role.PRIMARY
        assert pool.topology.nodes[owner].primary_id == replica.id
        assert uncovered(pool.topology) == ()
        # A MOVED to an unknown node changes nothing.
        before = pool.topology
        assert pool.note_moved(SLOT, ("127.0.0.1", 1)) == ("127.0.0.1", 1)
        assert pool.topology is before
        assert (await pool.refresh()).fingerprint == (await cluster.topology()).fingerprint


async def test_what_was_moved_during_a_refresh_is_not_forgotten(cluster):
    async with pool_of(cluster) as pool:
        other = next(
            node for node in pool.topology.primaries if node.id != owner_of(pool.topology, SLOT)
        )
        refresh = asyncio.create_task(pool.refresh())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        pool.note_moved(SLOT, other.address)
        await refresh
        assert owner_of(pool.topology, SLOT) == other.id
        await pool.refresh()
        assert owner_of(pool.topology, SLOT) != other.id


# --- leases ---------------------------------------------------------------------------------------


async def test_leases(cluster):
    async with pool_of(cluster) as pool:
        node = cluster.nodes[4]
        async with pool.connection(node.id) as connection:
            assert connection.location == node.location
            assert await connection.execute("CLUSTER", "MYID") == node.id.encode()
            assert (pool.in_use, pool.idle) == (1, 0)
        assert (pool.in_use, pool.idle) == (0, 1)
        assert await pool.acquire(node.id) is connection
        pool.release(connection)
        dedicated = await pool.open_dedicated(node.id)
        assert dedicated.tainted
        assert dedicated is not connection
        pool.release(dedicated)
        pool.release(dedicated)
        await dedicated.wait_closed()
        assert (pool.in_use, pool.idle) == (0, 1)
    assert not connection.usable


async def test_an_unknown_node(cluster):
    async with pool_of(cluster) as pool:
        for get in (pool.acquire, pool.open_dedicated):
            with pytest.raises(exceptions.ConnectionError, match="no node abc in the cluster"):
                await get("abc")


async def test_a_pool_that_was_not_entered(cluster):
    pool = pool_of(cluster)
    node = cluster.nodes[0].id
    for use in (pool.acquire(node), pool.open_dedicated(node), pool.refresh()):
        with pytest.raises(RuntimeError, match="outside of its context"):
            await use
    async with pool:
        # Once the pool is entered, all tasks can use it.
        connections = await asyncio.gather(*(pool.acquire(node) for _ in range(5)))
        for connection in connections:
            pool.release(connection)


async def test_exhaustion(cluster):
    first, second = cluster.nodes[:2]
    async with pool_of(cluster, max_connections=2, pool_timeout=0.05) as pool:
        held = [await pool.open_dedicated(first.id), await pool.acquire(second.id)]
        with pytest.raises(TimeoutError, match="all 2 connections are held") as caught:
            await pool.acquire(second.id)
        assert type(caught.value) is TimeoutError
        waiting = asyncio.create_task(pool.acquire(second.id))
        await asyncio.sleep(0)
        pool.release(held[0])
        held[0] = await waiting
        for connection in held:
            pool.release(connection)
        assert pool.idle == 2
        # Idle connections are closed to make room.
        third = await pool.acquire(cluster.nodes[2].id)
        assert (pool.in_use, pool.idle) == (1, 1)
        pool.release(third)
    async with pool_of(
        cluster, max_connections=1, max_connections_per_node=True, timeout=0.05
    ) as pool:
        held = [await pool.acquire(node.id) for node in cluster.nodes]
        with pytest.raises(TimeoutError, match="all 1 connections of this node are held"):
            await pool.acquire(first.id)
        for connection in held:
            pool.release(connection)


async def test_who_waits_learns_that_the_pool_was_left(cluster):
    async with pool_of(cluster, max_connections=1) as pool:
        connection = await pool.acquire(cluster.nodes[0].id)
        waiting = asyncio.create_task(pool.acquire(cluster.nodes[1].id))
        await asyncio.sleep(0)
    with pytest.raises(exceptions.ConnectionError, match="was left"):
        await waiting
    assert not connection.usable
    pool.release(connection)


async def test_a_node_that_left(cluster):
    async with pool_of(cluster) as pool:
        extra = await cluster.add_node()
        await pool.refresh()
        idle, used = [await pool.acquire(extra.id) for _ in range(2)]
        pool.release(idle)
        await cluster.forget(extra)
        await pool.refresh()
        assert extra.id not in pool.topology.nodes
        await used.wait_closed()
        # A connection that ended takes no place, also before it is released.
        assert (pool.in_use, pool.idle) == (0, 0)
        pool.release(used)
        assert pool.in_use == 0
        with pytest.raises(exceptions.ConnectionError, match="no node"):
            await pool.acquire(extra.id)


async def test_unused_connections_end(cluster):
    async with pool_of(cluster, max_idle_time=0.5) as pool:
        for node in cluster.nodes:
            async with pool.connection(node.id):
                pass
        assert pool.idle == 6
        await eventually(lambda: pool.idle == 0)


# --- addresses ------------------------------------------------------------------------------------


async def test_address_remap(cluster):
    async with ClusterProxies(cluster.nodes) as proxies:
        pool = ClusterConnectionPool(proxies.startup_nodes[:1], address_remap=proxies.address_remap)
        async with pool:
            addresses = {node.address for node in pool.topology.nodes.values()}
            assert addresses == {(n.host, n.port) for n in proxies.startup_nodes}
            primary = await cluster.primary_for("orders")
            async with pool.connection(primary.id) as connection:
                assert connection.location == TCPLocation(*proxies[primary].address)
            # A MOVED has the address that the node announces.
            other = next(node for node in await cluster.primaries() if node is not primary)
            assert pool.note_moved(SLOT, other.address) == proxies[other].address
            assert owner_of(pool.topology, SLOT) == other.id
            # Nobody waits for a node whose connection is cut: it counts as silent.
            proxies[other].swallow()
            await pool.refresh()
            began = time.monotonic()
            assert owner_of(await pool.refresh(), SLOT) == primary.id
            assert time.monotonic() - began < 0.2


async def test_announced_addresses_that_nobody_reaches(cluster, caplog):
    async with pool_of(cluster, address_remap=lambda at: ("127.0.0.1", 1)) as pool:
        assert len(pool.topology.nodes) == 6
        assert "announced_addresses_unreachable" in caplog.text
        with pytest.raises(exceptions.ConnectionError, match=r"127\.0\.0\.1:1: "):
            await pool.acquire(cluster.nodes[0].id)


async def test_host_names_are_preferred_where_the_cluster_prefers_them(cluster):
    for node in cluster.nodes:
        await node.execute("CONFIG", "SET", "cluster-announce-hostname", "localhost")
        await node.execute("CONFIG", "SET", "cluster-preferred-endpoint-type", "hostname")
    try:
        await cluster.agree("all have names", lambda view: True)
        async with pool_of(cluster) as pool:

            async def named() -> bool:
                observer_of(pool)._endpoints._learn_again_at = 0.0
                return {n.host for n in (await pool.refresh()).nodes.values()} == {"localhost"}

            await eventually(named)
            async with pool.connection(cluster.nodes[3].id) as connection:
                assert await connection.execute("CLUSTER", "MYID") == cluster.nodes[3].id.encode()
    finally:
        for node in cluster.nodes:
            await node.execute("CONFIG", "SET", "cluster-announce-hostname", "")
            await node.execute("CONFIG", "SET", "cluster-preferred-endpoint-type", "ip")


async def test_a_node_that_does_not_know_its_address(lone_node):
    # A node that has met no other announces an empty host: the one by which it was asked is meant.
    async with ClusterConnectionPool(host="127.0.0.1", port=lone_node.port) as pool:
        (node,) = pool.topology.nodes.values()
        assert node.address == ("127.0.0.1", lone_node.port)
        async with pool.connection(node.id) as connection:
            assert await connection.execute("PING") == b"PONG"


# --- every server ---------------------------------------------------------------------------------


@pytest.mark.asyncio(loop_scope="function")
async def test_smoke(binary):
    async with EmbeddedCluster(binary=binary, node_timeout=NODE_TIMEOUT) as cluster:
        asyncio.get_running_loop().set_debug(True)
        source, target, _ = await cluster.primaries()
        (replica,) = await cluster.replicas_of(source)
        async with pool_of(cluster) as pool:
            assert pool.topology.fingerprint == (await cluster.topology()).fingerprint
            await cluster.move_slots([1, 2], source, target)
            assert owner_of(await pool.refresh(), 2) == target.id
            cluster.kill(source)

            async def replaced() -> bool:
                primary = (await pool.refresh()).primary_for(3)
                return primary is not None and primary.id == replica.id

            await eventually(replaced, timeout=15, every=0.05)
            assert pool.topology.nodes[source.id].failing
            async with pool.connection(replica.id) as connection:
                assert await connection.execute("PING") == b"PONG"
