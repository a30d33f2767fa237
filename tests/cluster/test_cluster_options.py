"""What a cluster's pool and client can be given."""

from __future__ import annotations

import pytest

from actors.redis.cluster_pool import ClusterConnectionPool
from actors.redis.locations import TCPLocation


def test_options_that_make_no_sense():
    for options, message in (
        ({"db": 1}, "database 0 only"),
        ({"max_connections": 0}, "1 or more"),
        ({"timeout": 1, "pool_timeout": 1}, "same option"),
        ({"timeout": 0}, "more than 0"),
        ({"startup_nodes": ["here"]}, "startup node"),
        ({"port": 70000}, "port must be"),
    ):
        with pytest.raises(ValueError, match=message):
            ClusterConnectionPool(**options)


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
        ("redis://host/3", "database 0 only"),
        ("redis://host?cluster=1", "unknown URL option 'cluster'"),
        ("redis://host?ssl_ca_certs=x", "of rediss:// only"),
    ):
        with pytest.raises(ValueError, match=message):
            ClusterConnectionPool.from_url(url)
