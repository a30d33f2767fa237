"""From an address to a client and its pub/sub objects."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from actors.pubsub.api.base import BasePubSub
from actors.pubsub.handlers.handler import Handler
from actors.pubsub.model.types import Kind
from actors.redis.config.cluster_url import CLUSTER_OPTIONS
from actors.redis.config.locations import TCPLocation
from actors.redis.config.url import parse_url
from actors.redis.exceptions import ConnectionError, RedisClusterError  # noqa: A004
from supervisor import CompositeRetryPolicy, ExponentialBackoffRetryPolicy, NoRetryPolicy

#: A worker survives every outage: it reconnects for as long as that takes.
DEFAULT_RETRY_POLICY: Final = CompositeRetryPolicy(
    ExponentialBackoffRetryPolicy(
        (ConnectionError, TimeoutError), retries=None, base_delay=0.1, max_delay=5, jitter=True
    )
)

#: A host, or an IPv6 address in brackets, and perhaps a port.
_HOST: Final = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(:\d+)?")

_FIRST_DELAY, _MOST_DELAY = 0.1, 5.0
# Seconds for an attempt to end by itself: its error says more than that time is up.
_GRACE: Final = 0.5

#: A node of a cluster: a URL, ``host:port``, or host and port.
Address: TypeAlias = str | tuple[str, int]

#: Handlers by kind, and by name.
Subscriptions: TypeAlias = Mapping[Kind, Mapping[Any, Handler]]


class Broker(msgspec.Struct, frozen=True):
    """The address of a server or cluster, and the options of its client."""

    where: str | Sequence[Address]  # a URL, or nodes of a cluster
    # whether a URL is a cluster's; None: only a list of nodes is a cluster
    cluster: bool | None = None
    options: Mapping[str, Any] = {}  # of the client

    @property
    def is_cluster(self) -> bool:
        """Whether this is a cluster."""
        return not isinstance(self.where, str) if self.cluster is None else self.cluster

    def at(self, where: str | Sequence[Address], cluster: bool | None = None) -> Broker:
        """Return the same at another address; ``cluster=None``: a cluster stays a cluster."""
        if cluster is None:
            cluster = self.is_cluster or self.cluster
        return msgspec.structs.replace(self, where=where, cluster=cluster)

    def problems(self) -> list[str]:
        """Return what is wrong with the address or the options, one sentence each."""
        try:
            self.client()
        except (ValueError, TypeError, NotImplementedError) as error:
            return [f"the client cannot be made: {error}"]
        return []

    def client(self) -> Any:
        """Return a client; entering it connects.

        Raises:
            ValueError, TypeError, NotImplementedError: the address or an option is wrong.
        """
        options = {"decode_responses": True, **self.options}
        if self.is_cluster:
            if not self._addresses:
                raise ValueError("an empty list of startup nodes: name one node at least")
            first, *others = self._addresses
            if others:
                options["startup_nodes"] = [_location(address) for address in others]
            # A worker loads the client that it uses: with one server nothing of a cluster.
            from actors.cluster import RedisCluster  # noqa: PLC0415

            return RedisCluster.from_url(_url(first), **options)
        if not isinstance(self.where, str):
            raise ValueError("several nodes are a cluster: leave cluster=False out, or give a URL")
        from actors.client import Redis  # noqa: PLC0415 - as above

        return Redis.from_url(self.where, **options)

    def pubsubs(
        self,
        client: Any,
        subscriptions: Subscriptions,
        options: Mapping[str, Any],
        *,
        gated: bool = False,
    ) -> list[BasePubSub[Any]]:
        """Return up to two pub/sub objects: one for shard channels, one for everything else.

        They subscribe to ``subscriptions`` when they are entered, or with ``gated`` to none: then
        there is one at least.
        """
        made = []
        options, every_primary = dict(options), {}
        if options.pop("every_primary", False):
            every_primary = {"every_primary": True}  # clusters alone have this option
        channels, patterns, shards = (
            subscriptions.get(kind, {}) for kind in (Kind.CHANNEL, Kind.PATTERN, Kind.SHARD)
        )
        if channels or patterns or (gated and not shards):
            made.append(
                client.pubsub(
                    channel_handlers={} if gated else channels,
                    pattern_handlers={} if gated else patterns,
                    **every_primary,
                    **options,
                )
            )
        if shards:
            made.append(client.sharded_pubsub(channel_handlers={} if gated else shards, **options))
        return made

    @property
    def _addresses(self) -> Sequence[Address]:
        return [self.where] if isinstance(self.where, str) else self.where

    def __str__(self) -> str:
        return ", ".join(map(_without_password, self._addresses))

    def __repr__(self) -> str:
        # Names of options alone: among the values are passwords.
        return f"Broker({str(self)!r}, cluster={self.cluster}, options={sorted(self.options)})"


async def connect(broker: Broker, timeout: float | None) -> Any:
    """Return an entered client whose server answered PING within ``timeout`` seconds, if any.

    Raises:
        ConnectionError, TimeoutError, RedisClusterError: it did not; the last failure.
        RedisError: it answered with an error.
    """
    time = asyncio.get_running_loop().time
    deadline = math.inf if timeout is None else time() + timeout
    latest = None if timeout is None else deadline + _GRACE
    delay = _FIRST_DELAY
    while True:
        client = broker.client()
        # The attempts are counted here alone: those of the client would outlast the deadline.
        policy, client.retry_policy = client.retry_policy, NoRetryPolicy()
        try:
            async with asyncio.timeout_at(latest) as limit:
                await _answered(client)
        except (ConnectionError, TimeoutError, RedisClusterError) as error:
            if limit.expired():
                raise TimeoutError(
                    f"{broker} did not answer within {timeout} s (start_timeout)"
                ) from error
            left = deadline - time()
            if left <= 0:
                raise
            await asyncio.sleep(min(delay, left))
            delay = min(delay * 2, _MOST_DELAY)
        else:
            client.retry_policy = policy
            return client


async def _answered(client: Any) -> None:
    """Enter ``client``, and have its server answer; it is left again where that fails."""
    await client.__aenter__()
    try:
        await client.ping()
    except BaseException:
        await client.__aexit__(None, None, None)
        raise


def _url(address: Address) -> str:
    if isinstance(address, str) and "://" in address:
        return address
    return f"redis://{_location(address)}"


def _location(address: Address) -> TCPLocation:
    match address:
        case (str() as host, int() as port):
            return TCPLocation(host, port)
        case str() if "://" in address:
            location = parse_url(address, options=CLUSTER_OPTIONS).location
            if isinstance(location, TCPLocation):
                return location
        case str():
            name, _, number = address.rpartition(":")
            if name and number.isdecimal():
                return TCPLocation(name.strip("[]"), int(number))
    shown = _without_password(address)
    raise ValueError(f"{shown!r} is no node: write host:port, (host, port) or a URL")


def _without_password(address: Address) -> str:
    """Return an address to show, also one that is wrong: scheme, host, port and path."""
    if not isinstance(address, str):
        return f"redis://{address[0]}:{address[1]}"
    text = address if "://" in address else f"redis://{address}"
    scheme, _, rest = text.partition("://")
    where = rest.rpartition("@")[2].partition("?")[0].partition("#")[0]
    host, slash, path = where.partition("/")
    if not _HOST.fullmatch(host):  # a user and a password without a host, for instance
        host = "..."
    if path and scheme != "unix" and not path.isdecimal():  # no database: a password?
        path = "..."
    return f"{scheme}://{host}{slash}{path}"
