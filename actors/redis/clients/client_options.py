"""The keywords of a client: each one's type, meaning and default; all else is made from these.

Type checkers read the TypedDicts. :func:`spelled_out` makes the signatures that
:func:`inspect.signature` shows. The keywords that reach each connection stand in
:mod:`actors.redis.config.settings`, with their checks.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields
from os import PathLike, fspath
from typing import Any, Final, TypeVar

from actors.redis.config.locations import Location, TCPLocation, UnixDomainSocketLocation
from actors.redis.config.settings import (
    DEFAULT_LOCATION,
    DEFAULT_POOL_TIMEOUT,
    ConnectionSettings,
    SharedOptions,
)
from actors.redis.config.tls import CertReqs, make_ssl_context
from actors.redis.config.url import SSL_OPTIONS
from actors.redis.exceptions import ConnectionError  # noqa: A004 - for the default policy
from actors.redis.pools.connection_pool import ConnectionPool
from supervisor.checks import no_option
from supervisor.model.retry_policy import ConstantRetryPolicy, RetryPolicy

#: The retry policy of a client that is given none.
DEFAULT_RETRY_POLICY: Final = ConstantRetryPolicy(
    (ConnectionError, TimeoutError), retries=2, delay=0.01
)


class CommonOptions(SharedOptions, total=False):
    """The keywords of both clients, and of their ``from_url``."""

    #: Seconds to wait for a connection; None: no limit.
    pool_timeout: float | None
    #: How many connections may be lent at the same time, to commands that block, subscriptions and
    #: callers of the pool; None: 64, for a cluster 32. All other commands share one for each node.
    max_connections: int | None
    #: Seconds after which an unused connection is closed; None: never.
    max_idle_time: float | None
    #: The private key of ``ssl_certfile``. This and the other ``ssl_*`` options need ``ssl=True``,
    #: or a ``rediss://`` or ``valkeys://`` URL: :func:`actors.redis.config.tls.make_ssl_context`.
    #: Files are read again after they have changed.
    ssl_keyfile: str | None
    #: The certificate to show to the server.
    ssl_certfile: str | None
    #: How to verify the server's certificate.
    ssl_cert_reqs: CertReqs | None
    #: Whether the server's certificate must name the host; None: with a ``rediss://`` URL, and not
    #: with ``ssl=True``.
    ssl_check_hostname: bool | None
    #: File or folder of the authorities to trust besides those of the system.
    ssl_ca_certs: str | None
    #: Accepted for compatibility: the server's version is never verified.
    verify_version: bool
    #: Not supported, must be None.
    cache: None
    #: Decides how often the client tries again, and when; None: it never does. What the client may
    #: try again at all, its class says.
    retry_policy: RetryPolicy | None
    #: Not supported, must be None.
    type_adapter: None


class ClientOptions(CommonOptions, total=False):
    """The keywords of ``Redis`` without ``decode_responses``."""

    #: A pool to use. The pool's own options then count, and the client's are ignored.
    connection_pool: ConnectionPool | None
    #: The class of the pool that the client makes where it is given none.
    connection_pool_cls: type[ConnectionPool]
    #: Connect to this unix socket instead of host and port.
    unix_socket_path: str | PathLike[str] | None
    #: Speak TLS. ``ssl_context`` alone means TLS, too.
    ssl: bool


class URLOptions(CommonOptions, total=False):
    """The keywords of ``Redis.from_url`` without ``decode_responses``."""

    #: Undo the %-encoding of user, password, host and path.
    decode_components: bool


def defaults_of(options: type, **others: Any) -> dict[str, Any]:
    """Return the default of each keyword of ``options``, a TypedDict.

    A keyword that is none of ``others`` has the default of ConnectionSettings, or None.
    """
    defaults = {field.name: field.default for field in fields(ConnectionSettings)}
    defaults |= {"pool_timeout": DEFAULT_POOL_TIMEOUT, **others}
    return {name: defaults.get(name) for name in options.__annotations__}


#: The default of each keyword of ClientOptions.
CLIENT_DEFAULTS: Final = defaults_of(
    ClientOptions,
    connection_pool_cls=ConnectionPool,
    ssl=False,
    verify_version=True,
    retry_policy=DEFAULT_RETRY_POLICY,
)


# --- The signature ----------------------------------------------------------------------------

F = TypeVar("F", bound=Callable[..., Any])


def spelled_out(
    options: type, defaults: Mapping[str, Any], *, hidden: Collection[str] | None = None
) -> Callable[[F], F]:
    """Spell out the ``**options`` of a function in its signature.

    Args:
        options: the TypedDict with the keywords.
        defaults: the default of each keyword.
        hidden: keywords for which ``**options`` stays; None: there are none, and it goes.
    """

    def spell(function: F) -> F:
        *own, rest = inspect.signature(function).parameters.values()
        keywords = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=defaults[name],
                # A TypedDict keeps the text of an annotation in a ForwardRef.
                annotation=getattr(annotation, "__forward_arg__", annotation),
            )
            for name, annotation in options.__annotations__.items()
            if name not in (hidden or ())
        ]
        more = [] if hidden is None else [rest.replace(annotation="Any")]
        function.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [*own, *keywords, *more], return_annotation="None"
        )
        return function

    return spell


# --- From a client to its pool ----------------------------------------------------------------

_SAME_IN_THE_POOL: Final = (*SharedOptions.__annotations__, "max_connections", "max_idle_time")


def pool_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keywords of the pool of a client with these ``options``, all of them.

    Raises:
        ValueError: the options for TLS contradict each other, or TLS is not asked for: to go on in
            plain text would be a surprise.
    """
    keywords = {name: options[name] for name in _SAME_IN_THE_POOL}
    keywords["timeout"] = options["pool_timeout"]
    tls = {name: options[name] for name in SSL_OPTIONS if options[name] is not None}
    if options["ssl_context"] is None and options["ssl"]:
        keywords["ssl_context"] = make_ssl_context(
            **{name.removeprefix("ssl_"): value for name, value in tls.items()}
        )
    elif options["ssl_context"] is None and tls:
        raise ValueError(
            f"{', '.join(tls)} without TLS: add ssl=True, or leave out what is for TLS only"
        )
    return keywords


def complete(options: ClientOptions) -> dict[str, Any]:
    """Return all options of a client: ``options``, and the defaults of the others.

    Raises:
        TypeError: there is no such option.
        NotImplementedError: ``cache`` or ``type_adapter`` is not None.
    """
    for name in options:
        if name not in CLIENT_DEFAULTS:
            raise TypeError(no_option("a client", name, CLIENT_DEFAULTS))
    refuse_unsupported(options)
    return {**CLIENT_DEFAULTS, **options}


def refuse_unsupported(options: Mapping[str, Any]) -> None:
    """Refuse what the reference API has and this library does not.

    Raises:
        NotImplementedError: ``cache`` or ``type_adapter`` is not None.
    """
    for name in ("cache", "type_adapter"):
        if options.get(name) is not None:
            raise NotImplementedError(
                f"{name} is not supported: this library is about Pub/Sub; leave it out"
            )


def make_pool(
    host: str | None, port: int | None, db: int, decode_responses: bool, options: Mapping[str, Any]
) -> ConnectionPool:
    """Return the pool of a client with these arguments; ``options`` are all others."""
    location: Location
    if options["unix_socket_path"] is not None:
        location = UnixDomainSocketLocation(fspath(options["unix_socket_path"]))
    else:
        port = DEFAULT_LOCATION.port if port is None else port
        location = TCPLocation(host or DEFAULT_LOCATION.host, port)
    pool: ConnectionPool = options["connection_pool_cls"](
        location=location, db=db, decode_responses=decode_responses, **pool_options(options)
    )
    return pool
