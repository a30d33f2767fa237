"""A TCP proxy between client and server that loses, delays, holds back and cuts on request."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable
from types import TracebackType
from typing import Self

from actors.testing.proxies.frames import MESSAGE_KINDS, push_kind
from actors.testing.proxies.proxied_connection import Conditions, ProxiedConnection
from actors.testing.servers.ports import PortReservation


class Direction(enum.Flag):
    """Which way bytes go."""

    TO_SERVER = enum.auto()
    TO_CLIENT = enum.auto()
    BOTH = TO_SERVER | TO_CLIENT


class FaultProxy:
    """Forwards TCP connections to a server on loopback, and makes faults on request.

    ::

        async with FaultProxy("127.0.0.1", server.port) as proxy:
            client = Redis("127.0.0.1", proxy.port)
            proxy.swallow()          # half-open: no byte arrives, no side closes

    Faults apply to open connections and to later ones, until :meth:`heal`.

    Args:
        target_host: the host of the server.
        target_port: its TCP port.
        host: the loopback address to listen on.
    """

    def __init__(self, target_host: str, target_port: int, *, host: str = "127.0.0.1") -> None:
        self.target = (target_host, target_port)
        self.host = host
        self.accepted = 0
        """How many connections were accepted so far."""
        self._conditions = Conditions()
        self._open: set[ProxiedConnection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._reservation: PortReservation | None = None

    # --- life ---

    async def __aenter__(self) -> Self:
        # The port stays reserved while connections are refused.
        self._reservation = PortReservation(self.host)
        await self.accept()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.refuse()
        self.cut()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._reservation is not None:
            self._reservation.close()
            self._reservation = None

    @property
    def port(self) -> int:
        """The port on which the proxy listens; RuntimeError outside its context."""
        if self._reservation is None:
            raise RuntimeError("the proxy has no port before it is entered, nor after it is left")
        return self._reservation.port

    @property
    def address(self) -> tuple[str, int]:
        """Host and port on which the proxy listens."""
        return (self.host, self.port)

    @property
    def connections(self) -> int:
        """How many connections are open now, half-open ones included."""
        return len(self._open)

    # --- faults ---

    def swallow(self, direction: Direction = Direction.BOTH) -> None:
        """Lose all bytes of a direction, and the end of a connection too: a half-open network.

        A connection that lost bytes stays dead after :meth:`heal`; later connections work.
        """
        self._conditions.lose_to_server |= Direction.TO_SERVER in direction
        self._conditions.lose_to_client |= Direction.TO_CLIENT in direction

    def pause(self) -> None:
        """Hold all bytes back until :meth:`resume`; none is lost."""
        self._conditions.flowing.clear()

    def resume(self) -> None:
        """Forward the bytes that :meth:`pause` held back."""
        self._conditions.flowing.set()

    def delay(self, seconds: float) -> None:
        """Hold every byte back for ``seconds``, in both directions; 0 ends the delay."""
        if seconds < 0:
            raise ValueError(f"a delay is 0 seconds or more, not {seconds}")
        self._conditions.delay = seconds

    def cut(self) -> None:
        """Reset all open connections: client and server both see a reset."""
        for connection in list(self._open):
            connection.reset()

    def refuse(self) -> None:
        """Refuse new connections; open ones stay open."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def accept(self) -> None:
        """Accept connections again, on the same port."""
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, self.host, self.port)

    @property
    def drop_pushes(self) -> bool:
        """Whether published messages are dropped on their way to the client.

        Replies, PONG and the confirmations of subscriptions pass, so the connection looks healthy.
        """
        return self._conditions.drop is _is_message

    @drop_pushes.setter
    def drop_pushes(self, value: bool) -> None:
        self._conditions.drop = _is_message if value else None

    def drop(self, predicate: Callable[[bytes], bool] | None) -> None:
        """Drop the frames (replies or pushes) to the client for which ``predicate`` is true.

        ``predicate`` gets the bytes of a frame. None drops no frame. TLS has no frames to drop.
        """
        self._conditions.drop = predicate

    def heal(self) -> None:
        """End all faults except :meth:`refuse`, which :meth:`accept` ends."""
        self._conditions.lose_to_server = self._conditions.lose_to_client = False
        self._conditions.drop = None
        self._conditions.delay = 0.0
        self.resume()

    # --- one connection ---

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        connection = ProxiedConnection(self._conditions, reader, writer)
        self._open.add(connection)
        try:
            await connection.run(self.target)
        except asyncio.CancelledError:
            # Cancelled by __aexit__. asyncio would log a callback that ends with CancelledError.
            pass
        finally:
            connection.reset()
            self._open.discard(connection)
            self._tasks.discard(task)


def _is_message(frame: bytes) -> bool:
    return push_kind(frame) in MESSAGE_KINDS
