"""The client of a cluster, without Pub/Sub."""

from __future__ import annotations

import asyncio
from typing import Any, AnyStr, Unpack

from actors.redis import exceptions
from actors.redis.clients.base_client import BaseClient
from actors.redis.clients.client_options import pool_options, spelled_out
from actors.redis.clients.cluster_client_options import (
    CLUSTER_CLIENT_DEFAULTS,
    DEFAULT_CLUSTER_RETRY_POLICY,
    HIDDEN,
    ClusterClientOptions,
    ClusterPoolOptions,
    refuse,
)
from actors.redis.clients.gathering import Gathering, gathering
from actors.redis.cluster.cluster_pool import ClusterConnectionPool
from actors.redis.cluster.key_routing import route
from actors.redis.cluster.redirects import MayHaveRunError, RedirectingCall
from actors.redis.exceptions import ClusterDownError
from actors.redis.topology.model import Node
from actors.redis.wire.resp import Argument, decode, words
from supervisor.retry_policy import RetryPolicy

__all__ = ["RedisClusterClient"]


class RedisClusterClient(BaseClient[AnyStr]):
    """A client of a Redis or Valkey cluster; use it as an async context manager.

    The client sends a command to the node that owns the command's key, and follows that node's
    MOVED or ASK. It sends a command again only while no node has surely executed it: the retry
    policy covers getting a connection, and the replies of a cluster that is changing (CLUSTERDOWN,
    TRYAGAIN, LOADING, MASTERDOWN). When the connection is lost after the command was sent, the
    client raises, because a message that is published twice is worse than one whose publisher knows
    that it may be lost. Commands that change nothing (ping, echo, pubsub_*) are retried as a whole,
    on another node where several can answer. Several nodes answer PUBSUB together, see
    :mod:`actors.redis.clients.gathering`.

    With ``noreply`` a command is lost that is sent to a node which no longer owns the slot.

    Args:
        host: where one node of the cluster listens, with ``port``.
        port: see ``host``.
        decode_responses: return str instead of bytes; a reply that is no text stays bytes.
        options: see ClusterClientOptions and, for those that each connection gets,
            ConnectionSettings. ``cache``, ``type_adapter`` and ``client_name`` must be None, ``db``
            must be 0.

    Raises:
        ValueError: an option has no meaning.
        NotImplementedError: ``cache`` or ``type_adapter`` is given.
        TypeError: there is no such option.
    """

    connection_pool: ClusterConnectionPool

    @spelled_out(ClusterClientOptions, CLUSTER_CLIENT_DEFAULTS, hidden=HIDDEN)
    def __init__(
        self,
        host: str | None = None,
        port: int | None = None,
        *,
        decode_responses: bool = False,
        **options: Unpack[ClusterClientOptions],
    ) -> None:
        refuse(options)
        every: dict[str, Any] = {**CLUSTER_CLIENT_DEFAULTS, **options}
        pool = every["connection_pool"]
        if pool is None:
            pool = every["connection_pool_cls"](
                host=host,
                port=port,
                decode_responses=decode_responses,
                read_from_replicas=every["read_from_replicas"] or every["readonly"],
                **{name: every[name] for name in ClusterPoolOptions.__annotations__},
                **pool_options(every),
            )
        super().__init__(pool, every)
        self.non_atomic_cross_slot: bool = every["non_atomic_cross_slot"]

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        decode_responses: bool = False,
        decode_components: bool = False,
        noreply: bool = False,
        readonly: bool = False,
        read_from_replicas: bool = False,
        non_atomic_cross_slot: bool = True,
        verify_version: bool = True,
        cache: None = None,
        retry_policy: RetryPolicy | None = DEFAULT_CLUSTER_RETRY_POLICY,
        type_adapter: None = None,
        **options: Any,
    ) -> RedisClusterClient[Any]:
        """Return a client of the cluster that ``url`` names a node of.

        An option in the URL's query overrules the argument.

        Args:
            url: ``redis://[[user]:password@]host[:port][?option=value&...]``, ``rediss://`` for
                TLS.
            decode_components: undo the %-encoding of user, password and host.
            options: those of the client and of ClusterConnectionPool, except ``host`` and ``port``:
                the URL says where the first node is, ``startup_nodes`` where others are.

        Raises:
            ValueError: the URL or an option has no meaning; says what is allowed.
        """
        pool = ClusterConnectionPool.from_url(
            url,
            decode_components=decode_components,
            decode_responses=decode_responses,
            noreply=noreply,
            read_from_replicas=read_from_replicas or readonly,
            **options,
        )
        return cls(
            connection_pool=pool,
            verify_version=verify_version,
            cache=cache,
            non_atomic_cross_slot=non_atomic_cross_slot,
            noreply=noreply,
            retry_policy=retry_policy,
            type_adapter=type_adapter,
        )

    @property
    def read_from_replicas(self) -> bool:
        """Whether subscriptions go to replicas where there are any."""
        return self.connection_pool.read_from_replicas

    # --- Commands ---------------------------------------------------------------------------------

    async def execute_command(
        self, *args: Argument, node: str | None = None, slot: int | None = None
    ) -> Any:
        """Send a command to the node it is for and return its reply.

        That node is the owner of the slot of the command's first key, see
        :mod:`actors.redis.cluster.key_routing`; any node for a command without keys. PUBLISH goes
        to any primary, mostly to that of the channel's slot.

        Args:
            args: the command's name, which may be of several words, and its arguments.
            node: the id of the node to send the command to, whatever its key; a redirection is then
                raised and not followed.
            slot: the slot whose owner to send the command to.

        Raises:
            RedisError: the server's error reply, as the class of its code.
            ClusterDownError: no node serves the slot at the moment.
            ConnectionError: there is no connection, or it was lost before the reply came: the
                node may have executed the command or not.
            TimeoutError: no connection, or no reply, in time.
            DataError: an argument is no str, bytes, int or float, or the key is missing.
        """
        return await self._run(args, node, slot, repeatable=False)

    async def _query(self, *args: Argument) -> Any:
        return await self._run(args, None, None, repeatable=True)

    async def _run(
        self, args: tuple[Argument, ...], node: str | None, slot: int | None, *, repeatable: bool
    ) -> Any:
        args = words(args)
        if node is None and slot is None:
            together = gathering(args)
            if together is not None:
                return await self._gather(together, args)
        pool = self.connection_pool
        to = route(args, pool.encoding, node=node, slot=slot)
        call = RedirectingCall(pool, args, to, repeatable=repeatable, noreply=self.noreply)
        try:
            reply = await self.retry_policy.call_with_retries(
                call.attempt, failure_hook=call.recover
            )
        except MayHaveRunError as wrapper:
            error = wrapper.error
        else:
            return decode(reply, pool.encoding) if pool.decode_responses else reply
        raise error

    async def _gather(self, together: Gathering, args: tuple[Argument, ...]) -> Any:
        nodes = together.nodes(self.connection_pool.topology)
        if not nodes:
            raise ClusterDownError("no node is known that could be asked")
        replies = await asyncio.gather(
            *(self._run(args, node.id, None, repeatable=True) for node in nodes),
            return_exceptions=True,
        )
        good: list[Any] = []
        for node, reply in zip(nodes, replies, strict=True):
            if not isinstance(reply, BaseException):
                good.append(reply)
            elif not self._gone(node, reply):
                raise reply
        return together.combine(reply for reply in good if reply is not None)

    def _gone(self, node: Node, error: BaseException) -> bool:
        """Whether ``node`` could not be reached and other nodes, asked since, call it failing."""
        now = self.connection_pool.topology.nodes.get(node.id)
        unreachable = isinstance(error, exceptions.ConnectionError | TimeoutError)
        return unreachable and (now is None or now.failing)

    def __repr__(self) -> str:
        nodes = ", ".join(map(str, self.connection_pool.startup_nodes))
        return f"<{type(self).__name__} of {nodes}>"
