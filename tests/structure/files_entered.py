"""Counts the files of the product that a piece of work enters; ``python -m tests.structure``.

The count says how many files a reader has to open to follow one message or one subscribe. The
pieces of work are profiled on a running cluster, with shard channels and handlers.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType

from actors import RedisCluster, ShardedPubSub
from actors.testing import EmbeddedCluster

__all__ = ["Files", "entered_files", "profiled"]

Files = set[str]

ROOT = Path(__file__).parents[2]
_PRODUCT = (f"{ROOT}/actors/", f"{ROOT}/supervisor/")
_TESTING = f"{ROOT}/actors/testing/"
_REPETITIONS = 3


async def entered_files() -> dict[str, Files]:
    """Return the files that each of these pieces of work enters.

    - ``message``: from the socket until the handler has returned;
    - ``subscribe``: of a channel for the iterator, on a shard that is connected;
    - ``subscribe with a handler``: the same, with an actor for the handler;
    - ``first subscribe``: the first one of a pub/sub object, with a handler: the pub/sub object
      connects to the shard as well.

    Each is repeated, and a file counts if every repetition enters it: a timer that happens to fire
    meanwhile enters files of its own.
    """
    repetitions: list[dict[str, Files]] = []
    async with EmbeddedCluster(3, 0) as cluster, RedisCluster.from_url(cluster.url) as client:
        await client.ping()
        for _ in range(_REPETITIONS):
            async with client.sharded_pubsub() as pubsub:
                repetitions.append(await _once(cluster, pubsub))
    return {work: set.intersection(*(one[work] for one in repetitions)) for work in repetitions[0]}


async def _once(cluster: EmbeddedCluster, pubsub: ShardedPubSub[bytes]) -> dict[str, Files]:
    handled = asyncio.Event()

    def handler(message: object) -> None:
        handled.set()

    node = await cluster.primary_for("{x}1")
    with profiled() as first_subscribe:
        await pubsub.subscribe(**{"{x}1": handler})
    with profiled() as subscribe_with_handler:
        await pubsub.subscribe(**{"{x}2": handler})
    with profiled() as subscribe:
        await pubsub.subscribe("{x}3")
    messages: list[Files] = []
    for _ in range(_REPETITIONS):
        handled.clear()
        # In another thread, where nothing is profiled.
        publish = asyncio.to_thread(_publish, node.host, node.port, "{x}1")
        publishing = asyncio.ensure_future(publish)
        with profiled() as message:
            await asyncio.wait_for(handled.wait(), 5)
        messages.append(message)
        await publishing
    return {
        "message": set.intersection(*messages),
        "subscribe": subscribe,
        "subscribe with a handler": subscribe_with_handler,
        "first subscribe": first_subscribe,
    }


@contextmanager
def profiled() -> Iterator[Files]:
    """Collect the files of the product that this thread enters; complete when the context ends."""
    codes: set[CodeType] = set()
    files: Files = set()

    def note(frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            codes.add(frame.f_code)

    sys.setprofile(note)
    try:
        yield files
    finally:
        sys.setprofile(None)
        names = {code.co_filename for code in codes}
        files |= {
            name.removeprefix(f"{ROOT}/")
            for name in names
            if name.startswith(_PRODUCT) and not name.startswith(_TESTING)
        }


def _publish(host: str, port: int, channel: str) -> None:
    words = ["SPUBLISH", channel, "one message"]
    command = f"*{len(words)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
    with socket.create_connection((host, port), 5.0) as connection:
        connection.sendall(command.encode())
        assert connection.recv(100) == b":1\r\n"
