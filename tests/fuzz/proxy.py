"""A proxy that passes on what clients say, and changes what their server says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from actors.testing.proxies.frames import FrameSplitter
from tests.fuzz.replies import OUT_OF_STEP, Act, Acts

__all__ = ["HostileProxy"]

#: Returns a kind of hostility, and what to send in place of a frame; None: send the frame.
Mischief = Callable[[bytes], tuple[str, Acts] | None]

_CHUNK = 65536


class _Bytes:
    """Cuts a stream into single bytes."""

    def feed(self, data: bytes) -> list[bytes]:
        return [data[at : at + 1] for at in range(len(data))]


class HostileProxy:
    """A hostile server, with a sane one behind it.

    Args:
        host: of the sane server, with ``port``.
        port: see ``host``.
        whole_frames: mischief is given whole frames of RESP, and not single bytes.
    """

    def __init__(self, host: str, port: int, *, whole_frames: bool = True) -> None:
        #: Replaces frames; None: all pass.
        self.mischief: Mischief | None = None
        #: Reads from clients so far: a measure of how much they ask.
        self.asked = 0
        self._target = (host, port)
        self._splitter = FrameSplitter if whole_frames else _Bytes
        self._tasks: set[asyncio.Task[None]] = set()
        self._touched: set[asyncio.WriteTransport] = set()
        self._out_of_step: set[asyncio.WriteTransport] = set()
        self._healed = asyncio.Event()
        self._server: asyncio.Server

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def heal(self, *, reset: bool) -> None:
        """Pass all frames from now on, and end the connections that are out of step.

        A connection that fell silent stays so.

        Args:
            reset: end all connections on which a frame was replaced.
        """
        self.mischief = None
        self._healed.set()
        for transport in list(self._touched if reset else self._out_of_step):
            transport.abort()

    # -- one connection ----------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._connect(reader, writer)
            writer.close()  # what was written is sent before
            await writer.wait_closed()
        except (OSError, asyncio.CancelledError):
            pass  # a side has closed, or the proxy ends
        finally:
            writer.transport.abort()
            self._touched.discard(writer.transport)
            self._out_of_step.discard(writer.transport)
            self._tasks.discard(task)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        source, back = await asyncio.open_connection(*self._target)
        forward = asyncio.create_task(self._forward(reader, back))
        try:
            await self._answer(source, writer, forward)
        finally:
            back.transport.abort()
            forward.cancel()
            await asyncio.gather(forward, return_exceptions=True)

    async def _forward(self, reader: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK):
            self.asked += 1
            back.write(data)
            await back.drain()
        back.transport.abort()

    async def _answer(
        self,
        source: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        forward: asyncio.Task[None],
    ) -> None:
        frames = self._splitter()
        held: Acts = []
        while (data := await source.read(_CHUNK)) and not writer.transport.is_closing():
            out = bytearray()
            for frame in frames.feed(data):
                acts = self._replace(writer.transport, frame)
                if Act.SWAP in acts:
                    held.append(frame)
                    continue
                for act in (*acts, *held):
                    if isinstance(act, bytes):
                        out += act
                        continue
                    if writer.transport.is_closing():
                        return
                    writer.write(bytes(out))
                    out.clear()
                    if isinstance(act, float):
                        # A server that is sane again says the rest without pauses.
                        await asyncio.sleep(0 if self._healed.is_set() else act)
                    elif act is Act.SILENCE:
                        await forward  # until the client closes
                        return
                    else:
                        return
                held.clear()
            if not writer.transport.is_closing():
                writer.write(bytes(out))
                await writer.drain()

    def _replace(self, transport: asyncio.WriteTransport, frame: bytes) -> Acts:
        hostile = None if self.mischief is None else self.mischief(frame)
        if hostile is None:
            return [frame]
        kind, acts = hostile
        self._touched.add(transport)
        if kind in OUT_OF_STEP:
            self._out_of_step.add(transport)
        return acts
