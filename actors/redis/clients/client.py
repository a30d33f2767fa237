"""How the client of one server sends commands."""

from __future__ import annotations

from typing import Any, AnyStr

from actors.redis.clients.base_client import BaseClient
from actors.redis.pools.connection_pool import ConnectionPool
from actors.redis.wire.connection import Connection
from actors.redis.wire.resp import Argument, decode, words


class RedisClient(BaseClient[AnyStr]):
    """A client of one server.

    The client sends a command again only while the server has surely not executed it: the retry
    policy covers getting a connection. An error after the command was sent is raised, because a
    message that is published twice is worse than one whose publisher knows that it may be lost.
    Commands that change nothing (ping, echo, pubsub_*) are retried as a whole.
    """

    connection_pool: ConnectionPool

    async def execute_command(self, *args: Argument) -> Any:
        """Send a command and return its reply.

        Args:
            args: the command's name, which may be of several words, and its arguments.

        Raises:
            RedisError: the server's error reply, as the class of its code.
            ConnectionError: there is no connection, or it was lost before the reply came: the
                server may have executed the command or not.
            TimeoutError: no connection, or no reply, in time.
            DataError: an argument is no str, bytes, int or float.
        """
        connection = await self.retry_policy.call_with_retries(self.connection_pool.acquire)
        return await self._run(connection, args)

    async def _query(self, *args: Argument) -> Any:
        async def attempt() -> Any:
            return await self._run(await self.connection_pool.acquire(), args)

        return await self.retry_policy.call_with_retries(attempt)

    async def _run(self, connection: Connection, args: tuple[Argument, ...]) -> Any:
        try:
            args = words(args)
            if self.noreply:
                connection.post(*args)
                return await connection.drain_writes()
            reply = await connection.execute(*args)
        finally:
            self.connection_pool.release(connection)
        return decode(reply, self.encoding) if self.decode_responses else reply

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.connection_pool.location}>"
