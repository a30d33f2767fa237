"""What one run of a worker is started with."""

from __future__ import annotations

from typing import Any

import msgspec

from actors.pubsub.handlers.failure_sinks import HandlerFailureSink
from actors.pubsub.model.types import GapCallback
from actors.worker.fleet.members import FleetOptions
from actors.worker.observe.health_limits import Health
from actors.worker.run.broker import Broker
from actors.worker.run.partition import Partition
from supervisor import EventSink


class Previous(msgspec.Struct, frozen=True):
    """The process that this one replaces."""

    alive_at: float  # until when it is known to have handled everything, in Unix seconds
    reason: str  # how it ended, in words


class RunSettings(msgspec.Struct, frozen=True):
    """The values of a :class:`Worker` at the moment when it starts."""

    broker: Broker
    partition: Partition
    fleet: FleetOptions | None  # the fleet whose members own the names; None: there is none
    process: int  # the number of this process, from 0
    previous: Previous | None  # the process that this one replaces, or None
    drain_timeout: float
    shutdown_timeout: float  # seconds that the shutdown hooks have at least
    probe_interval: float | None
    # restarts allowed at the root of the tree, and within how many seconds
    restart_limit: tuple[int | None, float]
    pubsub: dict[str, Any]  # options of the pub/sub objects
    health: Health  # from when on the worker is degraded
    on_gap: GapCallback | None  # called for gaps of handlers without a hook of their own
    on_failure: HandlerFailureSink  # the failure sink of handlers without one of their own
    sink: EventSink  # called with each lifecycle event of the tree
