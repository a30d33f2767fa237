"""Names a handler that blocks the event loop: found by a thread, so that no message pays for it.

Twenty times a second the thread looks at the stack of the loop's thread. If an actor handles a
message there, the thread has the loop call a function. If the loop has not called it by the next
look, and further looks find the same call running for a tenth of a second, that call blocks the
loop, and its stack shows where.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable
from time import monotonic
from types import FrameType
from typing import ClassVar, Final

from actors.runtime.message_loop import handle_messages
from supervisor import Child
from supervisor.log import Throttle, get_logger

log = get_logger("mailslot.pubsub")

# Seconds for which a handler may block the loop before there is a warning.
_ALLOWED: Final = 0.1
# A look costs both threads a tenth of a millisecond: three looks in that time are enough.
_LOOK: Final = 0.05
_QUIET: Final = 10.0
_LOOP_CODE: Final = handle_messages.__code__


class LoopWatch:
    """Watches one event loop as long as pub/sub objects with handlers run in it."""

    _watches: ClassVar[dict[asyncio.AbstractEventLoop, LoopWatch]] = {}
    _lock: ClassVar = threading.Lock()

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._thread_id = threading.get_ident()
        # Made while the thread lives: asking for the clock of an ended one may crash Python.
        self._used = _processor_time_of(self._thread_id)
        #: The pub/sub objects, as children of their system's root.
        self._children: set[Child] = set()
        self._throttle = Throttle(monotonic, _QUIET)
        # Whether the loop has yet to call _sign().
        self._asked = False
        # The call that runs meanwhile, and since when.
        self._call: int | None = None
        self._since = 0.0
        name = "mailslot: watches the loop"
        threading.Thread(target=self._watch, name=name, daemon=True).start()

    @classmethod
    def watch(cls, loop: asyncio.AbstractEventLoop, child: Child) -> None:
        """Watch ``loop`` until ``child``, and all others that this was called for, have ended."""
        with cls._lock:
            watch = cls._watches.get(loop)
            if watch is None:
                watch = cls._watches[loop] = cls(loop)
            if child not in watch._children:
                watch._children = {known for known in watch._children if not known.forgotten}
                watch._children.add(child)

    def _sign(self) -> None:
        self._asked = False

    def _watch(self) -> None:
        used = self._used
        try:
            looked, spent = monotonic(), used()
            while self._is_wanted():
                time.sleep(_LOOK)
                before, spent_before = looked, spent
                looked, spent = monotonic(), used()
                # This thread could not look while the other one worked: that one holds the GIL.
                starved = looked - before > _LOOK + _ALLOWED and spent - spent_before > _ALLOWED
                self._look(looked, before if starved else None)
        except (RuntimeError, OSError):  # the loop was closed, or its thread has ended
            self._forget()
        finally:
            self._call = None

    def _is_wanted(self) -> bool:
        with self._lock:
            if not self._loop.is_closed() and any(not child.forgotten for child in self._children):
                return True
            self._forget()
            return False

    def _forget(self) -> None:
        if self._watches.get(self._loop) is self:
            del self._watches[self._loop]

    def _look(self, now: float, starved_since: float | None) -> None:
        frame = sys._current_frames().get(self._thread_id)
        stack = _handling(frame)
        if not stack:
            self._call = None
            return
        # Its id: a reference would keep the frame alive after its call.
        call = id(stack[1])
        if not self._asked:
            self._asked = True
            self._loop.call_soon_threadsafe(self._sign)
            self._call, self._since = call, starved_since or now
            if starved_since is None:
                return
        elif self._call != call:
            self._call, self._since = call, starved_since or now
        if now - self._since >= _ALLOWED:
            self._warn(now - self._since, stack)

    def _warn(self, seconds: float, stack: list[FrameType]) -> None:
        path = stack[0].f_locals["cell"].path
        suppressed = self._throttle.passes(path)
        if suppressed is None:
            return
        inner = next((frame for frame in stack if not _is_ours(frame)), stack[-1])
        log.warning(
            "handler_holds_the_loop",
            path=path,
            handler=inner.f_code.co_qualname,
            at=f"{inner.f_code.co_filename}:{inner.f_lineno}",
            seconds=round(seconds, 3),
            suppressed=suppressed,
            cure="run what blocks or computes for long in a thread:"
            " Handler(..., in_thread=True), or asyncio.to_thread()",
        )


def _processor_time_of(thread_id: int) -> Callable[[], float]:
    """Return a function of the CPU time of a thread; it returns 0 where the system has none."""
    if not hasattr(time, "pthread_getcpuclockid"):
        return lambda: 0.0
    clock = time.pthread_getcpuclockid(thread_id)
    return lambda: time.clock_gettime(clock)


def _handling(frame: FrameType | None) -> list[FrameType]:
    """Return the stack from an actor's message loop inwards; empty if no message is handled."""
    stack = []
    while frame is not None:
        stack.append(frame)
        if frame.f_code is _LOOP_CODE:
            stack.reverse()
            return stack if len(stack) > 1 else []
        frame = frame.f_back
    return []


def _is_ours(frame: FrameType) -> bool:
    name: str = frame.f_globals.get("__name__", "")
    return name.partition(".")[0] in {"actors", "supervisor", "asyncio"}
