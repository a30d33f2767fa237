"""One server of an embedded cluster, and waiting for a state of the cluster."""

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

T = TypeVar("T")
# Seconds between two looks: at the beginning of a wait, and at most. Each look asks every node.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.05


class ClusterTimeoutError(TimeoutError):
    """The cluster did not reach a state in time; the message has the last answer, too."""


async def wait_until(condition: Callable[[], Awaitable[T | None]], what: str, timeout: float) -> T:
    """Call ``condition`` until it returns a true value, and return that value.

    The pauses between calls grow from 10 to 50 ms.

    Lost connections, error replies and AssertionError mean "not yet"; the error below has the last
    of them.

    Raises:
        ClusterTimeoutError: not within ``timeout`` seconds; ``what`` names the awaited state.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    pause = _FIRST_PAUSE
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
            raise ClusterTimeoutError(f"not within {timeout:g} s: {what}; last answer: {state}")
        await asyncio.sleep(pause)
        pause = min(pause * 1.25, _LONGEST_PAUSE)


class ClusterNode(ServerProcess):
    """A server of an :class:`~actors.testing.clusters.cluster.EmbeddedCluster`.

    Id, port and configuration file stay the same over restarts.
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
        """The host and port that the node announces."""
        return (self.host, self.port)

    @property
    def location(self) -> TCPLocation:
        """The address as a client takes it."""
        return TCPLocation(self.host, self.port)

    @property
    def alive(self) -> bool:
        """Whether the process runs and is not paused."""
        return self.running and not self._paused

    async def execute(self, *args: str | bytes | int, timeout: float = 5.0) -> Any:
        """Run a command on the node and return its reply.

        Raises:
            TimeoutError: no reply within ``timeout`` seconds.
            RedisError: there is no connection, or the server replied with an error.
        """
        connection = await self._connected(timeout)
        return await connection.execute(*args, timeout=timeout)

    async def execute_all(self, commands: list[tuple[str | bytes | int, ...]]) -> list[Any]:
        """Run commands in one round trip; error replies are returned, not raised."""
        connection = await self._connected(5.0)
        futures = [connection.send_command(*command) for command in commands]
        async with asyncio.timeout(5.0):
            return await asyncio.gather(*futures, return_exceptions=True)

    async def view(self) -> Topology:
        """Return the cluster as this node sees it (CLUSTER NODES)."""
        return parse_nodes(await self.execute("CLUSTER", "NODES", timeout=1.0), self.address)

    async def info(self, section: str = "replication") -> dict[str, str]:
        """Return a section of INFO; for ``"cluster"`` the fields of CLUSTER INFO."""
        command = ("CLUSTER", "INFO") if section == "cluster" else ("INFO", section)
        text: bytes = await self.execute(*command, timeout=1.0)
        pairs = (line.partition(":") for line in text.decode().splitlines())
        return {key: value for key, colon, value in pairs if colon}

    async def role(self) -> Role:
        """Return the role that the node reports."""
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
        """Close the connection for commands; the next command opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort(RedisConnectionError("the node was disconnected"))
            await connection.wait_closed()

    def kill(self) -> None:
        """End the process with SIGKILL and reap it; do nothing if none runs."""
        super().kill()
        if self._connection is not None:
            # The loop has not yet noticed that the connection is closed: no command may use it.
            self._connection.abort(RedisConnectionError("the server was killed"))
