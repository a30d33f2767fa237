"""Opens the transport of a connection, and explains why that failed."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Any, Final, TypeVar

from actors.redis import exceptions
from actors.redis.config.locations import Location, TCPLocation
from actors.redis.config.settings import ConnectionSettings
from actors.redis.config.tls import current_context

ProtocolT = TypeVar("ProtocolT", bound=asyncio.BaseProtocol)

# Seconds to wait for the peer's close_notify; asyncio's default of 30 s would hold up whoever waits
# for the end of the connection.
_TLS_SHUTDOWN_TIMEOUT: Final = 0.5

# The system ends a connection to a dead peer after 60 + 4 * 15 seconds, instead of 2 hours.
_KEEPALIVE: Final = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}


async def connect(
    factory: Callable[[], ProtocolT], settings: ConnectionSettings, address: str = ""
) -> ProtocolT:
    """Connect as ``settings`` say, with the TLS handshake, and return the transport's protocol.

    Args:
        factory: makes the protocol.
        settings: where to connect to, and how.
        address: the IP address of the host to connect to; empty: any.

    Raises:
        ConnectionError: says the cause and what to check.
    """
    loop = asyncio.get_running_loop()
    location = settings.location
    tls: dict[str, Any] = {}
    if settings.ssl_context is not None:
        context = current_context(settings.ssl_context)
        tls = {"ssl": context, "ssl_shutdown_timeout": _TLS_SHUTDOWN_TIMEOUT}
    try:
        if isinstance(location, TCPLocation):
            if tls:
                tls["server_hostname"] = location.host
            transport, protocol = await loop.create_connection(
                factory, address or location.host, location.port, **tls
            )
            _keep_alive(transport, settings)
        else:
            _, protocol = await loop.create_unix_connection(factory, location.path)
    except (OSError, UnicodeError) as error:
        raise failure(location, error) from error
    return protocol


def failure(location: Location, error: OSError | UnicodeError) -> exceptions.ConnectionError:
    """Return the error of an attempt to connect: the cause, and what to check."""
    return exceptions.ConnectionError(f"cannot connect to {location}: {_explain(error)}")


def _keep_alive(transport: asyncio.BaseTransport, settings: ConnectionSettings) -> None:
    sock = transport.get_extra_info("socket")
    if sock is None or not settings.socket_keepalive:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    options: dict[int, int | bytes] = {
        getattr(socket, name): value for name, value in _KEEPALIVE.items() if hasattr(socket, name)
    }
    options.update(settings.socket_keepalive_options or {})
    for option, value in options.items():
        sock.setsockopt(socket.IPPROTO_TCP, option, value)


def _explain(error: OSError | UnicodeError) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return (
                f"its certificate was not accepted ({error.verify_message}); "
                "check ssl_ca_certs, ssl_check_hostname and ssl_cert_reqs"
            )
        case ssl.SSLError():
            return (
                f"the TLS handshake failed ({error.reason or error}); "
                "check that this port speaks TLS, and the certificates"
            )
        case socket.gaierror() | UnicodeError():
            return f"the host name cannot be resolved ({error}); check the host"
        case FileNotFoundError():
            return "there is no such socket; check the path, and that the server runs"
        case PermissionError():
            return "the socket may not be opened by this user; check its permissions"
        case ConnectionRefusedError():
            return "connection refused; check host and port, and that the server runs"
        case ConnectionResetError() | ConnectionAbortedError() | BrokenPipeError():
            return f"the peer closed the connection ({error}); check whether the port speaks TLS"
    if "Connect call failed" in str(error):
        return f"no address accepts ({error}); check host and port, and that the server runs"
    return f"{error}; check host, port and network"
