"""One proxied connection: a forwarder for each direction."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from actors.testing.proxies.frames import FrameSplitter

_CHUNK = 64 * 1024
_CHUNKS_IN_FLIGHT = 64
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(slots=True)
class Conditions:
    """The faults that are in force now; all connections of a proxy share one object."""

    lose_to_server: bool = False
    lose_to_client: bool = False
    delay: float = 0.0
    """Seconds that each chunk is held back."""
    drop: Callable[[bytes], bool] | None = None
    """True for the frames to the client that are dropped."""
    flowing: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.flowing.set()


class ProxiedConnection:
    """A client's connection to the proxy, and the proxy's connection to the server for it."""

    def __init__(
        self, conditions: Conditions, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._conditions = conditions
        self._client = (reader, writer)
        self._writers = [writer]
        self._reset = asyncio.Event()

    async def run(self, target: tuple[str, int]) -> None:
        """Connect to ``target`` and forward until both sides have closed, or until a reset."""
        if self._conditions.lose_to_server or self._conditions.lose_to_client:
            # Where packets are lost no connection opens. The proxy has accepted the client already,
            # and leaves the client without an answer.
            await self._reset.wait()
            return
        try:
            reader, writer = await asyncio.open_connection(*target)
        except OSError:
            return  # the caller resets the client's connection; a proxy cannot refuse it any more
        self._writers.append(writer)
        to_server = _Forwarder(self._client[0], writer, self._conditions, to_client=False)
        to_client = _Forwarder(reader, self._client[1], self._conditions, to_client=True)
        # A forwarder ends when its sender closes, and with an OSError when its receiver is gone.
        # One that lost bytes runs until the reset: neither side learns that the other one closed.
        forwarders = [asyncio.create_task(one.run()) for one in (to_server, to_client)]
        waits = [
            asyncio.create_task(one)
            for one in (
                asyncio.wait(forwarders, return_when=asyncio.FIRST_EXCEPTION),
                self._reset.wait(),
            )
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (*waits, *forwarders):
                task.cancel()
            await asyncio.wait(waits)
            ends = await asyncio.gather(*forwarders, return_exceptions=True)
        unexpected = [end for end in ends if isinstance(end, Exception)]
        if unexpected and not isinstance(unexpected[0], OSError):
            raise unexpected[0]

    def reset(self) -> None:
        """Close both connections at once; their peers see a reset."""
        self._reset.set()
        for writer in self._writers:
            raw = writer.get_extra_info("socket")
            if raw is not None and not writer.transport.is_closing():
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            writer.transport.abort()


class _Forwarder:
    """Forwards the bytes of one direction."""

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
        # None: the sender has closed.
        self._queue: asyncio.Queue[tuple[float, bytes | None]] = asyncio.Queue(_CHUNKS_IN_FLIGHT)
        self._lost_bytes = False

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
            if self._lost_bytes or self._losing():
                # TCP delivers no byte after a lost one.
                self._lost_bytes = True
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
        """Return the complete frames of ``data`` that are not dropped; the rest waits for its end.

        Frames are cut even while none is dropped, so that dropping can begin between two frames.
        """
        if self._frames is None:
            return data
        try:
            frames = self._frames.feed(data)
        except ValueError:
            # No RESP, TLS perhaps: from now on bytes pass as they are.
            data, self._frames = self._frames.rest(), None
            return data
        drop = self._conditions.drop
        return b"".join(frames if drop is None else (f for f in frames if not drop(f)))
