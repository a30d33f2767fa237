"""How the client of a cluster sends commands."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, AnyStr

from actors.redis import exceptions
from actors.redis.clients.base_client import BaseClient
from actors.redis.clients.gathering import Gathering, gathering
from actors.redis.cluster.cluster_pool import ClusterConnectionPool
from actors.redis.cluster.key_routing import route
from actors.redis.cluster.redirects import MayHaveRunError, RedirectingCall
from actors.redis.topology.model import Node
from actors.redis.wire.resp import Argument, decode, words


class RedisClusterClient(BaseClient[AnyStr]):
    """A client of a cluster.

    The client sends a command to the node that owns the command's key, and follows that node's
    MOVED or ASK. It sends a command again only while no node has surely executed it: the retry
    policy covers getting a connection, and the replies of a cluster that is changing (CLUSTERDOWN,
    TRYAGAIN, LOADING, MASTERDOWN). When the connection is lost after the command was sent, the
    client raises, because a message that is published twice is worse than one whose publisher knows
    that it may be lost. Commands that change nothing (ping, echo, pubsub_*) are retried as a whole,
    on another node where several can answer. Several nodes answer PUBSUB together, see
    :mod:`actors.redis.clients.gathering`.

    With ``noreply`` a command is lost that is sent to a node which no longer owns the slot.
    """

    connection_pool: ClusterConnectionPool

    def __init__(self, connection_pool: ClusterConnectionPool, options: Mapping[str, Any]) -> None:
        super().__init__(connection_pool, options)
        self.non_atomic_cross_slot: bool = options["non_atomic_cross_slot"]

    @property
    def read_from_replicas(self) -> bool:
        """Whether subscriptions go to replicas where there are any."""
        return self.connection_pool.read_from_replicas

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
            raise exceptions.ClusterDownError("no node is known that could be asked")
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
