"""Both clients on servers that speak TLS themselves: options, errors, the nodes' TLS ports."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from actors import Redis, RedisCluster, exceptions
from actors.testing import ServerProcess
from actors.testing.servers.binary import ServerBinary
from actors.testing.servers.process import ServerStartError
from tests.pubsub.helpers import data_of
from tests.redis.helpers import Certificates
from tests.support import eventually, free_port

CHANNELS = ["a", "b", "c", "d"]


class TLSNodes:
    """Two nodes of one cluster, each with a plain port and one for TLS."""

    def __init__(self, certificates: Certificates, ports: list[int]) -> None:
        self.certificates = certificates
        self.ports = ports


@pytest.fixture
async def nodes(binary: ServerBinary, tmp_path: Path) -> AsyncIterator[TLSNodes]:
    certificates = Certificates(tmp_path)
    servers, ports = [], [free_port(cluster=True) for _ in range(2)]
    async with AsyncExitStack() as stack:
        for port in ports:
            options = {
                "cluster_enabled": True,
                "tls_cluster": True,
                "tls_port": port,
                "tls_cert_file": certificates.cert,
                "tls_key_file": certificates.key,
                "tls_ca_cert_file": certificates.ca,
                "tls_auth_clients": "optional",
            }
            server = ServerProcess(binary, cluster=True, args=options)
            stack.callback(server.close)
            try:
                await server.start()
            except ServerStartError as error:
                if "TLS" not in str(error):
                    raise
                pytest.skip(f"{binary.flavour} is built without TLS")
            servers.append(server)
        clients = [
            await stack.enter_async_context(Redis(server.host, server.port)) for server in servers
        ]
        first, second = clients
        await first.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 8191)
        await second.execute_command("CLUSTER", "ADDSLOTSRANGE", 8192, 16383)
        await second.execute_command("CLUSTER", "MEET", servers[0].host, ports[0])
        for client in clients:
            await eventually(lambda client=client: _whole(client))
        yield TLSNodes(certificates, ports)


async def _whole(client: Redis[bytes]) -> bool:
    info = await client.execute_command("CLUSTER INFO")
    return b"cluster_state:ok" in info and b"cluster_slots_assigned:16384" in info


async def test_a_cluster_is_spoken_to_at_its_nodes_tls_ports(nodes):
    ca = nodes.certificates.ca
    for client in (
        RedisCluster("localhost", nodes.ports[0], ssl=True, ssl_ca_certs=ca, decode_responses=True),
        RedisCluster.from_url(
            f"rediss://localhost:{nodes.ports[1]}?ssl_cert_reqs=none", decode_responses=True
        ),
    ):
        async with (
            client,
            client.sharded_pubsub(channels=CHANNELS, ignore_subscribe_messages=True) as sharded,
            client.pubsub(channels=["a"], ignore_subscribe_messages=True) as plain,
        ):
            known = client.connection_pool.topology.nodes.values()
            assert {node.port for node in known} == set(nodes.ports)
            for channel in CHANNELS:
                assert await client.spublish(channel, channel) == 1
            assert sorted(await data_of(sharded, 4)) == CHANNELS
            await client.publish("a", "plain")
            assert await data_of(plain, 1) == ["plain"]


async def test_what_is_wrong_with_tls_is_said(nodes):
    port, ca = nodes.ports[0], nodes.certificates.ca
    trusting = ssl.create_default_context(cafile=ca)
    for options in (
        {"ssl": True, "ssl_ca_certs": ca, "ssl_cert_reqs": "required", "ssl_check_hostname": True},
        {"ssl": True, "ssl_cert_reqs": ssl.CERT_NONE},
        {"ssl": True, "ssl_context": trusting},
        {"ssl_context": trusting},
        {
            "ssl": True,
            "ssl_ca_certs": ca,
            "ssl_certfile": nodes.certificates.cert,
            "ssl_keyfile": nodes.certificates.key,
        },
    ):
        async with Redis("localhost", port, **options) as client:
            assert await client.ping() == b"PONG"
    for options, message in (
        ({}, "if that port speaks TLS, use ssl=True, rediss:// or valkeys://"),
        ({"ssl": True}, "certificate was not accepted .*check ssl_ca_certs"),
        ({"ssl": True, "ssl_ca_certs": nodes.certificates.foreign_ca}, "was not accepted"),
    ):
        async with Redis("localhost", port, **options) as client:
            with pytest.raises(exceptions.ConnectionError, match=message):
                await client.ping()
        with pytest.raises(exceptions.ConnectionError, match=message):
            await RedisCluster("localhost", port, **options).__aenter__()
