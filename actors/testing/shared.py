"""A server and a cluster that many tests share, one test after another."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
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
    """A cluster with an event loop of its own in a thread, so that it outlives a test's loop.

    Attributes:
        url: the URL of one of its nodes.
    """

    def __init__(self) -> None:
        self.url = ""
        self._primaries: list[tuple[str, int]] = []
        self._exit = ExitStack()

    def empty(self) -> None:
        """Delete all keys."""
        empty(self._primaries)

    def __enter__(self) -> Self:
        """Start the cluster."""
        with ExitStack() as stack:
            thread = stack.enter_context(ThreadPoolExecutor(1, "mailslot shared cluster"))
            runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
            stack.callback(lambda: thread.submit(runner.close).result())
            cluster = EmbeddedCluster(3, 0)
            thread.submit(runner.run, cluster.__aenter__()).result()
            end = partial(cluster.__aexit__, None, None, None)
            stack.callback(lambda: thread.submit(runner.run, end()).result())
            primaries = thread.submit(runner.run, cluster.primaries()).result()
            self.url = cluster.url
            self._primaries = [(node.host, node.port) for node in primaries]
            self._exit = stack.pop_all()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the cluster."""
        self._exit.close()
