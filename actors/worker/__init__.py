"""The process that runs handlers: the worker application, its command line, health and metrics."""

from actors.worker.declare.middleware import Middleware, Next
from actors.worker.observe.snapshot import Snapshot, State, WorkerSnapshot
from actors.worker.run.app import Worker
from actors.worker.run.lifecycle import Drained
from actors.worker.run.partition import Partition

__all__ = [
    "Drained",
    "Middleware",
    "Next",
    "Partition",
    "Snapshot",
    "State",
    "Worker",
    "WorkerSnapshot",
]
