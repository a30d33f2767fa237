"""Carries out what the table decides: commands to connections, routes, handovers, gap reports."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from actors.pubsub.connection.subscriber import Subscriber
from actors.pubsub.delivery.listening_clock import ListeningClock
from actors.pubsub.delivery.mailbox_writer import flush
from actors.pubsub.model.types import Kind, Target
from actors.pubsub.subscriptions.gap_reports import GapReports
from actors.pubsub.subscriptions.handovers import Handovers
from actors.pubsub.subscriptions.placement import Placement
from actors.pubsub.subscriptions.refusals import Refusals
from actors.pubsub.subscriptions.registry import SubscriptionRegistry
from actors.pubsub.subscriptions.routes import FeedRoutes
from actors.pubsub.table.state import (
    Command,
    GapEnded,
    Handover,
    NodeId,
    SetSource,
    Subscribe,
    Unsubscribe,
)
from actors.pubsub.table.table import Table

#: So many commands of the table are put into one write for each connection.
_SENT_TOGETHER = 1000

#: Targets that share one command to a server, by: subscribe or unsubscribe, node, kind, group, and
#: the one target of a command that must name no other.
_Batches = dict[tuple[bool, NodeId, Kind, int, Target | None], list[Target]]


class Sender:
    """The only place where commands of the table become effects.

    Args:
        registry: what is subscribed to.
        table: whose commands they are.
        subscribers: the connections, by node.
        placement: which targets may share a command, and how long a handover takes.
        refusals: targets that a node refused; each is asked for by a command of its own, so that a
            refusal costs the others nothing.
        loop: the event loop.
        clock: merges wait by this clock.
    """

    def __init__(
        self,
        registry: SubscriptionRegistry,
        table: Table,
        subscribers: Mapping[NodeId, Subscriber],
        placement: Placement,
        refusals: Refusals,
        loop: asyncio.AbstractEventLoop,
        clock: ListeningClock,
    ) -> None:
        self._registry = registry
        self._table = table
        self._subscribers = subscribers
        self._placement = placement
        self._refusals = refusals
        self.reports = GapReports(registry, loop)
        self.handovers = Handovers(loop, clock, self.end_handovers)
        self.routes = FeedRoutes(
            registry, table, subscribers, placement, clock, self._came_too_late
        )

    def execute(self, commands: list[Command]) -> None:
        """Carry out ``commands``, in order; subscriptions of one group share a command."""
        batches: _Batches = {}
        for number, command in enumerate(commands):
            target = command.target
            if batches and not number % _SENT_TOGETHER:
                # The server works on these while the next ones are made ready.
                self._send(batches)
                batches = {}
            # No match statement: this runs for each of thousands of confirmations.
            if isinstance(command, SetSource):
                self.routes.update(target)
            elif isinstance(command, GapEnded):
                self.reports.gap(command)
            elif isinstance(command, Subscribe):
                alone = target if target in self._refusals else None
                key = (True, command.node, target.kind, self._placement.group(target), alone)
                batches.setdefault(key, []).append(target)
            elif isinstance(command, Unsubscribe):
                key = (False, command.node, target.kind, self._placement.group(target), None)
                batches.setdefault(key, []).append(target)
                # What the node delivers counts no longer.
                self.routes.update_merged(target)
            else:
                self.routes.update(target)
                self.handovers.put(command, self._placement.linger(command))
        if batches:
            self._send(batches)

    def end_handovers(self, handovers: list[Handover]) -> None:
        """End ``handovers``: their new sources are alone from now on."""
        commands: list[Command] = []
        for one in handovers:
            row = self._table.rows.get(one.target)
            if row is not None and row.source == one.new:
                commands += self._table.handover_done(one.target, one.old)
        self.execute(commands)
        flush(self._registry.touched)

    def _send(self, batches: _Batches) -> None:
        for (subscribe, node, kind, _, _), targets in batches.items():
            subscriber = self._subscribers.get(node)
            if subscriber is None:
                continue
            names = [target.name for target in targets]
            # A node that imports the slot answers either command with MOVED unless it is asked.
            asking = self._placement.asking(node, targets[0])
            send = subscriber.subscribe if subscribe else subscriber.unsubscribe
            send(kind, names, asking=asking)
        # In the order of the places: the first one is the likeliest to be right.
        for node in dict.fromkeys(node for _, node, _, _, _ in batches):
            if node in self._subscribers:
                self._subscribers[node].send()

    def _came_too_late(self, target: Target, since: float, until: float, reason: str) -> None:
        self.reports.gap(GapEnded(target, since, until, reason))
