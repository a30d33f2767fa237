"""The first commands on a connection: HELLO 3 with credentials, database, client flags."""

from __future__ import annotations

import asyncio
import re
import reprlib
from typing import Any, Final

from actors.redis import exceptions
from actors.redis.config.credentials import UserPass
from actors.redis.exceptions import (
    AskError,
    AuthenticationFailureError,
    AuthenticationRequiredError,
    CommandNotSupportedError,
    ProtocolError,
    RedisError,
    ResponseError,
    UnknownCommandError,
)
from actors.redis.wire.pending_reply import FuturePending
from actors.redis.wire.protocol import RespProtocol
from actors.redis.wire.resp import Argument, pack

Command = tuple[Argument, ...]

#: How servers and proxies word, under the code ERR, that they know no HELLO 3.
_NO_RESP3: Final = re.compile("hello|proto|unknown|unsupported|not supported", re.IGNORECASE)


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
    hello = _fields(replies[0])
    # A map is RESP3 itself. A server that answers with an array may say so all the same.
    protocol = hello.get(b"proto", 3 if isinstance(replies[0], dict) else 2)
    if number_of(protocol) != 3:
        raise _too_old(connection, f"HELLO 3 was answered with {reprlib.repr(replies[0])}")
    return hello


def _fields(reply: Any) -> dict[Any, Any]:
    """Return the fields of a reply to HELLO: a map, or an array of names and values in turn."""
    if isinstance(reply, dict):
        return reply
    if not isinstance(reply, list):
        return {}
    pairs = zip(reply[::2], reply[1::2], strict=False)
    return {name: value for name, value in pairs if isinstance(name, bytes)}


def number_of(value: Any) -> int | None:
    """Return a number that a server may have sent as text; None if ``value`` is none."""
    match value:
        case int():
            return value
        case bytes() if value.isdigit():
            return int(value)
    return None


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
    if command[0] == "HELLO" and _knows_no_resp3(error):
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
        case AskError():
            return ResponseError(
                f"{where}; a redirection is no answer to {refused.split()[0]}: connect to the "
                "server that it names, or use RedisCluster"
            )
    return type(error)(f"{where}; check what this user and this server allow")


def _knows_no_resp3(error: RedisError) -> bool:
    if type(error) is ResponseError:
        return _NO_RESP3.search(str(error)) is not None
    return isinstance(error, UnknownCommandError | ProtocolError)


def _too_old(connection: RespProtocol, said: str) -> CommandNotSupportedError:
    return CommandNotSupportedError(
        f"{connection.location} does not speak RESP3 ({said}): "
        "Redis 6.0 or newer, or any Valkey, is needed"
    )
