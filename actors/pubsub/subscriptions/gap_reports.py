"""What a reconciler reports: gaps to the consumers of a target, and sums to the log."""

from __future__ import annotations

import asyncio
import time

from actors.pubsub.model.types import Gap, NodeTarget, Target
from actors.pubsub.subscriptions.registry import Subscription, SubscriptionRegistry
from actors.pubsub.table.state import GapEnded, NodeId
from actors.redis.exceptions import RedisError
from supervisor.log import Throttle, get_logger

log = get_logger("mailslot.pubsub")

#: Seconds for which gaps are collected into one line of the log: one event may end thousands.
_GAPS_SECONDS = 0.5
#: Seconds between two lines of the log about what servers refuse for the moment.
_DELAYS_SECONDS = 10.0


class GapReports:
    """Reports gaps and refusals of one pub/sub object.

    Args:
        registry: knows who consumes what.
        loop: the event loop; gaps of the table are in its time.
    """

    def __init__(self, registry: SubscriptionRegistry, loop: asyncio.AbstractEventLoop) -> None:
        self._registry = registry
        self._loop = loop
        self._gaps: list[Gap] = []
        self._timer: asyncio.TimerHandle | None = None
        self._denials: list[tuple[Target, NodeId, RedisError]] = []
        self._throttle = Throttle(loop.time, _DELAYS_SECONDS)
        registry.not_recovered = self._not_recovered

    def gap(self, ended: GapEnded) -> None:
        """Report a gap to the consumer at once, and to the log within half a second.

        Where the consumer asked for recovery, the history is read first.
        """
        subscription = self._registry.subscriptions.get(ended.target)
        gate = self._registry.gate
        if subscription is None:
            return
        if gate is not None and not gate.keeper.concerns(self._registry.names.own(ended.target)):
            return  # another process's
        wall = time.time() - self._loop.time()
        gap = Gap(
            ended.target.kind,
            subscription.label,
            ended.since + wall,
            ended.until + wall,
            ended.reason,
            self._address(ended.target),
        )
        if subscription.intake is None:
            self._tell(subscription, gap)
        else:
            subscription.intake.interrupted(gap)

    def _not_recovered(self, target: Target, gap: Gap) -> None:
        """Report what a history does not have any more."""
        subscriptions = self._registry.subscriptions
        found = (subscriptions.get(one) for one in self._registry.spread(target))
        subscription = next((one for one in found if one is not None), None)
        if subscription is not None:
            self._tell(subscription, gap)

    def _tell(self, subscription: Subscription, gap: Gap) -> None:
        self._registry.gaps += 1
        self._gaps.append(gap)
        if self._timer is None:
            self._timer = self._loop.call_later(_GAPS_SECONDS, self._log_gaps)
        subscription.report(gap, self._registry.on_gap)

    def _address(self, target: Target) -> str | None:
        """Return the address of the node that the target is on alone; None: it is on any."""
        if not isinstance(target, NodeTarget):
            return None
        return (self._registry.nodes or {}).get(target.node, target.node)

    def denial(self, target: Target, node: NodeId, error: RedisError) -> None:
        """Log that ``node`` refused ``target`` for good, once the batch in hand is done."""
        self._denials.append((target, node, error))

    def delay(self, targets: list[Target], node: NodeId, error: RedisError) -> None:
        """Log that ``node`` refused ``targets`` for the moment, once in a while."""
        if self._throttle.passes(node) is not None:
            log.warning(
                "subscribe_refused_for_now",
                targets=len(targets),
                first=repr(self._registry.own_label(targets[0])),
                node=node,
                error=str(error),
                next_try="within half a second, until it is granted",
            )

    def batch_done(self) -> None:
        """Log the refusals of the batch that was just handled."""
        if self._denials:
            self._log_denials()

    def close(self) -> None:
        """Log what has not been logged yet."""
        self._log_gaps()

    def _log_gaps(self) -> None:
        gaps, self._gaps = self._gaps, []
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if gaps:
            log.warning(
                "gap",
                targets=len(gaps),
                first=repr(gaps[0].name),
                seconds=round(max(gap.seconds for gap in gaps), 3),
                reason=gaps[0].reason,
            )

    def _log_denials(self) -> None:
        denials, self._denials = self._denials, []
        target, node, error = denials[0]
        log.error(
            "resubscribe_refused",
            targets=len(denials),
            first=repr(self._registry.own_label(target)),
            node=node,
            error=str(error),
            next_try="every now and then, until it is granted or unsubscribed",
        )
