"""The nodes that say no to new connections, and what follows for their readers.

One node may refuse what the others accept: the user is missing in its access list, its password was
changed before the others', or a stranger has its address by now. That costs this node: its reader
asks again after a pause, which grows. The pub/sub object gives up when every node that could serve
says no (P3).
"""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Final

import msgspec

from actors.pubsub.table.state import NodeId
from actors.redis.exceptions import AuthenticationError
from supervisor.log import get_logger
from supervisor.model.retry_session import Retry, Spent

log = get_logger("mailslot.pubsub")

#: Seconds until a node that said no is asked again: at first and at most.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 30.0
#: How often a server may refuse credentials that a provider made, before its "no" is one for good:
#: while credentials are rotated, one side knows the new ones before the other.
_FRESH_TRIES: Final = 5


class Refusal(msgspec.Struct, frozen=True):
    """The "no" of one node.

    Attributes:
        error: what the node said, and to what.
        since: when it said so first, in Unix seconds.
        times: how often it has said so.
        for_good: whether fresh credentials have been tried often enough, where there are any.
    """

    error: str
    since: float
    times: int
    for_good: bool


class RefusingNodes(msgspec.Struct):
    """Counts how often each node has said no since it last accepted a connection.

    Attributes:
        fresh: whether each connection gets credentials of its own, from a provider.
        nodes: the nodes whose latest answer was a "no".
    """

    fresh: bool
    nodes: dict[NodeId, Refusal] = msgspec.field(default_factory=dict)

    def note(self, node: NodeId, error: Exception) -> None:
        """Note that ``node`` said no to a new connection."""
        former = self.nodes.get(node)
        times = 1 if former is None else former.times + 1
        since = time.time() if former is None else former.since
        may_change = self.fresh and isinstance(error, AuthenticationError)
        for_good = not may_change or times >= _FRESH_TRIES
        self.nodes[node] = Refusal(str(error), since, times, for_good)

    def forget(self, node: NodeId) -> None:
        """Note that ``node`` accepted a connection, or is not asked any more."""
        if self.nodes.pop(node, None) is not None:
            log.info("node_refuses_no_longer", node=node)

    def after(self, node: NodeId, could_serve: Collection[NodeId]) -> Retry | Spent:
        """Return what follows the latest "no" of ``node``.

        Args:
            node: the node.
            could_serve: all nodes that targets can be subscribed on.
        """
        refusal = self.nodes[node]
        if self.all_refuse({node, *could_serve}):
            return Spent(refusal.times - 1)
        if refusal.times == 1:
            log.error(
                "node_refuses",
                node=node,
                error=refusal.error,
                next_try=f"after {_FIRST_PAUSE:g} s, and less often later",
                cure="let this user in at this node, too: servers do not share their access lists",
            )
        delay = min(_FIRST_PAUSE * 2.0 ** min(refusal.times - 1, 30), _LONGEST_PAUSE)
        return Retry(delay, refusal.times)

    def all_refuse(self, nodes: Collection[NodeId]) -> bool:
        """Whether each of ``nodes`` has said no for good."""
        return all(node in self.nodes and self.nodes[node].for_good for node in nodes)
