"""The settings of one connection, checked as a whole."""

from __future__ import annotations

import asyncio
import codecs
import ssl as tls
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self, TypedDict

from actors.redis.config.credentials import AbstractCredentialProvider, UserPass
from actors.redis.config.locations import Location, TCPLocation, UnixDomainSocketLocation
from supervisor.checks import is_number, is_whole, no_option

#: The default location of a server.
DEFAULT_LOCATION: Final = TCPLocation("localhost", 6379)
#: Seconds that connecting may take by default: a port that accepts and never answers must not hold
#: up its callers for ever.
DEFAULT_CONNECT_TIMEOUT: Final = 5.0
#: Seconds in which a reply must come by default: longer than the 5 s after which a server that is
#: busy with a script answers BUSY.
DEFAULT_STREAM_TIMEOUT: Final = 10.0
#: Seconds to wait for a connection of a pool by default, the time to open one included.
DEFAULT_POOL_TIMEOUT: Final = 10.0
# Without the control characters, which some encodings escape (utf-7 for instance).
_PRINTABLE: Final = "".join(map(chr, range(0x20, 0x7F)))


class SharedOptions(TypedDict, total=False):
    """The keywords of :class:`ConnectionSettings` that pools and clients take under these names."""

    username: str | None
    password: str | None
    credential_provider: AbstractCredentialProvider | None
    ssl_context: tls.SSLContext | None
    connect_timeout: float | None
    stream_timeout: float | None
    client_name: str | None
    encoding: str
    noreply: bool
    noevict: bool
    notouch: bool


class ConnectionOptions(SharedOptions, total=False):
    """The keywords of :class:`ConnectionSettings` without the location: those of pools."""

    db: int | None
    decode_responses: bool
    socket_keepalive: bool
    socket_keepalive_options: Mapping[int, int | bytes] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionSettings:
    """How to connect to one server, and how to use the connection.

    Raises:
        ValueError: names everything that is wrong with the values.
    """

    #: Where the server listens.
    location: Location = DEFAULT_LOCATION
    #: The user to authenticate as; ``default`` if only a password is given.
    username: str | None = None
    #: The user's password.
    password: str | None = field(default=None, repr=False)
    #: Is asked for the credentials of each connection, instead of username and password.
    credential_provider: AbstractCredentialProvider | None = None
    #: The number of the database to select.
    db: int | None = 0
    #: Speak TLS with this context; None: plain text.
    ssl_context: tls.SSLContext | None = None
    #: Seconds from the connect to the last reply of the handshake; None: no limit.
    connect_timeout: float | None = DEFAULT_CONNECT_TIMEOUT
    #: Seconds to wait for a reply, before the connection is closed; None: no limit.
    stream_timeout: float | None = DEFAULT_STREAM_TIMEOUT
    #: Name to show in CLIENT LIST.
    client_name: str | None = None
    #: The codec of str in commands and in decoded replies; must contain ASCII.
    encoding: str = "utf-8"
    #: Whether clients return str instead of bytes.
    decode_responses: bool = False
    #: Tell the server not to answer: commands then return None, or 0 for a count.
    noreply: bool = False
    #: Exempt the connection from client eviction (CLIENT NO-EVICT).
    noevict: bool = False
    #: Commands leave the keys' LRU and LFU as they are (CLIENT NO-TOUCH).
    notouch: bool = False
    #: Have the operating system probe silent TCP connections (SO_KEEPALIVE).
    socket_keepalive: bool = True
    #: Socket options of level IPPROTO_TCP; the defaults are 60 s idle, 15 s between 4 probes.
    socket_keepalive_options: Mapping[int, int | bytes] | None = None

    @classmethod
    def of(cls, location: Location, options: Mapping[str, Any]) -> Self:
        """Return the settings of ``location`` with ``options``; TypeError for an unknown one."""
        for name in options:
            if name not in cls.__dataclass_fields__:
                raise TypeError(no_option("a client", name, cls.__dataclass_fields__))
        return cls(location=location, **options)

    def __post_init__(self) -> None:
        problems = [
            *_problems_of_place(self.location, self.ssl_context),
            *problems_of_seconds(
                connect_timeout=self.connect_timeout, stream_timeout=self.stream_timeout
            ),
        ]
        if self.db is not None and not (is_whole(self.db) and self.db >= 0):
            problems.append(f"db must be a number, 0 or more, not {self.db!r}")
        if not hasattr(self.credential_provider or self, "get_credentials"):
            problems.append(
                f"credential_provider {type(self.credential_provider).__name__} has no "
                "get_credentials: it must be an AbstractCredentialProvider"
            )
        problems += _problems_of_encoding(self.encoding)
        if self.client_name is not None and not _printable(self.client_name):
            problems.append(
                f"client_name {self.client_name!r} must be printable ASCII without spaces"
            )
        if problems:
            raise ValueError("; ".join(problems))

    async def get_credentials(self) -> UserPass | None:
        """Return the credentials for one connection; None: connect without any."""
        if self.credential_provider is not None:
            asked = f"{type(self.credential_provider).__name__}.get_credentials"
            try:
                found = await self.credential_provider.get_credentials()
            except asyncio.CancelledError as error:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                # The provider waited for something that others have cancelled.
                raise RuntimeError(f"{asked} raised CancelledError; nobody cancelled it") from error
            if not (hasattr(found, "username") and hasattr(found, "password")):
                raise TypeError(
                    f"{asked} returned {type(found).__name__}: it must return a "
                    "UserPass(username, password)"
                )
            return found
        if self.username or self.password:
            return UserPass(self.username or "default", self.password or "")
        return None


def problems_of_seconds(**values: Any) -> list[str]:
    """Return an error text for each value that is neither None nor a positive number."""
    return [
        f"{name} must be more than 0 seconds, or None for no limit, not {value!r}"
        for name, value in values.items()
        if value is not None and not (is_number(value) and value > 0)
    ]


def check_limits(
    *, max_connections: Any, timeout: float | None, max_idle_time: float | None
) -> None:
    """Raise ValueError for limits of a pool that have no meaning."""
    problems = problems_of_seconds(timeout=timeout, max_idle_time=max_idle_time)
    if not (is_whole(max_connections) and max_connections >= 1):
        problems.append(f"max_connections must be 1 or more, not {max_connections!r}")
    if problems:
        raise ValueError("; ".join(problems))


def one_timeout(timeout: float | None, pool_timeout: float | None) -> float | None:
    """Return the limit that a pool was given under either of its two names.

    Raises:
        ValueError: both are given.
    """
    given = [each for each in (timeout, pool_timeout) if each != DEFAULT_POOL_TIMEOUT]
    if len(given) > 1:
        raise ValueError("timeout and pool_timeout are the same option: give one of them")
    return given[0] if given else DEFAULT_POOL_TIMEOUT


def _problems_of_place(location: Any, ssl_context: Any) -> Iterator[str]:
    match location:
        case TCPLocation(host=host, port=port):
            if not isinstance(host, str) or not host:
                yield f"host must be a name or an address, as str, not {host!r}"
            if not (is_whole(port) and 0 < port < 65536):
                yield f"port must be a number from 1 to 65535, not {port!r}"
        case UnixDomainSocketLocation(path=path):
            if not isinstance(path, str) or not path:
                yield f"the path of a unix socket must be a str, not {path!r}"
            if ssl_context is not None:
                yield "servers speak no TLS on unix sockets: leave out ssl and ssl_*"
        case _:
            yield f"location must be a TCPLocation or UnixDomainSocketLocation, not {location!r}"
    if ssl_context is not None and not isinstance(ssl_context, tls.SSLContext):
        yield f"ssl_context must be an ssl.SSLContext, not {ssl_context!r}"


def _problems_of_encoding(encoding: Any) -> Iterator[str]:
    try:
        codecs.lookup(encoding)
    except (LookupError, TypeError):
        yield f"encoding {encoding!r} is unknown to Python"
        return
    try:
        contains_ascii = _PRINTABLE.encode(encoding) == _PRINTABLE.encode("ascii")
    except (LookupError, UnicodeError):  # an encoding of bytes, base64 for instance
        contains_ascii = False
    if not contains_ascii:
        # Command names in this encoding would not be the bytes that servers know.
        yield f"encoding {encoding!r} does not contain ASCII: use utf-8 or latin-1, for instance"


def _printable(name: str) -> bool:
    return isinstance(name, str) and all("!" <= char <= "~" for char in name)
