"""One proxied connection: two lanes, one for each direction."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from actors.testing.proxies.frames import FrameSplitter

__all__ = ["Conditions", "Link"]

_CHUNK = 64 * 1024
_CHUNKS_IN_FLIGHT = 64
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(slots=True)
class Conditions:
    """What the network is like now; shared by all connections of a proxy."""

    lose_to_server: bool = False
    lose_to_client: bool = False
    delay: float = 0.0
    """Seconds."""
    drop: Callable[[bytes], bool] | None = None
    """Says which frames to the client are dropped."""
    flowing: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.flowing.set()


class Link:
    """A client's connection and the one to the server that belongs to it."""

    def __init__(
        self, conditions: Conditions, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._conditions = conditions
        self._client = (reader, writer)
        self._writers = [writer]
        self._over = asyncio.Event()

    async def run(self, target: tuple[str, int]) -> None:
        """Connect to ``target`` and forward until both sides are done, or one was reset."""
        if self._conditions.lose_to_server or self._conditions.lose_to_client:
            # A network that loses packets opens no connection; what listens here did.
            await self._over.wait()
            return
        try:
            reader, writer = await asyncio.open_connection(*target)
        except OSError:
            return  # the client sees a reset: nearer to "refused" a proxy cannot get
        self._writers.append(writer)
        to_server = _Lane(self._client[0], writer, self._conditions, to_client=False)
        to_client = _Lane(reader, self._client[1], self._conditions, to_client=True)
        # A lane ends when its sender closed, or with an OSError when its receiver is gone. One that
        # lost bytes does not end by itself: nobody is told anything until the reset.
        lanes = asyncio.gather(to_server.run(), to_client.run())
        over = asyncio.create_task(self._over.wait())
        try:
            await asyncio.wait((lanes, over), return_when=asyncio.FIRST_COMPLETED)
        finally:
            lanes.cancel()
            over.cancel()
            ends = await asyncio.gather(lanes, over, return_exceptions=True)
        unexpected = [end for end in ends if isinstance(end, Exception)]
        if unexpected and not isinstance(unexpected[0], OSError):
            raise unexpected[0]

    def reset(self) -> None:
        """Close both sides at once; who is still there sees a reset."""
        self._over.set()
        for writer in self._writers:
            raw = writer.get_extra_info("socket")
            if raw is not None and not writer.transport.is_closing():
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            writer.transport.abort()


class _Lane:
    """Bytes in one direction."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        conditions: Conditions,
        *,
        to_client: bool,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._conditions = conditions
        self._to_client = to_client
        self._frames: FrameSplitter | None = FrameSplitter() if to_client else None
        # None stands for "the sender closed".
        self._queue: asyncio.Queue[tuple[float, bytes | None]] = asyncio.Queue(_CHUNKS_IN_FLIGHT)
        self._dead = False

    async def run(self) -> None:
        receiving = asyncio.create_task(self._receive())
        try:
            await self._send()
        finally:
            receiving.cancel()
            await asyncio.gather(receiving, return_exceptions=True)

    async def _receive(self) -> None:
        now = asyncio.get_running_loop().time
        data: bytes | None = b"..."
        while data:
            try:
                data = await self._reader.read(_CHUNK) or None
            except OSError:
                data = None
            await self._queue.put((now() + self._conditions.delay, data))

    async def _send(self) -> None:
        now = asyncio.get_running_loop().time
        while True:
            due, data = await self._queue.get()
            if due > now():
                await asyncio.sleep(due - now())
            await self._conditions.flowing.wait()
            if self._dead or self._losing():
                # Bytes that vanished leave a hole that no later byte can fill.
                self._dead = True
                continue
            if data is None:
                self._writer.write_eof()
                return
            self._writer.write(self._filter(data))
            await self._writer.drain()

    def _losing(self) -> bool:
        conditions = self._conditions
        return conditions.lose_to_client if self._to_client else conditions.lose_to_server

    def _filter(self, data: bytes) -> bytes:
        """Keep whole frames only, so that dropping can begin at any time, between two of them."""
        if self._frames is None:
            return data
        try:
            frames = self._frames.feed(data)
        except ValueError:
            # No RESP, TLS perhaps: nothing to look into.
            data, self._frames = self._frames.rest(), None
            return data
        drop = self._conditions.drop
        return b"".join(frames if drop is None else (f for f in frames if not drop(f)))
