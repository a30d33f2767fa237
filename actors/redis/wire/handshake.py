"""The first commands on a connection: HELLO 3 with credentials, database, client flags."""

from __future__ import annotations

import asyncio
from typing import Any

from actors.redis import exceptions
from actors.redis.config.credentials import UserPass
from actors.redis.exceptions import (
    AuthenticationFailureError,
    AuthenticationRequiredError,
    CommandNotSupportedError,
    ProtocolError,
    RedisError,
    UnknownCommandError,
)
from actors.redis.wire.pending_reply import FuturePending
from actors.redis.wire.protocol import RespProtocol
from actors.redis.wire.resp import Argument, pack

Command = tuple[Argument, ...]


async def greet(connection: RespProtocol, credentials: UserPass | None) -> dict[bytes, Any]:
    """Send all commands of the handshake at once, check the replies, return the one to HELLO.

    Raises:
        AuthenticationError, AuthorizationError: the server's error, and what to check.
        CommandNotSupportedError: the server does not know RESP3.
        ConnectionError: the connection ended, or the peer is no Redis or Valkey server.
    """
    commands = _commands(connection, credentials)
    loop = asyncio.get_running_loop()
    futures: list[asyncio.Future[Any]] = [loop.create_future() for _ in commands]
    encoding = connection.settings.encoding
    data = b"".join(pack(command, encoding) for command in commands)
    connection.write(data, *map(FuturePending, futures))
    replies = await asyncio.gather(*futures, return_exceptions=True)
    for command, reply in zip(commands, replies, strict=True):
        if isinstance(reply, BaseException):
            if connection.lost is not None or not isinstance(reply, RedisError):
                raise reply
            raise _explain(reply, command, connection, credentials) from None
    hello = replies[0]
    if not isinstance(hello, dict) or hello.get(b"proto") != 3:
        raise _too_old(connection, f"HELLO 3 was answered with {hello!r}")
    return hello


def _commands(connection: RespProtocol, credentials: UserPass | None) -> list[Command]:
    settings = connection.settings
    hello: Command = ("HELLO", 3)
    if credentials is not None:
        hello += ("AUTH", credentials.username or "default", credentials.password)
    if settings.client_name:
        hello += ("SETNAME", settings.client_name)
    commands = [hello]
    if settings.db:
        commands.append(("SELECT", settings.db))
    if settings.noevict:
        commands.append(("CLIENT", "NO-EVICT", "ON"))
    if settings.notouch:
        commands.append(("CLIENT", "NO-TOUCH", "ON"))
    return commands


def _explain(
    error: RedisError, command: Command, connection: RespProtocol, credentials: UserPass | None
) -> RedisError:
    if command[0] == "HELLO" and isinstance(error, UnknownCommandError | ProtocolError):
        return _too_old(connection, str(error))
    shown = command[:2] if command[0] == "HELLO" else command  # without the password
    refused = " ".join(map(str, shown))
    where = f"{connection.location} refused {refused}: {str(error).rstrip('.')}"
    match error:
        case AuthenticationFailureError():
            user = credentials.username if credentials else ""
            return type(error)(f"{where}; check the password of user {user or 'default'!r}")
        case AuthenticationRequiredError():
            return type(error)(f"{where}; give username and password, or a credential_provider")
        case exceptions.ConnectionError():
            return type(error)(where)
    return type(error)(f"{where}; check what this user and this server allow")


def _too_old(connection: RespProtocol, said: str) -> CommandNotSupportedError:
    return CommandNotSupportedError(
        f"{connection.location} does not speak RESP3 ({said}): "
        "Redis 6.0 or newer, or any Valkey, is needed"
    )
