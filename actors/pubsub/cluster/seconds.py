"""Names of second connections: nodes of the table that are on a server which another one is on.

A move has its tries sent ahead on a connection of their own (see ``ahead``), so that nothing else
waits behind them. What is live there is live on the same server as what is live on the first one,
and delivers the same.
"""

from __future__ import annotations

from actors.pubsub.table.state import NodeId

__all__ = ["first_of", "is_second", "second_of"]

# In no node's id: these are hexadecimal.
_MARK = "~"


def second_of(node: NodeId) -> NodeId:
    """Return what the second connection to ``node`` is called."""
    return node + _MARK


def is_second(node: NodeId) -> bool:
    """Return whether this is a second connection."""
    return node.endswith(_MARK)


def first_of(node: NodeId) -> NodeId:
    """Return the cluster's node that a connection called ``node`` leads to."""
    return node.removesuffix(_MARK)
