"""Asking one node what it thinks of the cluster, over a connection kept for that."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from actors.redis import exceptions
from actors.redis.config.locations import TCPLocation
from actors.redis.config.settings import DEFAULT_CONNECT_TIMEOUT, ConnectionSettings
from actors.redis.discovery.single_flight import SingleFlight
from actors.redis.exceptions import AuthorizationError, UnknownCommandError
from actors.redis.topology.model import Address, Topology
from actors.redis.topology.parse import parse_nodes, parse_shards, parse_slots
from actors.redis.wire.connection import Connection
from actors.redis.wire.resp import Argument

#: Seconds in which a node must answer, and accept a connection the first time.
ANSWER_TIMEOUT: Final = 0.5
# Seconds between two questions to a node that did not answer the last one, at first and at most.
_SILENT_PAUSE, _LONGEST_PAUSE = 0.2, 5.0

_SUBSCRIBED = re.compile(rb"pubsub_clients:(\d+)")
_CONNECTED = re.compile(rb"connected_clients:(\d+)")


class NodeProbe:
    """The control connection to the node at one address.

    Attributes:
        silent: it did not answer the latest question, refused it, or has not answered yet: do not
            wait for it.
        asked_at: when it was asked last (the loop's time).
        patience: seconds that connecting may take; each time that was too short it doubles, up to
            the settings' ``connect_timeout``, so that far-away nodes are reached too.
    """

    def __init__(
        self,
        connection_class: type[Connection],
        settings: ConnectionSettings,
        location: TCPLocation,
    ) -> None:
        self.location = location
        self.silent = False
        self.asked_at = -math.inf
        self.longest = settings.connect_timeout or DEFAULT_CONNECT_TIMEOUT
        self.patience = min(ANSWER_TIMEOUT, self.longest)
        self._class = connection_class
        self._settings = replace(settings, location=location, noreply=False)
        self._connection: Connection | None = None
        self._opening = asyncio.Lock()
        self._flight: SingleFlight[Topology] = SingleFlight(self._ask)
        self._pause = _SILENT_PAUSE
        self._ask_again_at = 0.0
        # What the node was found to allow, the one that says the most first.
        self._ways: list[Callable[[Connection], Any]] = [self._nodes, self._shards, self._slots]

    @property
    def address(self) -> Address:
        """Host and port."""
        return (self.location.host, self.location.port)

    @property
    def connected(self) -> bool:
        """Whether the connection is open."""
        return self._connection is not None and self._connection.usable

    @property
    def busy(self) -> bool:
        """Whether a question is under way."""
        return self._flight.busy

    @property
    def due(self) -> bool:
        """Whether the node may be asked: a silent one is not asked all the time."""
        return not self.silent or asyncio.get_running_loop().time() >= self._ask_again_at

    def ask(self) -> asyncio.Task[Topology]:
        """Ask the node; the task's result is its view, addresses as the node announces them.

        Its errors are those of Connection.open and Connection.execute, and ValueError for an
        answer that makes no sense.
        """
        self.asked_at = asyncio.get_running_loop().time()
        return self._flight.start()

    async def endpoints(self) -> Topology:
        """Ask for the addresses that clients should use (CLUSTER SHARDS, else SLOTS)."""
        connection = await self._connected()
        try:
            return await self._shards(connection)
        except (AuthorizationError, UnknownCommandError):
            return await self._slots(connection)

    async def subscribed_clients(self) -> int:
        """Return how many clients of the node are subscribed to something; 0 where it hides that.

        Servers before Valkey 8 and Redis 7.4 count all their clients instead.
        """
        try:
            reply = await self._execute(await self._connected(), "INFO", "clients")
        except (exceptions.RedisError, TimeoutError):
            return 0
        found = _SUBSCRIBED.search(reply) or _CONNECTED.search(reply)
        return 0 if found is None else int(found[1])

    async def close(self) -> None:
        """End the connection and what is asked on it."""
        await self._flight.close()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort(exceptions.ConnectionError("the cluster's pool no longer needs it"))
            await connection.wait_closed()

    async def _ask(self) -> Topology:
        try:
            view = await self._view(await self._connected())
        except (exceptions.RedisError, TimeoutError) as error:
            # A node that refuses, too, is asked less and less often.
            self.silent = True
            self._ask_again_at = asyncio.get_running_loop().time() + self._pause
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
            if isinstance(error, TimeoutError):
                self.patience = min(2 * self.patience, self.longest)
            raise
        self.silent = False
        self.patience = min(ANSWER_TIMEOUT, self.longest)
        self._pause = _SILENT_PAUSE
        return view

    async def _connected(self) -> Connection:
        async with self._opening:
            if self._connection is None or not self._connection.usable:
                settings = replace(self._settings, connect_timeout=self.patience)
                self._connection = await self._class.open(settings)
            return self._connection

    async def _view(self, connection: Connection) -> Topology:
        while True:
            try:
                view: Topology = await self._ways[0](connection)
            except (AuthorizationError, UnknownCommandError):
                if len(self._ways) == 1:
                    raise
                del self._ways[0]
            else:
                return view

    async def _nodes(self, connection: Connection) -> Topology:
        return parse_nodes(await self._execute(connection, "CLUSTER", "NODES"), self.address)

    async def _shards(self, connection: Connection) -> Topology:
        reply = await self._execute(connection, "CLUSTER", "SHARDS")
        return parse_shards(reply, self.address, tls=self._settings.ssl_context is not None)

    async def _slots(self, connection: Connection) -> Topology:
        return parse_slots(await self._execute(connection, "CLUSTER", "SLOTS"), self.address)

    async def _execute(self, connection: Connection, *command: Argument) -> Any:
        return await connection.execute(*command, timeout=ANSWER_TIMEOUT)
