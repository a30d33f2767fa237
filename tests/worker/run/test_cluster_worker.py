"""A worker on a cluster: shard channels, plain channels, a probe for each node in use."""

from __future__ import annotations

from typing import Any

import pytest

from actors import RedisCluster
from actors.redis.topology.slots import key_slot
from actors.testing.clusters.cluster import EmbeddedCluster
from actors.worker.observe.health import is_ready
from actors.worker.run.delivery_probe import slot_tag
from supervisor import SpecError
from tests.support import eventually
from tests.worker.helpers import Order, make_worker

CHANNELS = [
    f"orders:{{{region}}}" for region in ("eu", "us", "asia", "africa", "pacific", "arctic")
]


async def test_channels_of_all_kinds_and_a_proof_for_each_node():
    async with EmbeddedCluster(3, 1) as cluster:
        app = make_worker(cluster.url, cluster=True, probe_interval=3.0)
        seen: list[Any] = []
        for name in CHANNELS:

            @app.shard_channel(name)
            async def on_shard(order: Order) -> None:
                seen.append(("shard", order.id))

        @app.channel("plain")
        async def on_plain(order: Order) -> None:
            seen.append(("plain", order.id))

        @app.pattern("pat*")
        async def on_pattern(order: Order) -> None:
            seen.append(("pattern", order.id))

        async with app, RedisCluster.from_url(cluster.url) as client:
            await eventually(lambda: is_ready(app.worker_snapshot()).ok, 10)
            paths = app.snapshot().paths
            assert sum(path.pubsub.startswith("sharded") for path in paths) == 3
            assert sum(path.pubsub.startswith("cluster") for path in paths) == 1
            for number, name in enumerate(CHANNELS):
                await client.spublish(name, b'{"id": %d}' % number)
            await client.publish("plain", '{"id": 10}')
            await client.publish("pattern", '{"id": 11}')
            await eventually(lambda: len(seen) == len(CHANNELS) + 2)
            cluster.kill(await cluster.primary_for(CHANNELS[0]))
            await eventually(lambda: not is_ready(app.worker_snapshot()).ok, 10)
            await eventually(lambda: is_ready(app.worker_snapshot()).ok, 20)
        assert sorted(seen) == [
            ("pattern", 11),
            ("plain", 10),
            *[("shard", number) for number in range(len(CHANNELS))],
        ]
        assert app.drained is not None
        assert app.drained.in_time


@pytest.mark.parametrize("name", [b"orders", b"orders:{eu}", b"{a}{b}", b"x{}y", b"odd}name", b"a"])
def test_a_probe_shares_the_slot_of_a_channel(name):
    tag = slot_tag(name)
    if tag is not None:
        assert key_slot(f"mailslot:probe:x:{{{tag}}}".encode()) == key_slot(name)
    assert (tag is None) == (name in (b"odd}name", b"x{}y"))


async def test_channels_and_patterns_on_every_primary():
    """Keyspace events of all keys come to the handler, and shard channels are where they were."""
    args = {"notify-keyspace-events": "KEA"}
    async with EmbeddedCluster(3, 0, args=args) as cluster:
        app = make_worker(cluster.url, cluster=True, every_primary=True, probe_interval=3.0)
        seen: list[str] = []

        @app.pattern("__keyspace@0__:*")
        async def on_event(message: dict[str, Any]) -> None:
            if message["data"] == "set":
                seen.append(message["channel"].partition(":")[2])

        @app.shard_channel("orders")
        async def on_order(order: Order) -> None:
            seen.append(f"order {order.id}")

        async with app, RedisCluster.from_url(cluster.url) as client:
            await eventually(lambda: is_ready(app.worker_snapshot()).ok, 20)
            keys = [f"key-{number}" for number in range(30)]
            for key in keys:
                await client.execute_command("SET", key, 1)
            await client.spublish("orders", b'{"id": 1}')
            await eventually(lambda: len(seen) == len(keys) + 1)
        assert sorted(seen) == sorted([*keys, "order 1"])


async def test_every_primary_needs_a_cluster():
    app = make_worker("redis://localhost", every_primary=True)
    app.channel("a")(print)
    with pytest.raises(SpecError, match="every_primary is for clusters"):
        app.validate()
