"""The harness counts exactly what a client sends, and nothing of what else a cluster does."""

from __future__ import annotations

import asyncio
import socket

from tests.benchmarks.load import Publisher, pack
from tests.footprint.measure import cluster_of, read
from tests.footprint.readings import consumers, cost


async def test_known_commands_and_bytes_are_counted_exactly():
    async with cluster_of(2) as cluster:
        primary, replica = cluster.nodes
        with Publisher(primary.url) as publisher:
            publisher.ask(b"SPUBLISH", b"a", b"before")
            others = [{*reading.clients} for reading in await read(cluster.nodes)]
            with (
                socket.create_connection(primary.address) as subscriber,
                socket.create_connection(replica.address) as asker,
            ):
                subscriber.sendall(pack(b"SSUBSCRIBE", b"a"))
                subscribed = subscriber.recv(1 << 16)
                asker.sendall(pack(b"PING"))
                asker.recv(1 << 16)
                before = await read(cluster.nodes)

                sent = pack(b"PING") * 3 + pack(b"SSUBSCRIBE", b"a")
                subscriber.sendall(sent)
                pong = b"*2\r\n$4\r\npong\r\n$0\r\n\r\n"
                answers = pong * 3 + subscribed
                message = b"*3\r\n$8\r\nsmessage\r\n$1\r\na\r\n$4\r\ndata\r\n"
                publisher.send(pack(b"SPUBLISH", b"a", b"data") * 5)
                publisher.confirm(5)
                asker.sendall(pack(b"CLUSTER", b"NODES") + pack(b"GET", b"a"))
                refused = b"-MOVED"
                received, told = bytearray(), bytearray()
                while len(received) < len(answers + message * 5):
                    received += await asyncio.to_thread(subscriber.recv, 1 << 16)
                while refused not in told or not told.endswith(b"\r\n"):
                    told += await asyncio.to_thread(asker.recv, 1 << 16)
                after = await read(cluster.nodes)

    at_primary, at_replica = (
        cost(*readings) for readings in zip(before, after, others, strict=True)
    )
    assert at_primary.commands == {"ping": 3, "ssubscribe": 1}
    assert at_primary.published == 5
    assert (at_primary.bytes_in, at_primary.bytes_out) == (len(sent), len(received))
    assert (at_primary.connections, at_primary.channels) == (1, 1)
    assert at_replica.commands == {"cluster|nodes": 1, "get": 1}
    assert at_replica.published == 0
    assert at_replica.bytes_out == len(told)
    (client,) = consumers(after[0].clients, others[0])
    (was,) = consumers(before[0].clients, others[0])
    assert client.commands - was.commands == 4
