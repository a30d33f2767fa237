"""Hosts a worker in a thread of its own, with an event loop of its own.

The threads of the host ask the worker how it is and tell it to stop; a handler that holds its event
loop does not hold them up.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import msgspec

from actors.worker.observe.health import is_ready
from actors.worker.observe.snapshot import State
from actors.worker.run.app import Worker
from actors.worker.run.lifecycle import Drained
from supervisor.log import get_logger

log = get_logger("mailslot.worker")


class Report(msgspec.Struct, frozen=True):
    """How a hosted worker is."""

    state: str  # of the worker, or ``silent``: its event loop has not answered in time
    ready: bool = False
    reasons: tuple[str, ...] = ()  # why it is not ready


class Host:
    """Runs ``app`` once.

    Args:
        app: the worker.
        ended: called in a thread of its own when the worker has ended, asked to or not; other tasks
            and threads of the program may still run then.
    """

    def __init__(self, app: Worker[Any], ended: Callable[[], object]) -> None:
        #: Done when the worker runs; its exception is why it could not start.
        self.started: Future[None] = Future()
        #: Done when the worker has ended: how it drained, or None where it did not.
        self.drained: Future[Drained | None] = Future()
        #: Whether :meth:`stop` was called.
        self.asked = False
        self._app = app
        self._ended = ended
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._turning = threading.Event()

    def start(self) -> None:
        """Start the thread; return when its event loop turns."""
        # The log has the fields of the thread that calls this.
        run = contextvars.copy_context().run
        threading.Thread(
            target=run, args=(self._thread,), name="mailslot-worker", daemon=True
        ).start()
        self._turning.wait()

    def stop(self) -> None:
        """Have the worker drain and end; where it is still starting, have it give up."""
        self.asked = True
        self._call(self._stop)

    def report(self, timeout: float) -> Report:
        """Return how the worker is; it has ``timeout`` seconds to say so."""
        answer: Future[Report] = Future()
        if not self._call(lambda: answer.set_result(self._report())):
            return Report(State.STOPPED.value)
        try:
            return answer.result(timeout)
        except TimeoutError:
            reason = f"its event loop has not answered for {timeout:g} s: something blocks it"
            return Report("silent", reasons=(reason,))

    def _call(self, act: Callable[[], object]) -> bool:
        """Have the event loop call ``act``; return False where it has ended."""
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(act)
        except RuntimeError:
            return False
        return True

    # -- in the thread of the worker ---------------------------------------------------------------

    def _thread(self) -> None:
        try:
            asyncio.run(self._run())
        except BaseException as error:
            log.error("ended", error=repr(error), exc_info=None if self.asked else error)

    async def _run(self) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        self._turning.set()
        try:
            async with self._app:
                self.started.set_result(None)
                log.info("running", broker=str(self._app.broker))
                await self._app.stop_requested()
        except BaseException as error:
            if not self.started.done():
                self.started.set_exception(error)
            raise
        finally:
            self.drained.set_result(self._app.drained)
            # Not in this thread: the end of its event loop waits for the program's own threads.
            threading.Thread(target=self._ended, name="mailslot-ended", daemon=True).start()

    def _stop(self) -> None:
        assert self._task is not None
        if self.started.done():
            self._app.request_stop()
        else:
            self._task.cancel()

    def _report(self) -> Report:
        verdict = is_ready(self._app.worker_snapshot())
        return Report(self._app.state.value, verdict.ok, verdict.reasons)
