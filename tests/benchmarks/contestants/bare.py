"""The bare loop: what any client has to do for a message, and nothing else.

BufferedProtocol, hiredis, a dict a message, one look-up by channel, a deque, a consumer that pops
and is woken once a batch. No reconnecting, no bounds, no counters, no acknowledgements.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Sequence
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

import hiredis
import msgspec

from tests.benchmarks.contestants.words import Order
from tests.benchmarks.jobs import Job, target_names
from tests.benchmarks.load import pack
from tests.benchmarks.meter import Meter, PaceMeter

# The fastest for it of those between 16 and 256 KiB: see docs/performance.md.
BUFFER = 64 * 1024


class Queue:
    """A deque, and the future of who waits for it."""

    def __init__(self) -> None:
        self.messages: deque[dict[str, Any]] = deque()
        self.waiter: asyncio.Future[None] | None = None

    async def wait(self) -> None:
        self.waiter = asyncio.get_running_loop().create_future()
        await self.waiter
        self.waiter = None


class BareProtocol(asyncio.BufferedProtocol):
    """What the loop calls for each read."""

    def __init__(self, routes: dict[bytes, Queue], job: Job) -> None:
        self.queues = list(dict.fromkeys(routes.values()))
        self.routes = {
            name: (queue.messages.append, name.decode() if job.decode else name)
            for name, queue in routes.items()
        }
        self.decode = job.decode
        self.buffer = bytearray(BUFFER)
        self.view = memoryview(self.buffer)
        self.reader: Any = hiredis.Reader()
        self.drain = self.drain_messages
        if job.by == "pattern":
            self.drain = self.drain_patterns

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.view

    def buffer_updated(self, nbytes: int) -> None:
        self.reader.feed(self.buffer, 0, nbytes)
        self.drain()
        for queue in self.queues:
            waiter = queue.waiter
            if waiter is not None and queue.messages and not waiter.done():
                waiter.set_result(None)

    def drain_messages(self) -> None:
        gets, routes, decode = self.reader.gets, self.routes, self.decode
        while (reply := gets()) is not False:
            _, name, data = reply
            append, label = routes[name]
            if decode:
                data = data.decode()
            append({"type": "message", "pattern": None, "channel": label, "data": data})

    def drain_patterns(self) -> None:
        gets, routes, decode = self.reader.gets, self.routes, self.decode
        while (reply := gets()) is not False:
            _, pattern, name, data = reply
            append, label = routes[pattern]
            if decode:
                name, data = name.decode(), data.decode()
            append({"type": "pmessage", "pattern": label, "channel": name, "data": data})


def subscribed_socket(url: str, by: str, names: Sequence[bytes]) -> socket.socket:
    """Return a connection that speaks RESP3 and is subscribed."""
    where = urlsplit(url)
    connection = socket.create_connection((where.hostname, where.port))
    reader = hiredis.Reader()
    if by == "shard":  # one command names channels of one slot only
        commands = b"".join(pack(b"SSUBSCRIBE", name) for name in names)
    else:
        commands = pack(b"PSUBSCRIBE" if by == "pattern" else b"SUBSCRIBE", *names)
    connection.sendall(pack(b"HELLO", b"3") + commands)
    missing = 1 + len(names)
    while missing:
        reader.feed(connection.recv(1 << 16))
        while reader.gets() is not False:
            missing -= 1
    connection.setblocking(False)
    return connection


async def subscribe(job: Job, queues: Sequence[Queue]) -> None:
    """Have the channels' messages go to the queues, one after another."""
    targets = [name.encode() for name in target_names(job)]
    urls = job.nodes or {job.url: list(range(len(targets)))}
    for url, numbers in urls.items():
        routes = {targets[number]: queues[number % len(queues)] for number in numbers}
        connection = subscribed_socket(url, job.by, list(routes))
        await asyncio.get_running_loop().create_connection(
            lambda routes=routes: BareProtocol(routes, job), sock=connection
        )


async def iterate(meter: Meter) -> None:
    """One consumer for all channels."""
    queue = Queue()
    await subscribe(meter.job, [queue])
    messages, popleft = queue.messages, queue.messages.popleft
    left = meter.ready()
    while True:
        while messages:
            popleft()
            left -= 1
            if not left:
                left = meter.done()
        await queue.wait()


async def decode_struct(meter: Meter) -> None:
    """One consumer, which decodes what it gets."""
    queue = Queue()
    await subscribe(meter.job, [queue])
    messages, popleft = queue.messages, queue.messages.popleft
    decode = msgspec.json.Decoder(Order).decode
    left = meter.ready()
    while True:
        while messages:
            decode(popleft()["data"])
            left -= 1
            if not left:
                left = meter.done()
        await queue.wait()


async def consume_each(meter: Meter) -> None:
    """A consumer for each channel."""
    queues = [Queue() for _ in range(meter.job.channels)]
    await subscribe(meter.job, queues)
    left = 0

    async def consume(queue: Queue) -> None:
        nonlocal left
        while True:
            while queue.messages:
                queue.messages.popleft()
                left -= 1
                if not left:
                    left = meter.done()
            await queue.wait()

    tasks = [asyncio.ensure_future(consume(queue)) for queue in queues]
    await asyncio.sleep(0)
    left = meter.ready()
    await asyncio.gather(*tasks)


async def take_times(meter: PaceMeter) -> None:
    """One consumer that looks how old its messages are."""
    queue = Queue()
    await subscribe(meter.job, [queue])
    meter.ready()
    while True:
        while queue.messages:
            meter.sample(queue.messages.popleft()["data"])
        await queue.wait()


async def subscribe_all(meter: Meter) -> None:
    """One SUBSCRIBE, and as many acknowledgements."""
    names = [name.encode() for name in target_names(meter.job)]
    begun = perf_counter()
    subscribed_socket(meter.job.url, meter.job.by, names).close()
    meter.results = {"seconds": [perf_counter() - begun]}
    meter.finish()
