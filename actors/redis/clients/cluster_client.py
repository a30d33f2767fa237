"""How the client of a cluster sends commands."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, AnyStr

from actors.redis import exceptions
from actors.redis.clients.base_client import BaseClient
from actors.redis.clients.gathering import Gathering, gathering
from actors.redis.cluster.cluster_pool import ClusterConnectionPool
from actors.redis.cluster.key_routing import Route, Scope, route
from actors.redis.cluster.node_batches import NodeBatches, connect_to_owners, transaction_call
from actors.redis.cluster.redirects import MayHaveRunError, RedirectingCall, Seen
from actors.redis.history.script import with_text
from actors.redis.shared.command_kinds import blocking_seconds
from actors.redis.shared.transaction import results_of
from actors.redis.topology.model import Node
from actors.redis.topology.slots import key_slot
from actors.redis.wire.resp import Argument, pack, words


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
            UnansweredError: the connection was lost before the reply came: the node may have
                executed the command or not.
            ReplyTimeoutError: no reply within ``stream_timeout``; the same is true.
            ConnectionError, TimeoutError: there is no connection; the command was not sent.
            DataError: an argument is no str, bytes, int or float, the key is missing, or the
                command changes the state of its connection.
        """
        args = words(args)
        blocking = blocking_seconds(args)
        if node is None and slot is None:
            together = gathering(args)
            if together is not None:
                return await self._gather(together, args)
        to = route(args, self.connection_pool.encoding, node=node, slot=slot)
        return await self._run(args, to, repeatable=False, blocking=blocking)

    async def _execute(self, args: tuple[Argument, ...]) -> Any:
        to = route(args, self.connection_pool.encoding)
        return await self._run(args, to, repeatable=False)

    async def _query(self, *args: Argument) -> Any:
        together = gathering(args)
        if together is not None:
            return await self._gather(together, args)
        return await self._run(args, route(args, self.encoding), repeatable=True)

    async def _run(
        self,
        args: tuple[Argument, ...],
        to: Route,
        *,
        repeatable: bool,
        blocking: float | None = None,
    ) -> Any:
        pool = self.connection_pool
        command = pack(args, pool.settings.encoding)
        seen: Seen | None = None
        if to.slot is not None and blocking is None and not self.noreply:
            owner = pool.shared_by_owner(to.slot)
            if owner is not None:
                try:
                    return self._decoded(await owner.shared.submit(command))
                except Exception as error:
                    seen = owner.address, error
        call = RedirectingCall(
            pool, args, to, repeatable=repeatable, noreply=self.noreply, blocking=blocking
        )
        return self._decoded(await self._go_on(call, seen))

    async def _execute_on_replicas(
        self, args: tuple[Argument, ...], replicas: int
    ) -> tuple[Any, Any]:
        pool = self.connection_pool
        to = route(args, pool.encoding)
        call = RedirectingCall(
            pool, args, to, repeatable=False, noreply=False, blocking=0, replicas=replicas
        )
        pair: tuple[Any, Any] = await self._go_on(call, None)
        return pair

    async def _go_on(self, call: RedirectingCall, seen: Seen | None) -> Any:
        """Make the attempts of ``call`` that are left after what has been ``seen``."""
        call.seen = seen
        try:
            return await self.retry_policy.call_with_retries(
                call.attempt, failure_hook=call.recover
            )
        except MayHaveRunError as wrapper:
            final = wrapper.error
        raise final

    async def _execute_all(
        self, commands: list[tuple[Argument, ...]], *, transaction: bool = False
    ) -> list[Any]:
        pool = self.connection_pool
        routes = [route(args, pool.encoding) for args in commands]
        packed = [pack(args, pool.settings.encoding) for args in commands]
        if transaction and packed:
            call = transaction_call(pool, packed, routes, noreply=self.noreply)
            results = await self._go_on(call, None)
            return [None] * len(packed) if self.noreply else results_of(results)
        await connect_to_owners(pool, routes)
        batches = NodeBatches(pool, packed, routes, noreply=self.noreply)
        replies = await batches.send()

        async def finish(number: int, seen: Seen | None) -> None:
            # The node may have the script of a history no more than it has the slot.
            args, to = with_text(commands[number]), routes[number]
            try:
                if gathering(args) is not None:
                    replies[number] = await self._query(*args)
                else:
                    call = RedirectingCall(pool, args, to, repeatable=False, noreply=self.noreply)
                    replies[number] = await self._go_on(call, seen)
            except Exception as error:
                replies[number] = error

        await asyncio.gather(*(finish(number, seen) for number, seen in batches.unfinished()))
        return replies

    async def _gather(self, together: Gathering, args: tuple[Argument, ...]) -> Any:
        nodes = together.nodes(self.connection_pool.topology)
        if not nodes:
            raise exceptions.ClusterDownError("no node is known that could be asked")
        replies = await asyncio.gather(
            *(self._run(args, Route(Scope.NODE, node=node.id), repeatable=True) for node in nodes),
            return_exceptions=True,
        )
        good: list[Any] = []
        for node, reply in zip(nodes, replies, strict=True):
            if not isinstance(reply, BaseException):
                good.append(reply)
            elif not self._gone(node, reply):
                raise reply
        return together.combine(reply for reply in good if reply is not None)

    def _group_of(self, key: bytes) -> int:
        return key_slot(key)

    def _gone(self, node: Node, error: BaseException) -> bool:
        """Whether ``node`` could not be reached and other nodes, asked since, call it failing."""
        now = self.connection_pool.topology.nodes.get(node.id)
        unreachable = isinstance(error, exceptions.ConnectionError | TimeoutError)
        return unreachable and (now is None or now.failing)

    def __repr__(self) -> str:
        nodes = ", ".join(map(str, self.connection_pool.startup_nodes))
        return f"<{type(self).__name__} of {nodes}>"
