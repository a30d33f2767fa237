"""Reads the location and the options in a URL: redis://, rediss:// or unix://.

``valkey://`` and ``valkeys://`` are other spellings of ``redis://`` and ``rediss://``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Final, TypeAlias
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import msgspec

from actors.redis.config.locations import Location, TCPLocation, UnixDomainSocketLocation
from actors.redis.config.tls import make_ssl_context, verifies_nothing

#: Returns the value of an option, given its text; ValueError if the text has no meaning.
Parser: TypeAlias = Callable[[str], Any]

_TLS_SCHEMES: Final = ("rediss", "valkeys")
_SCHEMES: Final = ("redis", "rediss", "valkey", "valkeys", "unix")
_TRUE: Final = frozenset({"1", "t", "true", "y", "yes"})
_FALSE: Final = frozenset({"0", "f", "false", "n", "no"})
_NOT_A_URL: Final = (
    "the URL cannot be read: its port must be a number from 0 to 65535, and the characters "
    "# / ? [ ] @ : in user or password must be %-encoded, with decode_components=True"
)


_KINDS: Final[Mapping[Parser, str]] = {int: "must be a whole number", float: "must be a number"}


def parse_bool(text: str) -> bool:
    """Return the truth value that ``text`` names; ValueError if it names none."""
    lowered = text.lower()
    if lowered in _TRUE or lowered in _FALSE:
        return lowered in _TRUE
    raise ValueError("must be true or false")


#: The options in the URL of one server.
REDIS_OPTIONS: Final[Mapping[str, Parser]] = {
    "client_name": str,
    "connect_timeout": float,
    "db": int,
    "encoding": str,
    "max_connections": int,
    "max_idle_time": float,
    "noevict": parse_bool,
    "noreply": parse_bool,
    "notouch": parse_bool,
    "socket_keepalive": parse_bool,
    "stream_timeout": float,
    "timeout": float,
}

#: The options in a rediss:// or valkeys:// URL, besides the others.
SSL_OPTIONS: Final[Mapping[str, Parser]] = {
    "ssl_ca_certs": str,
    "ssl_cert_reqs": str,
    "ssl_certfile": str,
    "ssl_check_hostname": parse_bool,
    "ssl_keyfile": str,
}


#: Options that other libraries take in a URL, and this one as arguments.
_ARGUMENTS: Final = ("decode_responses", "retry_policy")


class ParsedURL(msgspec.Struct, frozen=True):
    """The content of a URL."""

    #: Where the server listens.
    location: Location
    #: Whether to speak TLS.
    tls: bool
    #: The options in the URL, user, password and db among them, and no others.
    options: dict[str, Any]

    def __repr__(self) -> str:
        return f"ParsedURL({self.location}, tls={self.tls}, options={sorted(self.options)})"


def parse_url(
    url: str, *, decode_components: bool = False, options: Mapping[str, Parser] = REDIS_OPTIONS
) -> ParsedURL:
    """Read ``url``.

    Args:
        url: ``redis://[[user]:password@]host[:port][/db][?option=value&...]``, ``rediss://`` for
            TLS, or ``unix://[[user]:password@]/path/of/socket[?option=value&...]``. ``valkey://``
            is the same as ``redis://``, and ``valkeys://`` as ``rediss://``.
        decode_components: undo the %-encoding of user, password, host and path.
        options: the name and parser of each option that may follow the question mark.

    Raises:
        ValueError: says what is wrong and what is allowed, never the password.
        TypeError: ``url`` is no str.
    """
    if not isinstance(url, str):
        raise TypeError(f"the URL must be a str, not {type(url).__name__}")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        # Without the cause, which quotes the port: an unencoded password can put a part of itself
        # there.
        raise ValueError(_NOT_A_URL) from None
    if parts.fragment:
        raise ValueError(_NOT_A_URL)
    if parts.scheme not in _SCHEMES:
        raise ValueError(
            f"unknown URL scheme {parts.scheme!r}: use one of "
            + ", ".join(f"{scheme}://" for scheme in _SCHEMES)
        )
    plain = unquote if decode_components else str
    tls = parts.scheme in _TLS_SCHEMES
    allowed = {**options, **SSL_OPTIONS} if tls else options
    found = _parse_query(parts, allowed)
    for name in ("username", "password"):
        value = getattr(parts, name)
        if value:
            found[name] = plain(value)
    path = plain(parts.path)
    if parts.scheme == "unix":
        return ParsedURL(_socket(parts, path), tls=False, options=found)
    if path.strip("/"):
        found.setdefault("db", _database(path.strip("/")))
    host = plain(parts.hostname or "localhost")
    return ParsedURL(TCPLocation(host, 6379 if port is None else port), tls, found)


def _parse_query(parts: SplitResult, allowed: Mapping[str, Parser]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, text in parse_qsl(parts.query, keep_blank_values=True):
        if name not in allowed:
            raise ValueError(_unknown(name, allowed))
        if name in found:
            raise ValueError(f"the URL option {name!r} is given twice")
        try:
            found[name] = allowed[name](text)
        except ValueError as error:
            # Without the value: the rest of a password with a question mark in it ends up here.
            kind = _KINDS.get(allowed[name], str(error))
            raise ValueError(f"the URL option {name!r} has a wrong value: it {kind}") from None
    return found


def _unknown(name: str, allowed: Iterable[str]) -> str:
    """Return what is wrong with the option ``name``, which may be a part of a password."""
    cure = f"use any of {', '.join(sorted(allowed))}"
    if name in SSL_OPTIONS:
        return f"unknown URL option {name!r} (of rediss:// and valkeys:// only): {cure}"
    if name in _ARGUMENTS:
        return f"{name!r} is no URL option, but an argument: from_url(url, {name}=...)"
    if get_close_matches(name, allowed, cutoff=0.7):
        return f"unknown URL option {name!r}: {cure}"
    return (
        f"unknown URL option, a name of {len(name)} characters that is like none of the known ones "
        f"and may be a part of a password (%-encode that, with decode_components=True): {cure}"
    )


def _socket(parts: SplitResult, path: str) -> UnixDomainSocketLocation:
    if parts.hostname or not path.strip("/"):
        raise ValueError(
            f"a unix:// URL needs the absolute path of a socket, unix:///run/redis.sock for "
            f"instance; here the host is {parts.hostname or ''!r} and the path {path!r}"
        )
    return UnixDomainSocketLocation(path)


def _database(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(
            "the URL's path must be the number of a database, /0 for instance; where it is a part "
            "of the password, that must be %-encoded, with decode_components=True"
        ) from None


def read_url(
    url: str,
    options: Mapping[str, Any],
    *,
    decode_components: bool,
    parsers: Mapping[str, Parser] = REDIS_OPTIONS,
    cure: str = "leave it out",
) -> tuple[Location, dict[str, Any]]:
    """Return the location in ``url``, and ``options`` overruled by the options in the URL.

    One ``ssl_context`` is returned instead of the other ``ssl_*`` options. The arguments are those
    of :func:`parse_url`, whose ``options`` are ``parsers`` here.

    Raises:
        ValueError: the URL or an option has no meaning; or an option says where to connect, as the
            URL does: ``cure`` is what to do instead.
    """
    names = ("host", "port", "location", "unix_socket_path")
    if given := [name for name in names if options.get(name) is not None]:
        raise ValueError(f"{', '.join(given)} beside a URL, which says where to connect: {cure}")
    parsed = parse_url(url, decode_components=decode_components, options=parsers)
    merged = {**options, **parsed.options}
    tls = {name: value for name in SSL_OPTIONS if (value := merged.pop(name, None)) is not None}
    if tls and not parsed.tls:
        raise ValueError(f"{', '.join(tls)} need TLS: use a rediss:// or valkeys:// URL")
    if parsed.tls and merged.get("ssl_context") is None:
        # A URL names the host that is meant. Without a look at the certificate there is no name.
        tls.setdefault("ssl_check_hostname", not verifies_nothing(tls.get("ssl_cert_reqs")))
        merged["ssl_context"] = make_ssl_context(
            **{name.removeprefix("ssl_"): value for name, value in tls.items()}
        )
    return parsed.location, merged
