"""What runs in a process of Ray: one member of a fleet, as an actor of Ray."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec
import ray

from actors.runtime.collector import FREEZER
from actors.worker.process import log_setup as logs
from actors.worker.process.loader import load
from actors.worker.process.thread_host import Host
from actors.worker.run.app import Worker
from actors.worker.run.exit_codes import UsageError
from actors.worker.run.lifecycle import Drained

#: Seconds from the start of a member to its end at least, so that Ray restarts it in no tight loop.
_SHORTEST: Final = 5.0
#: Seconds that a drained member waits to be removed. One that nobody removes comes back.
_LINGER: Final = 30.0

#: What names a worker on every machine: ``module:app``, or a function that makes it.
App = str | Callable[[], Worker[Any]]


class Deployment(msgspec.Struct, frozen=True):
    """What every member of a fleet is started with."""

    app: App
    fleet: str | None = None  # the name of the fleet, instead of the app's own
    url: str | None = None  # the broker, instead of the app's own

    def worker(self) -> Worker[Any]:
        """Return the worker, checked.

        Raises:
            UsageError, SpecError: the app cannot be run.
        """
        worker = load(self.app) if isinstance(self.app, str) else self.app()
        if not isinstance(worker, Worker):
            raise UsageError(f"{self.app} returns no Worker, but {type(worker).__name__}")
        if self.fleet is not None:
            worker.fleet = self.fleet
        if self.url is not None:
            worker.at(self.url)
        worker.validate()
        return worker


class MemberStatus(msgspec.Struct, frozen=True):
    """How a member is.

    Attributes:
        name: the name of the actor of Ray, in the namespace ``mailslot``.
        state: of its worker; ``silent`` where its event loop has not answered, ``unreachable``
            where Ray has not: the member is not placed yet, or is being restarted.
        ready: whether it is in the view of the fleet, subscribed, with delivery proven.
        reasons: why it is not ready.
        node: the id of the node of Ray that it is on.
        pid: its process there.
    """

    name: str
    state: str
    ready: bool = False
    reasons: tuple[str, ...] = ()
    node: str | None = None
    pid: int | None = None


class Member:
    """One member. Ray calls the methods, in several threads; the worker has its own."""

    def __init__(self, name: str, deployment: Deployment) -> None:
        logs.configure("console", member=name)
        self._name, self._began = name, time.monotonic()
        worker = deployment.worker()
        if ray.get_runtime_context().was_current_actor_reconstructed:
            # Running members wait for a broker that is away, and so does a restarted one.
            worker.start_timeout = None
        self._host = Host(worker, self._ended)
        self._host.started.add_done_callback(lambda _: FREEZER.enable())
        self._host.start()

    def wait_started(self) -> None:
        """Return when the worker runs; raise what it could not start for."""
        self._host.started.result()

    def report(self, timeout: float) -> MemberStatus:
        """Return how the member is; its worker has ``timeout`` seconds to say so."""
        node, report = ray.get_runtime_context().get_node_id(), self._host.report(timeout)
        return MemberStatus(
            self._name, report.state, report.ready, report.reasons, node, os.getpid()
        )

    def drain(self) -> Drained | None:
        """Drain the worker; return how that ended, None where it had not started."""
        self._host.stop()
        return self._host.drained.result()

    def _ended(self) -> None:
        """End the process, which Ray takes for a crash and makes good."""
        pause = _LINGER if self._host.asked else self._began + _SHORTEST - time.monotonic()
        time.sleep(max(1.0, pause))  # for the answers that are on their way, at least
        os._exit(1)
