"""The process that runs handlers: the worker application, its command line, health and metrics."""

from actors.worker.app import Worker
from actors.worker.life import Drained
from actors.worker.middleware import Middleware, Next
from actors.worker.partition import Partition
from actors.worker.snapshot import Snapshot, State, WorkerSnapshot

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
