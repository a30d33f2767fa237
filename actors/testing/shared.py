"""A server and a cluster that many tests share, one test after another."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from actors.testing.clusters.cluster import EmbeddedCluster


def empty(addresses: Iterable[tuple[str, int]]) -> None:
    """Delete all keys of the servers at ``addresses``.

    Raises:
        RuntimeError: a server does not answer, or replies with an error.
    """
    for host, port in addresses:
        try:
            with socket.create_connection((host, port), 5.0) as connection:
                connection.settimeout(5.0)
                connection.sendall(b"FLUSHALL\r\n")
                answer = connection.recv(512)
        except OSError as error:
            raise RuntimeError(
                f"the shared server at {host}:{port} does not answer ({error}). A test that"
                " stops its server must use embedded_server or embedded_cluster"
            ) from error
        if not answer.startswith(b"+OK"):
            raise RuntimeError(f"the shared server at {host}:{port} cannot be emptied: {answer!r}")


class SharedCluster:
    """A cluster in a thread with an event loop of its own, so that it outlives a test's loop.

    Attributes:
        url: the URL of one of its nodes.
    """

    def __init__(self) -> None:
        self.url = ""
        self._primaries: list[tuple[str, int]] = []
        self._up = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="mailslot shared cluster")
        self._loop: asyncio.AbstractEventLoop
        self._end: asyncio.Event

    def empty(self) -> None:
        """Delete all keys."""
        empty(self._primaries)

    def __enter__(self) -> Self:
        """Start the cluster."""
        self._thread.start()
        self._up.wait()
        if self._error is not None:
            self._thread.join()
            raise self._error
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the cluster."""
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._live())
        except BaseException as error:
            self._error = error
        finally:
            self._up.set()

    async def _live(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        async with EmbeddedCluster(3, 0) as cluster:
            self.url = cluster.url
            self._primaries = [(node.host, node.port) for node in await cluster.primaries()]
            self._up.set()
            await self._end.wait()
