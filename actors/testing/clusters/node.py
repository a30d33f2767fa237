"""One server of an embedded cluster, and waiting for what it says to come true."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from actors.redis.config.locations import TCPLocation
from actors.redis.config.settings import ConnectionSettings
from actors.redis.exceptions import ConnectionError as RedisConnectionError
from actors.redis.exceptions import RedisError
from actors.redis.topology.model import Role, Topology
from actors.redis.topology.parse import parse_nodes
from actors.redis.wire.connection import Connection
from actors.testing.servers.binary import ServerBinary
from actors.testing.servers.process import ServerProcess

__all__ = ["ClusterNode", "ClusterTimeoutError", "wait_until"]

T = TypeVar("T")
_POLL = 0.01


class ClusterTimeoutError(TimeoutError):
    """The cluster did not get into the state that was waited for; the message says what was."""


async def wait_until(condition: Callable[[], Awaitable[T | None]], what: str, timeout: float) -> T:
    """Wait until ``condition()`` returns something true, and return it.

    It is asked again every 10 ms. Lost connections, servers' errors and AssertionError mean "not
    yet"; the last of them is told if the time is up.

    Raises:
        ClusterTimeoutError: not within ``timeout`` seconds; ``what`` says what was waited for.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    while True:
        state: object
        try:
            state = value = await condition()
        except (RedisError, TimeoutError, AssertionError) as error:
            state = f"{type(error).__name__}: {error}"
        else:
            if value:
                return value
        if loop.time() >= deadline:
            raise ClusterTimeoutError(f"not within {timeout:g} s: {what}; at last: {state}")
        await asyncio.sleep(_POLL)


class ClusterNode(ServerProcess):
    """A server of an :class:`~actors.testing.clusters.cluster.EmbeddedCluster`.

    It keeps id, port and configuration file over restarts, as a node of a real cluster does.
    """

    def __init__(
        self, binary: ServerBinary, node_id: str, port: int, config_file: Path, args: list[str]
    ) -> None:
        words = ["--cluster-enabled", "yes", "--cluster-config-file", str(config_file)]
        super().__init__(binary, port=port, cluster=True, args=[*words, *args])
        self.id = node_id
        self.config_file = config_file
        self._connection: Connection | None = None
        self._opening = asyncio.Lock()

    @property
    def address(self) -> tuple[str, int]:
        """Where the node announces itself."""
        return (self.host, self.port)

    @property
    def location(self) -> TCPLocation:
        """The address as our clients take it."""
        return TCPLocation(self.host, self.port)

    @property
    def alive(self) -> bool:
        """Whether the process runs and is not paused, so that it can be expected to answer."""
        return self.running and not self._paused

    # --- asking it ---

    async def execute(self, *args: str | bytes | int, timeout: float = 5.0) -> Any:
        """Run a command on the node and return its reply.

        Raises:
            TimeoutError: no reply within ``timeout`` seconds.
            RedisError: not connected, or what the server answered.
        """
        connection = await self._connected(timeout)
        return await connection.execute(*args, timeout=timeout)

    async def execute_all(self, commands: list[tuple[str | bytes | int, ...]]) -> list[Any]:
        """Run commands in one round trip; errors of the server are among the replies."""
        connection = await self._connected(5.0)
        futures = [connection.send_command(*command) for command in commands]
        async with asyncio.timeout(5.0):
            return await asyncio.gather(*futures, return_exceptions=True)

    async def view(self) -> Topology:
        """Return the cluster as this node sees it (CLUSTER NODES)."""
        return parse_nodes(await self.execute("CLUSTER", "NODES", timeout=1.0), self.address)

    async def info(self, section: str = "replication") -> dict[str, str]:
        """Return a section of INFO, or for ``"cluster"`` what CLUSTER INFO says."""
        command = ("CLUSTER", "INFO") if section == "cluster" else ("INFO", section)
        text: bytes = await self.execute(*command, timeout=1.0)
        pairs = (line.partition(":") for line in text.decode().splitlines())
        return {key: value for key, colon, value in pairs if colon}

    async def role(self) -> Role:
        """Return what the node says of itself."""
        return Role.PRIMARY if (await self.info())["role"] == "master" else Role.REPLICA

    async def in_sync(self) -> bool:
        """Whether the node is a primary, or a replica whose link to its primary is up."""
        info = await self.info()
        return info["role"] == "master" or info["master_link_status"] == "up"

    async def _connected(self, timeout: float) -> Connection:
        async with self._opening:
            if self._connection is None or not self._connection.usable:
                await self.disconnect()
                settings = ConnectionSettings(location=self.location, connect_timeout=timeout)
                self._connection = await Connection.open(settings)
            return self._connection

    async def disconnect(self) -> None:
        """Close the connection that asks; the next question opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort(RedisConnectionError("the test's node was disconnected"))
            await connection.wait_closed()

    def kill(self) -> None:
        """End the process with SIGKILL and reap it; nothing if it does not run."""
        super().kill()
        if self._connection is not None:
            # The loop has not read the end of it yet: the next question must not be sent there.
            self._connection.abort(RedisConnectionError("the server was killed"))
