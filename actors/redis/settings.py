"""Everything that one connection needs to know, validated as a whole."""

from __future__ import annotations

import codecs
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypedDict

from actors.redis.credentials import (
    AbstractCredentialProvider,
    UserPass,
    UserPassCredentialProvider,
)
from actors.redis.locations import Location, TCPLocation, UnixDomainSocketLocation

__all__ = ["DEFAULT_CONNECT_TIMEOUT", "DEFAULT_LOCATION", "ConnectionOptions", "ConnectionSettings"]

#: Where a server listens when nobody says otherwise.
DEFAULT_LOCATION: Final = TCPLocation("localhost", 6379)
#: Seconds that connecting may take when nobody says otherwise: a port that accepts and never
#: answers must not hold up its callers for ever.
DEFAULT_CONNECT_TIMEOUT: Final = 5.0


class ConnectionOptions(TypedDict, total=False):
    """The keywords of :class:`ConnectionSettings` without the location."""

    username: str | None
    password: str | None
    credential_provider: AbstractCredentialProvider | None
    db: int | None
    ssl_context: ssl.SSLContext | None
    connect_timeout: float | None
    stream_timeout: float | None
    client_name: str | None
    encoding: str
    decode_responses: bool
    noreply: bool
    noevict: bool
    notouch: bool
    socket_keepalive: bool
    socket_keepalive_options: Mapping[int, int | bytes] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionSettings:
    """The options of a connection.

    Raises:
        ValueError: all that is wrong with the values, at once.
    """

    #: Where the server listens.
    location: Location = DEFAULT_LOCATION
    #: User to authenticate as; with a password alone it is ``default``.
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    #: Asked for each connection; goes before username and password.
    credential_provider: AbstractCredentialProvider | None = None
    #: Number of the database to select.
    db: int | None = 0
    #: Speak TLS with this context; None: plain.
    ssl_context: ssl.SSLContext | None = None
    #: Seconds from the dial to the last reply of the handshake; None: as long as it takes.
    connect_timeout: float | None = DEFAULT_CONNECT_TIMEOUT
    #: Seconds until a reply must be there; None: as long as it takes.
    stream_timeout: float | None = None
    #: Name to show in CLIENT LIST.
    client_name: str | None = None
    #: Codec of every str that is sent, and of replies that are decoded.
    encoding: str = "utf-8"
    #: Whether clients return str instead of bytes.
    decode_responses: bool = False
    #: Tell the server not to answer.
    noreply: bool = False
    #: Exempt the connection from client eviction (CLIENT NO-EVICT).
    noevict: bool = False
    #: Commands leave the keys' LRU and LFU as they are (CLIENT NO-TOUCH).
    notouch: bool = False
    #: Have the operating system probe silent TCP connections.
    socket_keepalive: bool = True
    #: Options of level IPPROTO_TCP, over the defaults (60 s idle, 15 s between, 4 probes).
    socket_keepalive_options: Mapping[int, int | bytes] | None = None

    def __post_init__(self) -> None:
        problems = [
            f"{name} must be more than 0 seconds, or None for no limit, not {value!r}"
            for name, value in (
                ("connect_timeout", self.connect_timeout),
                ("stream_timeout", self.stream_timeout),
            )
            if value is not None and value <= 0
        ]
        match self.location:
            case TCPLocation(port=port) if not 0 < port < 65536:
                problems.append(f"port must be from 1 to 65535, not {port!r}")
            case UnixDomainSocketLocation() if self.ssl_context is not None:
                problems.append("servers speak no TLS on unix sockets: leave out ssl and ssl_*")
        if self.db is not None and self.db < 0:
            problems.append(f"db must be 0 or more, not {self.db!r}")
        try:
            codecs.lookup(self.encoding)
        except LookupError:
            problems.append(f"encoding {self.encoding!r} is none that Python knows")
        if self.client_name is not None and not _printable(self.client_name):
            problems.append(
                f"client_name {self.client_name!r} must be printable ASCII without spaces"
            )
        if problems:
            raise ValueError("; ".join(problems))

    async def get_credentials(self) -> UserPass | None:
        """Ask for the credentials of one connection; None: connect without any."""
        if self.credential_provider is not None:
            return await self.credential_provider.get_credentials()
        if self.username or self.password:
            provider = UserPassCredentialProvider(self.username, self.password)
            return await provider.get_credentials()
        return None


def _printable(name: str) -> bool:
    return all("!" <= char <= "~" for char in name)
