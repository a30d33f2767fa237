"""From what consumers ask for to recovering channels: checks, intakes, and the reader."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from actors.pubsub.delivery.progress import Progress
from actors.pubsub.lifecycle.tree import PubSubTree
from actors.pubsub.model.recover import Recover
from actors.pubsub.model.types import Gap, Kind, Target
from actors.pubsub.recovery.histories import READER_NAME, Histories
from actors.pubsub.recovery.history_access import HistoryAccess
from actors.pubsub.recovery.history_reader import HistoryReader
from actors.pubsub.recovery.intake import Intake
from actors.pubsub.recovery.kept_positions import KeptPositions
from actors.pubsub.recovery.position_store import WRITER_NAME, PositionStore, PositionWriter
from actors.pubsub.recovery.wanted import check_recovery, wanted_recovery
from actors.pubsub.subscriptions.registry import Subscription, SubscriptionRegistry
from actors.redis.history.names import history_name, positions_name
from actors.runtime.actor import Actor, ActorSpec
from supervisor import ExponentialBackoffRetryPolicy

# A reader that crashed is not what handlers are restarted for: its restarts do not count there.
_RESTARTED = ExponentialBackoffRetryPolicy(
    (Exception,), retries=None, base_delay=0.05, max_delay=1.0
)


class Recoveries:
    """The recovering channels of one pub/sub object.

    Args:
        tree: where the reader is started, with the first of these channels.
        default: what consumers ask for that say nothing.
        access: returns how histories are read.
        settings: those of the connections.
        track: has the iterator note what its reader has handled of channels that resume.
    """

    def __init__(
        self,
        tree: PubSubTree,
        default: Recover | bool | None,
        access: Callable[[], HistoryAccess],
        settings: Any,
        track: Callable[[Mapping[Any, Progress]], None],
    ) -> None:
        self._tree = tree
        self._default = default
        self._access = access
        self._settings = settings
        self._track = track
        self._used_access: HistoryAccess | None = None
        self._positions: KeptPositions | None = None
        registry = tree.registry
        self._histories: Histories[Intake] = Histories(
            tree.system.loop,
            registry.touched,
            self._tell,
            encoding=registry.encoding,
            decode=registry.decode,
        )
        registry.histories = self._histories

    async def catch_up(self) -> None:
        """Have all histories read, and wait until no channel is behind."""
        for subscription in self._tree.registry.subscriptions.values():
            if subscription.intake is not None:
                subscription.intake.check()
        await self._histories.settled()

    def _tell(self, target: Target, gap: Gap) -> None:
        self._tree.registry.not_recovered(target, gap)

    def subscriptions(self, kind: Kind, wanted: Mapping[bytes, Any]) -> list[Subscription]:
        """Return the subscriptions of the names in ``wanted``, each with its consumer.

        Raises:
            ValueError: a channel is subscribed to otherwise already.
            DataError, TypeError: a channel cannot have a history.
        """
        registry = self._tree.registry
        planned = [(name, *self._target(kind, name, one)) for name, one in wanted.items()]
        if len({target for _, target, _ in planned}) < len(planned):
            raise ValueError("two of the channels have the same history: subscribe to one of them")
        made = []
        for name, target, recover in planned:
            subscription = Subscription(target, registry.label(name), registry.queue_writer)
            if recover is not None:
                subscription.intake = self._intake(target, subscription.label, recover)
                registry.names.add(kind, name, target.name)
            made.append(subscription)
        return made

    def _target(self, kind: Kind, name: bytes, callback: Any) -> tuple[Target, Recover | None]:
        """Return what to subscribe to for a channel, and what its consumer asks for."""
        registry = self._tree.registry
        own = Target(kind, name)
        recover = wanted_recovery(kind, name, callback, self._default)
        wire = own if recover is None else Target(kind, history_name(name))
        known = registry.names.wire(own)
        if known != wire and (known != own or _is_subscribed(registry, own)):
            otherwise = "without" if recover is not None else "with"
            raise ValueError(
                f"{registry.label(name)!r} is subscribed {otherwise} recovery: "
                "unsubscribe it first, or use a pub/sub object of its own"
            )
        if _is_subscribed(registry, wire) and registry.names.own(wire) != own:
            raise ValueError(
                f"{registry.label(name)!r} and {registry.own_label(wire)!r} are consumed by way of "
                f"one channel, {registry.label(wire.name)!r}: use a pub/sub object for each"
            )
        return wire, recover

    def _intake(self, target: Target, label: Any, recover: Recover) -> Intake:
        """Return the intake of a recovering channel; the reader runs from now on."""
        if self._used_access is None:
            check_recovery(self._settings)
            self._used_access = access = self._access()
            histories = self._histories
            self._spawn(READER_NAME, HistoryReader, histories, access, describe=histories.describe)
        kept = None
        if recover.resume is not None:
            if self._positions is None:
                self._positions = self._keep_positions(self._used_access)
            kept = self._positions.of(label, positions_name(target.name), recover.resume)
        writer = self._tree.registry.queue_writer
        return Intake(target, label, recover, self._histories, writer, kept)

    def _keep_positions(self, access: HistoryAccess) -> KeptPositions:
        """Return the positions of consumers that resume; they are written from now on."""
        tree, positions = self._tree, KeptPositions()
        gate = tree.registry.gate
        check = None if gate is None else gate.keeper.check
        store = PositionStore(positions, access, tree.system.loop.time, check)
        tree.registry.progress = positions.progress
        tree.keep_positions = store.finish
        self._track(positions.progress)
        self._spawn(WRITER_NAME, PositionWriter, store, positions)
        return positions

    def _spawn(
        self,
        name: str,
        actor: Callable[..., Actor[Any]],
        *args: Any,
        describe: Callable[[], Mapping[str, Any]] | None = None,
    ) -> None:
        spec = ActorSpec(
            actor, args, restart="permanent", retry_policy=_RESTARTED, describe=describe
        )
        self._tree.spawn_beside(spec, name)


def _is_subscribed(registry: SubscriptionRegistry, target: Target) -> bool:
    return any(one in registry.subscriptions for one in registry.spread(target))
