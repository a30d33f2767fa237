"""Commands that make their connection wait at the server; nobody else uses it meanwhile."""

from __future__ import annotations

from math import inf
from typing import Any

from actors.redis.exceptions import (
    ConnectionError,  # noqa: A004 - the library's
    RedisError,
    ReplyTimeoutError,
    UnansweredError,
)
from actors.redis.wire.connection import Connection
from actors.redis.wire.resp import Argument


async def execute_alone(connection: Connection, seconds: float, args: tuple[Argument, ...]) -> Any:
    """Send a command that blocks for ``seconds`` at most, and return its reply.

    Raises:
        UnansweredError: the connection ended before the reply came.
        ReplyTimeoutError: the reply did not come in time.
        DataError: an argument cannot be sent.
        RedisError: the server's error reply.
    """
    try:
        return await connection.execute_blocking(seconds, *args)
    except (ConnectionError, TimeoutError) as error:
        if connection.lost is None:  # an error reply
            raise
        lost = isinstance(error, ConnectionError)
        raise (UnansweredError if lost else ReplyTimeoutError)(str(error)) from error


async def execute_on_replicas(
    connection: Connection, args: tuple[Argument, ...], replicas: int
) -> tuple[Any, Any]:
    """Send a command, then wait until ``replicas`` replicas have what it wrote.

    The wait ends after ``stream_timeout`` at the latest.

    Returns:
        The reply to the command; and how many replicas have acknowledged, or the error instead.

    Raises:
        RedisError, TimeoutError: those of :func:`execute_alone` for the command itself.
    """
    reply = await execute_alone(connection, 0, args)
    limit = connection.settings.stream_timeout
    milliseconds = 0 if limit is None else max(1, round(limit * 1000))  # 0: for ever
    wait = ("WAIT", replicas, milliseconds)
    try:
        return reply, await execute_alone(connection, inf if limit is None else limit, wait)
    except (RedisError, TimeoutError) as error:
        return reply, error
