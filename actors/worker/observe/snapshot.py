"""Snapshots of a worker: the values that health, metrics, the page and ``top`` read.

A snapshot shows one process. A parent of several receives theirs through pipes.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from actors.pubsub.handlers.failure_span import FailureSpan
from actors.worker.observe.health_limits import Health
from actors.worker.observe.recent import Counts
from supervisor import TreeNode


class State(StrEnum):
    """The state of a worker."""

    NEW = "new"
    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"
    STOPPED = "stopped"
    GAVE_UP = "gave_up"  # inside another program, which goes on


class Durations(msgspec.Struct, frozen=True):
    """A histogram of how long something took; ``Snapshot.bounds`` are its bounds."""

    # how many lie at or below each bound and above the one before, and how many above the last
    counts: tuple[int, ...]
    seconds: float  # their sum


class HandlerState(msgspec.Struct, frozen=True):
    """One handler."""

    name: str  # its name in the tree
    pubsub: str  # the name of its pub/sub object
    path: str  # its path in the tree
    status: str  # running, waiting (for its restart) and so on
    depth: int  # messages that wait in its mailbox
    age: float  # seconds for which the oldest of them has waited, exact to half a second
    handled: int  # messages handled, failed ones included
    failed: int  # messages that went to the failure sink
    shed: int  # messages that its full mailbox dropped
    restarts: int  # how often it was restarted
    last_exit: str | None = None  # why it last ended, in words
    breaker: str = "closed"  # closed; open or half_open while messages fail without being handled
    # its failures: with a breaker that is not closed those since it last handled a message, else
    # the latest ones, without a pause of ``Health.over`` seconds; None: none in that time
    failures: FailureSpan | None = None
    # what it did in the last ``Health.over`` seconds: messages handled, failed and shed
    recent: Counts = Counts()
    waiting: Durations | None = None  # how long its messages waited; None: it had none yet
    handling: Durations | None = None  # how long they took
    paused: bool = False  # whether an operator has paused it: its messages wait


class PathState(msgspec.Struct, frozen=True):
    """The path of messages from one node to one pub/sub object."""

    pubsub: str  # the name of the pub/sub object
    node: str
    since: float  # seconds for which the node has been in use
    proof_age: float | None  # seconds since a probe came back; None: none came back yet
    restarts: int  # how often the connection was replaced because no probe came back


class RecoveryState(msgspec.Struct, frozen=True):
    """The recovering channels of one pub/sub object."""

    pubsub: str  # the name of the pub/sub object
    channels: int  # channels that recover
    behind: int  # those of them that read what they have missed, or wait to
    behind_seconds: float  # for how long one of them has been behind, at the most
    held: int  # messages that wait for what comes before them
    recovered: int  # missed messages that were delivered out of a history
    resumed: int  # those that came between a kept position and the consumer's beginning
    lost: int  # messages that a history did not have any more
    unknown: int  # losses of which nobody knows the number
    reads: int  # commands that asked for a history
    seconds: float  # how long at least one channel was behind


class MemberState(msgspec.Struct, frozen=True):
    """A member of the fleet, as it reported last; None: it has not reported yet."""

    member: str
    at: float | None = None  # when it reported, in Unix seconds
    owned: int | None = None  # how many names it owns
    rate: float | None = None  # messages a second
    waiting: int | None = None  # messages that wait in its mailboxes


class FleetState(msgspec.Struct, frozen=True):
    """This process as a member of a fleet, and the others."""

    fleet: str
    member: str  # the member that this process is
    phase: str  # new, joining, joined, leaving, ended; drained: an operator asked it to leave
    is_in_view: bool  # whether it is in the committed view, with a lease
    view: int  # the number of that view
    owns: tuple[str, ...]  # the names that it owns
    names: int  # how many names the members own together
    members: tuple[MemberState, ...]  # those of the view


class GapNote(msgspec.Struct, frozen=True):
    """A gap that was reported."""

    kind: str
    name: str
    since: float
    until: float
    reason: str
    path: str = ""  # the path in the tree of the handler that it was reported to


class FailureNote(msgspec.Struct, frozen=True):
    """The failures of one kind: the same line raised the same type of error in one handler."""

    handler: str
    channel: str  # that of the latest message
    error: str  # that of the latest message, as text
    at: float  # when that was, in Unix seconds
    path: str = ""  # the handler's path in the tree
    place: str = ""  # the line that raised the errors
    count: int = 1  # how many messages failed so
    first_error: str = ""  # the error of the first one
    first_at: float = 0.0  # when that was
    traceback: str = ""  # that of the first one, as text; the latest few kinds alone have it


class Snapshot(msgspec.Struct, frozen=True):
    """One process at one moment.

    Attributes:
        name: the name of the worker.
        process: the number of the process, from 0.
        pid: its process id.
        state: the state of the worker.
        at: the time of the snapshot, in Unix seconds.
        uptime: seconds since the start was complete.
        lag: the longest delay of the event loop in the last five seconds, in seconds.
        partition: the names that fall to this process, ``I/N``.
        unconfirmed: subscriptions that no node has confirmed.
        handlers: its handlers.
        paths: the paths of messages, by pub/sub object and node.
        probe_interval: seconds for which a proof of delivery is fresh; None: no probes.
        received: messages received, without probes.
        gaps: gaps reported.
        reconnects: connections that replaced a lost one.
        restarts: restarts in the whole tree.
        failed: messages that went to failure sinks.
        recent_gaps: the latest gaps, newest last.
        recent_failures: the latest kinds of failures, that of the newest failure last.
        tree: the supervision tree.
        recoveries: the recovering channels, by pub/sub object.
        refusing: what nodes said that refuse new connections, each with its pub/sub object.
        gave_up: why the worker gave up inside another program; None: it runs, or did not give up.
        health: from when on the worker is degraded.
        bounds: the upper bounds of the histograms of handlers, in seconds.
        fleet: this process as a member of a fleet; None: it belongs to none.
    """

    name: str
    process: int
    pid: int
    state: State
    at: float
    uptime: float
    lag: float
    partition: str
    unconfirmed: tuple[str, ...]
    handlers: tuple[HandlerState, ...]
    paths: tuple[PathState, ...]
    probe_interval: float | None
    received: int
    gaps: int
    reconnects: int
    restarts: int
    failed: int
    recent_gaps: tuple[GapNote, ...]
    recent_failures: tuple[FailureNote, ...]
    tree: TreeNode
    refusing: tuple[str, ...] = ()
    recoveries: tuple[RecoveryState, ...] = ()
    gave_up: str | None = None
    health: Health = Health()
    bounds: tuple[float, ...] = ()
    fleet: FleetState | None = None


class ProcessState(msgspec.Struct, frozen=True):
    """A process as its parent sees it."""

    index: int  # its number, from 0
    pid: int | None  # its process id; None: it is down
    seen: float | None  # seconds since its last sign of life; None: there was none yet
    restarts: int  # how often it was restarted


class WorkerSnapshot(msgspec.Struct, frozen=True):
    """A whole worker: one process, or a parent and several.

    Attributes:
        name: the name of the worker.
        processes: the processes of a parent; empty if there is no parent.
        expected: how many processes should have a snapshot.
        snapshots: the latest one of each process.
        tree: the supervision tree, of the parent if there is one.
    """

    name: str
    processes: tuple[ProcessState, ...]
    expected: int
    snapshots: tuple[Snapshot, ...]
    tree: TreeNode


def as_text(name: Any) -> str:
    """Return the name of a channel, or a payload, as text; bytes that are not UTF-8 are escaped."""
    return name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else str(name)
