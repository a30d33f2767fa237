"""From what consumers ask for to recovering channels: checks, intakes, and the reader."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import msgspec

from actors.pubsub.handlers.handler import Handler
from actors.pubsub.lifecycle.tree import PubSubTree
from actors.pubsub.model.recover import Recover, as_recover
from actors.pubsub.model.types import Kind, Target
from actors.pubsub.recovery.history_reader import HistoryReader, HistoryReaderOptions, SendAll
from actors.pubsub.recovery.intake import Intake
from actors.pubsub.subscriptions.registry import SubscriptionRegistry
from actors.redis.history.names import history_name
from actors.runtime.actor import ActorSpec
from supervisor import ExponentialBackoffRetryPolicy

# A reader that crashed is not what handlers are restarted for: its restarts do not count there.
_RESTARTED = ExponentialBackoffRetryPolicy(
    (Exception,), retries=None, base_delay=0.05, max_delay=1.0
)


class HistoryAccess(msgspec.Struct, frozen=True):
    """How histories are read.

    Attributes:
        send: sends commands to where each key is.
        group: returns the same for histories that one node serves.
    """

    send: SendAll
    group: Callable[[bytes], Hashable]


class Recoveries:
    """The recovering channels of one pub/sub object.

    Args:
        tree: where the reader is started, with the first of these channels.
        default: what consumers ask for that say nothing.
        access: returns how histories are read.
        settings: those of the connections.
    """

    def __init__(
        self,
        tree: PubSubTree,
        default: Recover | bool | None,
        access: Callable[[], HistoryAccess],
        settings: Any,
    ) -> None:
        self._tree = tree
        self._default = default
        self._access = access
        self._settings = settings
        self._reading = False

    def target(self, kind: Kind, name: bytes, callback: Any) -> tuple[Target, Recover | None]:
        """Return what to subscribe to for a channel, and what its consumer asks for, if anything.

        Raises:
            ValueError: the channel is subscribed to otherwise already.
            DataError, TypeError: the channel cannot have a history.
        """
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

    def intake(self, target: Target, label: Any, recover: Recover) -> Intake:
        """Return the intake of a recovering channel; the reader runs from now on."""
        tree = self._tree
        if not self._reading:
            self._reading = True
            check_recovery(self._settings)
            access = self._access()
            options = HistoryReaderOptions(tree.registry.histories, access.send, access.group)
            spec = ActorSpec(
                HistoryReader, (options,), restart="permanent", retry_policy=_RESTARTED
            )
            tree.spawn_beside(spec, "histories")
        registry = tree.registry
        return Intake(target, label, recover, registry.histories, registry.queue_writer)


def wanted_recovery(
    kind: Kind, name: bytes, callback: Any, default: Recover | bool | None
) -> Recover | None:
    """Return what the consumer of a name asks for; None: no recovery.

    Args:
        kind: the name's kind.
        name: the name.
        callback: the handler, a :class:`Recover` in its place, or None.
        default: the pub/sub object's option.

    Raises:
        DataError: the channel cannot have a history; says why.
        TypeError: a pattern cannot be recovered.
    """
    own = callback.recover if isinstance(callback, Handler) else None
    recover = as_recover(callback if isinstance(callback, Recover) else own, default)
    if recover is None:
        return None
    if kind is Kind.PATTERN:
        raise TypeError(
            f"pattern {name.decode(errors='backslashreplace')!r} cannot be recovered: each channel "
            "has a history of its own, and a pattern names none; subscribe to the channels by "
            "name, or to the pattern in a pub/sub object without recover="
        )
    history_name(name)
    return recover


def check_recovery(settings: Any) -> None:
    """Raise ValueError where a pool's settings leave no way to recover; says what to change."""
    if settings.noreply:
        raise ValueError("recovery reads replies of the server: use a client without noreply")
    if "~1-0 ".encode(settings.encoding) != b"~1-0 ":
        raise ValueError(
            f"recovery needs an encoding in which ASCII is what it is, not {settings.encoding!r}"
        )


def check_first(
    subscriptions: Mapping[tuple[Kind, bytes], Any], default: Recover | bool | None, settings: Any
) -> None:
    """Check the first subscriptions of a pub/sub object, before anything is sent.

    Raises:
        DataError, TypeError, ValueError: see :func:`wanted_recovery`, :func:`check_recovery`.
    """
    wanted = [
        wanted_recovery(kind, name, callback, default)
        for (kind, name), callback in subscriptions.items()
    ]
    if any(recover is not None for recover in wanted):
        check_recovery(settings)


def _is_subscribed(registry: SubscriptionRegistry, target: Target) -> bool:
    return any(one in registry.subscriptions for one in registry.spread(target))
