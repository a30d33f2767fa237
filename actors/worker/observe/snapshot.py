"""What a worker says of itself: plain values that health, metrics, the page and ``top`` read.

One snapshot is one process. A parent of several gets theirs over pipes and adds its own view.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from supervisor import TreeNode

__all__ = [
    "FailureNote",
    "GapNote",
    "HandlerState",
    "PathState",
    "ProcessState",
    "Snapshot",
    "State",
    "WorkerSnapshot",
]


class State(StrEnum):
    """What a worker is doing."""

    NEW = "new"
    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"
    STOPPED = "stopped"


class HandlerState(msgspec.Struct, frozen=True):
    """One handler.

    Attributes:
        name: its name in the tree.
        pubsub: the pub/sub object that it belongs to.
        path: where it is in the tree.
        status: running, waiting (for its restart), ...
        depth: messages that wait in its mailbox.
        age: seconds for which the oldest of them has waited, to within a sampling interval.
        handled: messages that it is through with, failed ones among them.
        failed: messages in its failure sink.
        shed: messages dropped at the bound of its mailbox.
        restarts: how often it came back.
        last_exit: why it last ended, in words.
        breaker: closed, or open or half_open: it is not called, since it fails every time.
    """

    name: str
    pubsub: str
    path: str
    status: str
    depth: int
    age: float
    handled: int
    failed: int
    shed: int
    restarts: int
    last_exit: str | None = None
    breaker: str = "closed"


class PathState(msgspec.Struct, frozen=True):
    """The path of messages from one node: proof of delivery.

    Attributes:
        pubsub: which pub/sub object listens on it.
        node: the node.
        since: seconds for which it has been in use.
        proof_age: seconds since a probe came back; None: none has.
        restarts: how often it was restarted because no probe came back.
    """

    pubsub: str
    node: str
    since: float
    proof_age: float | None
    restarts: int


class GapNote(msgspec.Struct, frozen=True):
    """A gap that was reported."""

    kind: str
    name: str
    since: float
    until: float
    reason: str


class FailureNote(msgspec.Struct, frozen=True):
    """A message that went to the failure sink; ``path`` is the handler's place in the tree."""

    handler: str
    channel: str
    error: str
    at: float
    path: str = ""


class Snapshot(msgspec.Struct, frozen=True):
    """One process at one time.

    Attributes:
        name: the worker's.
        process: which one of several, 0 where there is one.
        pid: its process id.
        state: what it is doing.
        at: when this was made, in Unix seconds.
        uptime: seconds since it was up.
        lag: how late the loop was at its worst lately, in seconds.
        partition: which share of the names it has, ``I/N``.
        unconfirmed: required subscriptions that no node has confirmed.
        handlers: what its handlers have been through.
        paths: the paths that messages take.
        probe_interval: seconds for which a proof of delivery is fresh; None: there is no probe.
        received: messages that came, probes left out.
        gaps: gaps reported.
        reconnects: connections replaced.
        restarts: restarts of anything in the tree.
        failed: messages in failure sinks.
        recent_gaps: the latest ones, newest last.
        recent_failures: the latest ones, newest last.
        tree: what runs.
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


class ProcessState(msgspec.Struct, frozen=True):
    """A process as its parent sees it.

    Attributes:
        index: which one.
        pid: its process id; None: it is down.
        seen: seconds since its last sign of life; None: there was none.
        restarts: how often it was started again.
    """

    index: int
    pid: int | None
    seen: float | None
    restarts: int


class WorkerSnapshot(msgspec.Struct, frozen=True):
    """A whole worker: one process, or a parent and several.

    Attributes:
        name: the worker's.
        processes: the processes that a parent watches; empty where there is no parent.
        expected: how many snapshots there should be.
        snapshots: the latest one of each process.
        tree: what runs, in the parent or in the one process.
    """

    name: str
    processes: tuple[ProcessState, ...]
    expected: int
    snapshots: tuple[Snapshot, ...]
    tree: TreeNode
