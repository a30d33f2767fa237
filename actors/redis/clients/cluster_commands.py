"""The commands of a cluster's client: sent to the right node, or to all that have a part of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, AnyStr, Final

from actors.redis import exceptions
from actors.redis.clients.commands import Commands
from actors.redis.cluster.cluster_pool import ClusterConnectionPool
from actors.redis.cluster.key_routing import route, words
from actors.redis.cluster.redirects import MayHaveRunError, RedirectingCall
from actors.redis.exceptions import ClusterDownError
from actors.redis.topology.model import Node, Topology
from actors.redis.wire.resp import Argument, decode
from supervisor.retry_policy import RetryPolicy

__all__ = ["ClusterCommands"]


class ClusterCommands(Commands[AnyStr]):
    """Mixin: executes the commands on a cluster.

    PUBSUB is answered by several nodes together, whichever way it is sent. Subscribers of plain
    channels and patterns may be connected to any node: CHANNELS, NUMSUB and NUMPAT are the union
    and the sums over all nodes (NUMPAT counts a pattern once for each node that has it).
    SHARDCHANNELS and SHARDNUMSUB ask the primaries, so subscribers on replicas are not counted.
    Nodes that are failing, as other nodes say, are left out: nobody listens there.
    """

    connection_pool: ClusterConnectionPool
    retry_policy: RetryPolicy
    noreply: bool

    async def execute_command(
        self, *args: Argument, node: str | None = None, slot: int | None = None
    ) -> Any:
        """Send a command to the node it is for and return its reply.

        That is the owner of the slot of its first key, see :mod:`actors.redis.cluster.key_routing`;
        any node for a command without keys. PUBLISH goes to any primary, mostly to that of the
        channel's slot.

        Args:
            args: the command's name, which may be of several words, and its arguments.
            node: the id of the node to send it to, whatever its key; it is not redirected then.
            slot: the slot whose owner to send it to.

        Raises:
            RedisError: what the server answered, as its class.
            ClusterDownError: no node serves the slot at the moment.
            ConnectionError: no connection, or it was lost before the reply came: whether the
                command was executed is then not known.
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
            gathering = _gathering(args)
            if gathering is not None:
                return await self._gather(gathering, args)
        pool = self.connection_pool
        to = route(args, pool.encoding, node=node, slot=slot)
        dispatch = RedirectingCall(pool, args, to, repeatable=repeatable, noreply=self.noreply)
        try:
            reply = await self.retry_policy.call_with_retries(
                dispatch.attempt, failure_hook=dispatch.recover
            )
        except MayHaveRunError as wrapper:
            error = wrapper.error
        else:
            return decode(reply, pool.encoding) if pool.decode_responses else reply
        raise error

    async def _gather(self, gathering: _Gathering, args: tuple[Argument, ...]) -> Any:
        nodes_of, combine = gathering
        topology = self.connection_pool.topology
        nodes = [n for n in nodes_of(topology) if n.addressable and not n.failing]
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
        return combine(reply for reply in good if reply is not None)

    def _gone(self, node: Node, error: BaseException) -> bool:
        """Whether ``error`` is one of a node that the others, asked since then, call failing."""
        now = self.connection_pool.topology.nodes.get(node.id)
        unreachable = isinstance(error, exceptions.ConnectionError | TimeoutError)
        return unreachable and (now is None or now.failing)


# --- Commands of several nodes --------------------------------------------------------------------

_Gathering = tuple[Callable[[Topology], Iterable[Node]], Callable[[Iterable[Any]], Any]]


def _all_nodes(topology: Topology) -> Iterable[Node]:
    return topology.nodes.values()


def _primaries(topology: Topology) -> Iterable[Node]:
    return topology.primaries


def _union(replies: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(name for reply in replies for name in reply))


def _sums(replies: Iterable[Any]) -> dict[Any, int]:
    counts: Counter[Any] = Counter()
    for reply in replies:
        flat = iter(reply)
        named = reply.items() if isinstance(reply, Mapping) else zip(flat, flat, strict=True)
        for name, count in named:
            counts[name] += count
    return dict(counts)


_GATHERINGS: Final[dict[str, _Gathering]] = {
    "CHANNELS": (_all_nodes, _union),
    "NUMPAT": (_all_nodes, sum),
    "NUMSUB": (_all_nodes, _sums),
    "SHARDCHANNELS": (_primaries, _union),
    "SHARDNUMSUB": (_primaries, _sums),
}


def _gathering(args: tuple[Argument, ...]) -> _Gathering | None:
    upper = [
        (word.decode("ascii", "replace") if isinstance(word, bytes) else str(word)).upper()
        for word in args[:2]
    ]
    return _GATHERINGS.get(upper[1]) if upper[:1] == ["PUBSUB"] and len(upper) == 2 else None
