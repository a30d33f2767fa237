"""How the client of one server sends commands."""

from __future__ import annotations

from typing import Any, AnyStr, Final

from actors.redis.clients.base_client import BaseClient
from actors.redis.exceptions import AskError, MovedError
from actors.redis.pools.connection_pool import ConnectionPool
from actors.redis.shared.blocking_commands import execute_alone, execute_on_replicas
from actors.redis.shared.command_kinds import blocking_seconds
from actors.redis.shared.transaction import in_transaction, results_of
from actors.redis.wire.resp import Argument, pack, words

_REDIRECTS: Final = frozenset((AskError, MovedError))
_OF_A_CLUSTER: Final = "the server is a node of a cluster: use RedisCluster instead of Redis"


class RedisClient(BaseClient[AnyStr]):
    """A client of one server.

    All commands share one connection; a command that blocks has one of its own meanwhile. The
    client sends a command again only while the server has surely not executed it: the retry policy
    covers getting a connection. An error after the command was sent is raised, because a message
    that is published twice is worse than one whose publisher knows that it may be lost. Commands
    that change nothing (ping, echo, pubsub_*) are retried as a whole.
    """

    connection_pool: ConnectionPool

    async def execute_command(self, *args: Argument) -> Any:
        """Send a command and return its reply.

        Args:
            args: the command's name, which may be of several words, and its arguments.

        Raises:
            RedisError: the server's error reply, as the class of its code.
            UnansweredError: the connection was lost before the reply came: the server may have
                executed the command or not.
            ReplyTimeoutError: no reply within ``stream_timeout``; the same is true.
            ConnectionError, TimeoutError: there is no connection; the command was not sent.
            DataError: an argument is no str, bytes, int or float, or the command changes the state
                of its connection.
        """
        args = words(args)
        seconds = blocking_seconds(args)
        if seconds is not None:
            return self._decoded(await self._execute_alone(args, seconds))
        return await self._execute(args)

    async def _execute(self, args: tuple[Argument, ...]) -> Any:
        pool = self.connection_pool
        shared = pool.shared()
        command = pack(args, pool.settings.encoding)
        if not shared.connected:
            await self.retry_policy.call_with_retries(shared.connect)
        if self.noreply:
            return await shared.post(command)
        try:
            return self._decoded(await shared.submit(command))
        except AskError as error:  # MovedError is one, too
            error.add_note(_OF_A_CLUSTER)
            raise

    async def _execute_all(
        self, commands: list[tuple[Argument, ...]], *, transaction: bool = False
    ) -> list[Any]:
        pool = self.connection_pool
        shared, encoding = pool.shared(), pool.settings.encoding
        packed = [pack(args, encoding) for args in commands]
        if not packed:
            return []
        if transaction:
            packed = in_transaction(packed)
        if not shared.connected:
            await self.retry_policy.call_with_retries(shared.connect)
        if self.noreply:
            await shared.post(*packed)
            return [None] * len(commands)
        replies = await shared.submit_batch(packed)
        if not _REDIRECTS.isdisjoint(map(type, replies)):
            for reply in replies:
                if isinstance(reply, AskError):
                    reply.add_note(_OF_A_CLUSTER)
        return results_of(replies) if transaction else replies

    async def _query(self, *args: Argument) -> Any:
        shared = self.connection_pool.shared()
        command = pack(args, self.encoding)

        async def attempt() -> Any:
            await shared.connect()
            return await (shared.post(command) if self.noreply else shared.submit(command))

        return self._decoded(await self.retry_policy.call_with_retries(attempt))

    async def _execute_alone(self, args: tuple[Argument, ...], seconds: float) -> Any:
        pool = self.connection_pool
        connection = await self.retry_policy.call_with_retries(pool.acquire)
        try:
            return await execute_alone(connection, seconds, args)
        finally:
            pool.release(connection)

    async def _execute_on_replicas(
        self, args: tuple[Argument, ...], replicas: int
    ) -> tuple[Any, Any]:
        pool = self.connection_pool
        connection = await self.retry_policy.call_with_retries(pool.acquire)
        try:
            return await execute_on_replicas(connection, args, replicas)
        finally:
            pool.release(connection)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.connection_pool.location}>"
