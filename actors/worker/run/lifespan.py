"""A worker inside another program, which goes on when the worker gives up.

    enter --> running --gives up--> "restart": a back-off, then running again
                                    "exit":    SIGTERM to this process

The worker has a task of its own: the program's tasks are neither cancelled nor hear its errors,
unless it fails to start for the first time.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Final, Literal, Protocol, TypeAlias

from actors.worker.observe.snapshot import State
from actors.worker.run.exit_codes import one_sentence
from actors.worker.run.settings import Previous
from supervisor import ExponentialBackoffRetryPolicy
from supervisor.log import get_logger
from supervisor.model.retry_session import Retry

log = get_logger("mailslot.worker")

#: What follows when a worker gives up: the program ends, or the worker starts again.
Consequence: TypeAlias = Literal["exit", "restart"]
#: The same, or a function of the error, plain or ``async``, that says it. If it returns None, the
#: worker stays down and the program goes on.
OnGiveUp: TypeAlias = (
    Consequence | Callable[[Exception], Consequence | Awaitable[Consequence | None] | None]
)

_BACK_OFF: Final = ExponentialBackoffRetryPolicy(
    (Exception,), retries=None, base_delay=1.0, max_delay=30.0, jitter=True
)
#: A worker that gives up after so many seconds gets the first delay of the back-off again.
_HEALTHY: Final = 60.0


class Hosted(Protocol):
    """A worker, as its lifespan needs it."""

    name: str
    state: State
    previous: Previous | None
    gave_up: str | None

    async def __aenter__(self) -> Any: ...
    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...
    def request_stop(self) -> None:
        """Ask for the end that :meth:`stop_requested` waits for."""

    async def stop_requested(self) -> None:
        """Wait until the worker is asked to stop."""

    def handled_until(self) -> float:
        """Return the time (Unix seconds) until which nothing was missed or left unhandled."""


class Lifespan:
    """Keeps ``worker`` running; an async context manager."""

    def __init__(self, worker: Hosted, on_give_up: OnGiveUp) -> None:
        self._worker = worker
        self._on_give_up = on_give_up
        self._stopping = False
        # Until when the latest run had handled everything, in Unix seconds.
        self._handled_until: float | None = None

    async def __aenter__(self) -> None:
        """Start the worker and return when it runs.

        Raises:
            SpecError, ConnectionError, TimeoutError, ExceptionGroup: as ``async with worker``.
        """
        loop = asyncio.get_running_loop()
        self._up = asyncio.Event()
        self._task = loop.create_task(self._keep_running(), name=f"lifespan of {self._worker.name}")
        up = loop.create_task(self._up.wait())
        try:
            await asyncio.wait({self._task, up}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await self._cancel()
            raise
        finally:
            up.cancel()
        if not self._up.is_set() and (error := self._task.result()) is not None:
            raise error

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Drain the worker and stop it.

        Raises:
            BaseException: what the worker ended with, if the program exits because of that, or what
                its shutdown hooks raised.
        """
        worker = self._worker
        self._stopping = True
        worker.request_stop()
        try:
            if worker.state in (State.GAVE_UP, State.STARTING):
                await self._cancel()
            else:
                await asyncio.wait({self._task})
        except asyncio.CancelledError:
            await self._cancel()
            raise
        worker.state, worker.gave_up, worker.previous = State.STOPPED, None, None
        ended_with = None if self._task.cancelled() else self._task.result()
        if ended_with is not None and error is None:
            raise ended_with

    async def _cancel(self) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})

    # -- in the worker's task ----------------------------------------------------------------------

    async def _keep_running(self) -> BaseException | None:
        """Run the worker again and again; return what ended it for good, None if it was asked to.

        The error is returned, not raised: asyncio would end its loop for a SystemExit.
        """
        time = asyncio.get_running_loop().time
        back_off = _BACK_OFF.session(time())
        while True:
            begun = time()
            error = await self._run_once()
            if error is None or self._stopping or not self._up.is_set():
                return error
            if time() - begun >= _HEALTHY:
                back_off = _BACK_OFF.session(time())
            match await self._after(error):
                case "restart":
                    again = back_off.failed(error, time())
                    assert isinstance(again, Retry)
                    log.error("worker_restarts", worker=self._worker.name, delay=again.delay)
                    await asyncio.sleep(again.delay)
                case "exit":
                    self._worker.state = State.STOPPED
                    log.error("worker_ends_program", worker=self._worker.name, signal="SIGTERM")
                    os.kill(os.getpid(), signal.SIGTERM)
                    return error
                case _:
                    return None

    async def _run_once(self) -> BaseException | None:
        """Run the worker until it is asked to stop; return what it gave up with instead."""
        worker = self._worker
        if self._handled_until is not None:
            reason = f"the worker gave up: {worker.gave_up}"
            worker.previous = Previous(self._handled_until, reason)
        try:
            async with worker:
                worker.previous = worker.gave_up = None
                self._up.set()
                try:
                    await worker.stop_requested()
                    self._stopping = True
                finally:
                    # Before it is left: what waits in mailboxes is not handled any more.
                    self._handled_until = worker.handled_until()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            if self._up.is_set() and not self._stopping:
                worker.state = State.GAVE_UP
                worker.gave_up = one_sentence(error)
                log.error(
                    "worker_gave_up", worker=worker.name, reason=worker.gave_up, exc_info=error
                )
            return error
        return None

    async def _after(self, error: BaseException) -> Consequence | None:
        """Return what follows when the worker gave up with ``error``."""
        if not isinstance(error, Exception):
            return "exit"  # a handler or an actor raised SystemExit
        if not callable(self._on_give_up):
            return self._on_give_up
        try:
            said = self._on_give_up(error)
            return await said if inspect.isawaitable(said) else said
        except Exception as failure:
            log.error(
                "on_give_up_failed", worker=self._worker.name, error=repr(failure), exc_info=failure
            )
            return "restart"


def warn_of_several_processes(worker: str) -> None:
    """Log a warning if the program seems to run in several processes, as WEB_CONCURRENCY says."""
    processes = os.environ.get("WEB_CONCURRENCY", "")
    if processes.isdecimal() and int(processes) > 1:
        log.warning(
            "every_process_consumes_everything",
            worker=worker,
            processes=int(processes),
            cure="say Worker(fan_out=True) if each message is for every process; otherwise give"
            " each process a share: docs/embedding.md",
        )
