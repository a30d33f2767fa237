"""The keywords of the client, for its overloads: spelled out once instead of three times."""

from __future__ import annotations

import ssl as tls
from os import PathLike
from typing import TypedDict

from actors.redis.config.credentials import AbstractCredentialProvider
from actors.redis.config.tls import CertReqs
from actors.redis.pools.connection_pool import ConnectionPool
from supervisor.retry_policy import RetryPolicy

__all__ = ["ClientOptions", "CommonOptions", "URLOptions"]


class CommonOptions(TypedDict, total=False):
    """What the constructor and ``from_url`` both take."""

    username: str | None
    password: str | None
    credential_provider: AbstractCredentialProvider | None
    stream_timeout: float | None
    connect_timeout: float | None
    pool_timeout: float | None
    encoding: str
    ssl_context: tls.SSLContext | None
    ssl_keyfile: str | None
    ssl_certfile: str | None
    ssl_cert_reqs: CertReqs | None
    ssl_check_hostname: bool | None
    ssl_ca_certs: str | None
    max_connections: int | None
    max_idle_time: float | None
    client_name: str | None
    verify_version: bool
    cache: None
    noreply: bool
    noevict: bool
    notouch: bool
    retry_policy: RetryPolicy | None
    type_adapter: None


class ClientOptions(CommonOptions, total=False):
    """The keywords of ``RedisClient`` without ``decode_responses``."""

    connection_pool: ConnectionPool | None
    connection_pool_cls: type[ConnectionPool]
    unix_socket_path: str | PathLike[str] | None
    ssl: bool


class URLOptions(CommonOptions, total=False):
    """The keywords of ``RedisClient.from_url`` without ``decode_responses``."""

    decode_components: bool
