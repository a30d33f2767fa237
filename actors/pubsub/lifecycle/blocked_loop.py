"""Who holds the loop: found by a thread that looks, so that no message pays for it.

The thread looks at what the loop's thread is doing. When that is an actor's message, it asks the
loop for a sign. If there is none by the next look, and the same call is in hand at further looks
for a tenth of a second, that one holds the loop, and its stack says where.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Iterator
from time import monotonic
from types import FrameType
from typing import TYPE_CHECKING, ClassVar, Final

from actors.runtime.message_loop import handle_messages
from supervisor.log import Throttle, get_logger

if TYPE_CHECKING:
    from actors.pubsub.lifecycle.tree import PubSubTree
    from supervisor import Child

__all__ = ["HOLDS_LOOP", "LoopWatch"]

log = get_logger("mailslot.pubsub")

#: Seconds for which a handler may hold the loop before it is warned about.
HOLDS_LOOP: Final = 0.1
# A look takes a tenth of a millisecond of both threads: three within the time above are enough.
_LOOK: Final = 0.05
_QUIET: Final = 10.0
_LOOP_CODE: Final = handle_messages.__code__


class LoopWatch:
    """Watches one loop as long as there are pub/sub objects with handlers in it."""

    _watches: ClassVar[dict[asyncio.AbstractEventLoop, LoopWatch]] = {}
    _lock: ClassVar = threading.Lock()

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._thread_id = threading.get_ident()
        self._for: set[Child] = set()
        self._throttle = Throttle(monotonic, _QUIET)
        # Whether the loop was asked for a sign of life that it has not given yet.
        self._asked = False
        # The call in hand while there is none, and since when.
        self._held: int | None = None
        self._since = 0.0
        name = "mailslot: who holds the loop"
        threading.Thread(target=self._watch, name=name, daemon=True).start()

    @classmethod
    def watch(cls, tree: PubSubTree) -> None:
        """Watch the loop of ``tree`` until they, and all others in it, have ended."""
        loop = tree.system.loop
        assert tree.child is not None
        with cls._lock:
            watch = cls._watches.get(loop)
            if watch is None:
                watch = cls._watches[loop] = cls(loop)
            if tree.child not in watch._for:
                watch._for = {child for child in watch._for if not child.forgotten}
                watch._for.add(tree.child)

    def _sign(self) -> None:
        self._asked = False

    # -- in the thread -----------------------------------------------------------------------------

    def _watch(self) -> None:
        used = _processor_time_of(self._thread_id)
        looked, spent = monotonic(), used()
        try:
            while self._is_wanted():
                time.sleep(_LOOK)
                before, spent_before = looked, spent
                looked, spent = monotonic(), used()
                # What kept this thread from looking, and was at work, holds the interpreter's lock.
                starved = looked - before > _LOOK + HOLDS_LOOP and spent - spent_before > HOLDS_LOOP
                self._look(looked, before if starved else None)
        except RuntimeError:  # the loop was closed meanwhile
            self._forget()
        finally:
            self._held = None

    def _is_wanted(self) -> bool:
        with self._lock:
            if not self._loop.is_closed() and any(not child.forgotten for child in self._for):
                return True
            self._forget()
            return False

    def _forget(self) -> None:
        if self._watches.get(self._loop) is self:
            del self._watches[self._loop]

    def _look(self, now: float, starved_since: float | None) -> None:
        frame = sys._current_frames().get(self._thread_id)
        stack = [] if frame is None else _in_hand(frame)
        if not stack:
            self._held = None
            return
        # By its number: a frame that is held on to would not end with its call.
        call = id(stack[1])
        if not self._asked:
            self._asked = True
            self._loop.call_soon_threadsafe(self._sign)
            self._held, self._since = call, starved_since or now
            if starved_since is None:
                return
        elif self._held != call:
            self._held, self._since = call, starved_since or now
        if now - self._since >= HOLDS_LOOP:
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
            cure="what blocks or computes for long belongs into a thread:"
            " Handler(..., in_thread=True), or asyncio.to_thread()",
        )


def _processor_time_of(thread_id: int) -> Callable[[], float]:
    """Return a clock of the time that a thread was at work; one that stands still if none is."""
    if not hasattr(time, "pthread_getcpuclockid"):
        return lambda: 0.0
    clock = time.pthread_getcpuclockid(thread_id)
    return lambda: time.clock_gettime(clock)


def _in_hand(frame: FrameType) -> list[FrameType]:
    """Return the stack from an actor's message loop inwards; empty if no message is in hand."""
    stack = []
    for one in _outwards(frame):
        stack.append(one)
        if one.f_code is _LOOP_CODE:
            stack.reverse()
            return stack if len(stack) > 1 else []
    return []


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _is_ours(frame: FrameType) -> bool:
    name: str = frame.f_globals.get("__name__", "")
    return name.partition(".")[0] in {"actors", "supervisor", "asyncio"}
