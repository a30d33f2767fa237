"""The same names on several nodes: what follows when a node joins them, or leaves."""

from __future__ import annotations

from collections.abc import Collection

from actors.pubsub.delivery.mailbox_writer import flush
from actors.pubsub.model.types import Kind, NodeTarget
from actors.pubsub.subscriptions.reconciler import Reconciler
from actors.pubsub.subscriptions.registry import Subscription
from actors.pubsub.table.state import Command, GapEnded, Unsubscribe


def spread(reconciler: Reconciler, nodes: Collection[str], since: float, now: float) -> None:
    """Have every name of ``reconciler`` subscribed on each of ``nodes``, and on no other node.

    Args:
        reconciler: of a pub/sub object whose targets are :class:`NodeTarget`.
        nodes: the nodes.
        since: what a node sent after this time is missed, where the node is new.
        now: the loop's time.
    """
    names: dict[tuple[Kind, bytes], Subscription] = {}
    gone: list[NodeTarget] = []
    there: set[tuple[Kind, bytes, str]] = set()
    for target, subscription in reconciler.registry.subscriptions.items():
        if not isinstance(target, NodeTarget):
            continue
        if not subscription.draining:
            names.setdefault((target.kind, target.name), subscription)
            there.add((target.kind, target.name, target.node))
        if target.node not in nodes:
            gone.append(target)
    for (kind, name), subscription in names.items():
        for node in nodes:
            if (kind, name, node) not in there:
                _join(reconciler, subscription.on(NodeTarget(kind, name, node)), node, since)
    # After that, so that a handler has a subscription all the time.
    for target in gone:
        _leave(reconciler, target, now)
    flush(reconciler.registry.touched)


def _join(reconciler: Reconciler, subscription: Subscription, node: str, since: float) -> None:
    target, table = subscription.target, reconciler.table
    reconciler.registry.put(subscription)
    commands = table.want(target, (node,))
    table.open_gap(target, since, "a primary that was none before")
    reconciler.sender.execute(commands)


def _leave(reconciler: Reconciler, target: NodeTarget, now: float) -> None:
    """Give up ``target``: its node is no primary any more, and its connection will end."""
    row = reconciler.table.rows.get(target)
    commands: list[Command] = []
    if row is not None and row.gap_since is not None:
        commands.append(GapEnded(target, row.gap_since, now, f"{row.gap_reason}; no primary now"))
    # No UNSUBSCRIBE is sent: nobody asked for the end of a subscription, and none is confirmed.
    unwanted = reconciler.table.unwant(target)
    commands += [command for command in unwanted if not isinstance(command, Unsubscribe)]
    reconciler.sender.execute(commands)
    reconciler.registry.drop(target)
    reconciler.refusals.forgive(target)
    reconciler.calls.subscribing.done(target)
    reconciler.calls.unsubscribing.done(target)
