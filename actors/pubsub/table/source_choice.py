"""Which of several live nodes is a target's source, and which nodes can be left (pure, P7)."""

from __future__ import annotations

from actors.pubsub.table.state import Command, Handover, NodeId, NodeStatus, SetSource, TargetState

#: An attribute of an enumeration is looked up by a function.
_LIVE = NodeStatus.LIVE


def choose_source(row: TargetState, commands: list[Command]) -> None:
    """Choose the source of the row's target; put what has to be done for that into ``commands``."""
    old = row.source
    best = _best_source(row)
    if row.leaving is not None and not row.feeds(row.leaving):
        row.leaving = None
        if best is not None and row.feeds(old):
            commands.append(SetSource(row.target, old))
    if best == old:
        return
    if best is not None and row.feeds(old) and row.leaving is None:
        assert old is not None
        row.source, row.leaving = best, old
        commands.append(Handover(row.target, old, best))
    elif best is not None and row.leaving not in (None, best) and not row.feeds(old):
        # The node in between is gone. What the first one has yet to deliver is still used.
        assert row.leaving is not None
        row.source = best
        commands.append(SetSource(row.target, row.leaving))
        commands.append(Handover(row.target, row.leaving, best))
    elif best is None or not row.feeds(old):
        row.source, row.leaving = best, None
        commands.append(SetSource(row.target, best))
    # Else a handover is under way: the next one begins when it is done.


def is_surplus(row: TargetState, node: NodeId) -> bool:
    """Whether the target need not be live on ``node``: no place, and neither source nor leaving."""
    if not row.wanted:
        return True
    return node not in row.places and node not in (row.source, row.leaving)


def _best_source(row: TargetState) -> NodeId | None:
    if row.wanted:
        # Called for each of thousands of confirmations: the usual case first, without a tuple.
        nodes = row.nodes
        for node in row.places:
            if nodes.get(node) is _LIVE:
                return node
        for node, actual in nodes.items():
            if actual is _LIVE:
                return node
        return None
    if not row.draining:
        return None
    # A target that drains stays where it is: its nodes deliver to the end.
    candidates = (row.source, row.leaving, *row.nodes)
    return next((node for node in candidates if row.feeds(node)), None)
