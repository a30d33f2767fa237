"""The options of a cluster's pool and client."""

from __future__ import annotations

import asyncio

import pytest

from actors.cluster import RedisCluster
from actors.redis.cluster.cluster_pool import ClusterConnectionPool
from actors.redis.config.locations import TCPLocation
from actors.redis.exceptions import RedisError
from actors.redis.topology.slots import SLOTS
from actors.testing.servers.process import ServerProcess
from supervisor.model.retry_policy import NoRetryPolicy
from tests.servers import ask


def test_options_that_make_no_sense():
    for options, message in (
        ({"db": -1}, "db must be a number, 0 or more"),
        ({"max_connections": 0}, "1 or more"),
        ({"timeout": 1, "pool_timeout": 1}, "same option"),
        ({"timeout": 0}, "more than 0"),
        ({"startup_nodes": ["here"]}, "startup node"),
        ({"port": 70000}, "port must be"),
        ({"host": "h", "port": "7000"}, "port must be a number"),
        ({"max_connections": "5"}, "1 or more, not '5'"),
        ({"address_remap": {"a": 1}}, "must be a function"),
    ):
        with pytest.raises(ValueError, match=message):
            ClusterConnectionPool(**options)


def test_what_a_remap_returns_must_be_an_address():
    pool = ClusterConnectionPool(address_remap=lambda address: None)  # type: ignore[arg-type,return-value]
    assert pool.address_remap is not None
    with pytest.raises(TypeError, match=r"address_remap returned None for \('h', 1\): it must"):
        pool.address_remap(("h", 1))


def test_urls():
    pool = ClusterConnectionPool.from_url(
        "redis://me:secret@host:7000?max_connections=5&max_connections_per_node=yes"
        "&read_from_replicas=true&reinitialize_steps=3&skip_full_coverage_check=1&gc_interval=9"
        "&timeout=2&client_name=me",
        max_connections=9,
        startup_nodes=[("other", 7001)],
    )
    assert pool.startup_nodes == (TCPLocation("host", 7000), TCPLocation("other", 7001))
    assert (pool.max_connections, pool.max_connections_per_node) == (5, True)
    assert (pool.read_from_replicas, pool.reinitialize_steps, pool.timeout) == (True, 3, 2.0)
    assert (pool.settings.username, pool.settings.client_name) == ("me", "me")
    assert ClusterConnectionPool().startup_nodes == (TCPLocation("localhost", 6379),)
    assert ClusterConnectionPool(max_connections=None).max_connections == 32
    assert ClusterConnectionPool.from_url("rediss://host").settings.ssl_context is not None
    for url, message in (
        ("unix:///run/redis.sock", "no unix sockets"),
        ("redis://host/x", "number of a database"),
        ("redis://host?cluster=1", "unknown URL option, a name of 7 characters"),
        ("redis://host?ssl_ca_certs=x", "of rediss:// and valkeys:// only"),
    ):
        with pytest.raises(ValueError, match=message):
            ClusterConnectionPool.from_url(url)


def test_what_a_client_of_a_cluster_does_not_take():
    for options, kind, message in (
        ({"db": 3}, ValueError, "from_url and the connection pool take it"),
        ({"unix_socket_path": "/run/redis.sock"}, ValueError, "host and port"),
        ({"client_name": "me"}, ValueError, "from_url"),
        ({"cache": object()}, NotImplementedError, "about Pub/Sub"),
        ({"colour": "red"}, TypeError, "no option 'colour'"),
    ):
        with pytest.raises(kind, match=message):
            RedisCluster("host", **options)
    RedisCluster("host", db=0, cache=None, client_name=None)  # type: ignore[call-overload]
    assert RedisCluster.from_url("redis://host/1").connection_pool.settings.db == 1


def test_a_client_hands_its_options_to_its_pool():
    client = RedisCluster(
        "host",
        7000,
        startup_nodes=[TCPLocation("other", 7001)],
        readonly=True,
        username="me",
        password="secret",
        ssl=True,
        pool_timeout=3,
        max_connections=7,
        decode_responses=True,
        encoding="latin-1",
        noreply=True,
    )
    pool = client.connection_pool
    assert [node.host for node in pool.startup_nodes] == ["host", "other"]
    assert pool.read_from_replicas
    assert client.read_from_replicas
    assert (pool.timeout, pool.max_connections) == (3, 7)
    assert (pool.settings.username, pool.settings.noreply) == ("me", True)
    assert pool.settings.ssl_context is not None
    assert (client.encoding, client.decode_responses) == ("latin-1", True)
    assert "secret" not in f"{client!r} {pool!r} {pool.settings!r}"
    url = "redis://host:7000?read_from_replicas=1&max_connections=3"
    other = RedisCluster.from_url(url, retry_policy=NoRetryPolicy(), pool_timeout=2)
    assert other.read_from_replicas
    assert (other.connection_pool.max_connections, other.connection_pool.timeout) == (3, 2)
    assert isinstance(other.retry_policy, NoRetryPolicy)
    shared = RedisCluster(connection_pool=pool)
    assert shared.connection_pool is pool
    assert shared.noreply


async def test_databases_of_a_cluster_are_had_where_the_server_has_them(binary):
    config: dict[str, bool | int] = {"cluster_enabled": True}
    new = binary.flavour == "valkey" and binary.version >= (9, 0, 0)
    if new:
        config["cluster_databases"] = 16
    server = ServerProcess(binary, cluster=True, args=config)
    await server.start()
    try:
        ask(server, "CLUSTER", "ADDSLOTSRANGE", "0", str(SLOTS - 1))
        client = RedisCluster.from_url(f"redis://127.0.0.1:{server.port}/3", decode_responses=True)
        if not new:
            with pytest.raises(RedisError, match=r"refused SELECT 3: .*cluster mode"):
                await client.__aenter__()
            return
        pubsub = client.sharded_pubsub(channels=["orders"], ignore_subscribe_messages=True)
        async with client, pubsub:
            assert "db=3" in await client.execute_command("CLIENT", "INFO")
            await client.spublish("orders", "x")
            message = None
            async with asyncio.timeout(10):
                # None stands for the confirmation, which is late where the cluster was still down.
                while message is None:
                    message = await pubsub.get_message(timeout=5.0)
            assert message["data"] == "x"
    finally:
        server.close()
