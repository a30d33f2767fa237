"""The judge of all parts: what must hold in every case, whatever was done to the library.

- nothing waits past its deadline;
- an error is one of the library's (or TimeoutError) and has words;
- no task, file descriptor or place in a pool is left;
- no exception ends in the event loop's handler, and no actor crashes on an internal error;
- memory stays within a bound, and nothing holds up the event loop for seconds.

A *step* is what is played and judged at once: a few cases side by side, or one. Part, seed and step
are all that it takes to play a step again.
"""

from __future__ import annotations

import asyncio
import gc
import os
import re
import resource
import time
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from random import Random
from typing import Any, TypeVar

from actors.redis.exceptions import RedisError
from supervisor import ChildExited, Crashed, Event
from tests.fuzz.limits import LIMIT, Fault
from tests.fuzz.rounds import RoundSelector

__all__ = ["Judge"]

T = TypeVar("T")

# Seconds for what a step leaves behind to go.
_PATIENCE = 5.0
# Bytes that the process may grow by within one step.
_GROWTH = 96 * 2**20
# Processor seconds for which the event loop may be held up at once.
_HELD = 3.0


class Judge:
    """Judges the steps of one part, and counts.

    Args:
        part: its name.
        seed: of all random choices.
        seconds: for the part; a step that has begun is finished.
        only: the one step to play; None: all.
        selector: of the event loop that the part is played in.
    """

    def __init__(
        self,
        part: str,
        seed: int,
        seconds: float,
        only: str | None = None,
        selector: RoundSelector | None = None,
    ) -> None:
        self.part = part
        self.seed = seed
        self.step = ""
        self.cases = 0
        self.ends: Counter[str] = Counter()
        #: What was wrong, each with the command that plays the step again.
        self.faults: dict[str, str] = {}
        self._only = only
        self._seconds = seconds
        self.selector = selector or RoundSelector()
        #: Whether nothing was left to play.
        self.complete = False
        self._complaints: list[str] = []

    def row(self) -> str:
        """Return the counts as a line."""
        ends = ", ".join(f"{kind} {count}" for kind, count in self.ends.most_common())
        faults = "".join(f"\n  FAULT: {fault}" for fault in self.faults.values())
        which = "all" if self.complete else ""
        return f"{self.part:<14} {which:>3} {self.cases:>5} cases   {ends}{faults}"

    def replay(self) -> str:
        """Return the command that plays the latest step again."""
        return f"python -m tests.fuzz {self.part} --seed {self.seed} --step '{self.step}'"

    # -- steps -------------------------------------------------------------------------------------

    def steps(self, labels: Sequence[str] | None = None) -> Iterator[str]:
        """Yield labels, or numbers without an end, until the time is up.

        With one step to play, only that one is yielded.
        """
        until = time.monotonic() + self._seconds
        for label in [self._only] if self._only is not None else labels or map(str, count()):
            if time.monotonic() > until:
                return
            yield label
        self.complete = True

    async def play(self, step: str, *cases: Awaitable[None]) -> None:
        """Play the cases of one step at the same time, to their ends, and note faults."""
        self.step = step
        self.cases += len(cases)
        async with self._watch():
            ends = await asyncio.gather(*cases, return_exceptions=True)
        self._complaints += [_story(end) for end in ends if end is not None]
        for complaint in dict.fromkeys(self._complaints):
            # The same fault in another step has another address in its text, mostly.
            self.faults.setdefault(_without_numbers(complaint), f"{complaint}\n  {self.replay()}")
        self._complaints.clear()

    def random(self, *place: object) -> Random:
        """Return the generator of one place, the same in each run with this seed."""
        return Random(":".join(map(str, (self.seed, self.part, *place))))

    @asynccontextmanager
    async def _watch(self) -> AsyncIterator[None]:
        """Judge what the body leaves behind."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._loop_complains)
        self.selector.longest = 0.0
        tasks, files, peak = asyncio.all_tasks(), _open_files(), _peak()
        try:
            yield
        finally:
            await self._settle(tasks, files)
            gc.collect()
            await asyncio.sleep(0)
            loop.set_exception_handler(None)
        grown, held = _peak() - peak, self.selector.longest
        self.complain_if(grown > _GROWTH, f"{grown >> 20} MiB of memory taken")
        self.complain_if(held > _HELD, f"the event loop was held up for {held:.1f} s")

    async def _settle(self, tasks: set[asyncio.Task[Any]], files: set[str]) -> None:
        """Wait until tasks and descriptors are those of before; complain of what stays."""
        until = time.monotonic() + _PATIENCE
        while (left := asyncio.all_tasks() - tasks) or len(_open_files()) > len(files):
            if time.monotonic() > until:
                for task in left:
                    self._complaints.append(f"task left: {task!r}"[:300])
                for file in sorted(_open_files() - files):
                    self._complaints.append(f"file descriptor left: {file}")
                return
            await asyncio.sleep(0.01)

    # -- findings ----------------------------------------------------------------------------------

    def complain_if(self, bad: object, what: str) -> None:
        """Note a fault that does not end the step."""
        if bad:
            self._complaints.append(what)

    async def attempt(self, what: str, work: Awaitable[T], limit: float = LIMIT) -> T | None:
        """Await ``work``, which may raise what the library may raise, and must end in time."""
        try:
            async with asyncio.timeout(limit) as clock:
                value = await work
        except Fault:
            raise
        except Exception as error:
            if isinstance(error, TimeoutError) and clock.expired():
                raise Fault(f"{what}: no end within {limit} s") from None
            self.note(what, error)
            return None
        self.ends["ok"] += 1
        return value

    def note(self, what: str, error: BaseException) -> None:
        """Count an error, or complain of one that the library must not raise."""
        for leaf in _leaves(error):
            if not isinstance(leaf, (RedisError, TimeoutError)):
                raise Fault(f"{what}: {leaf!r} is no error of the library") from error
            self._check_memory(leaf)
            if not str(leaf).strip():
                raise Fault(f"{what}: {leaf!r} says nothing") from error
            self.ends[type(leaf).__name__] += 1

    def sink(self, event: Event) -> None:
        """Take a lifecycle event of an actor system: no actor crashes on an internal error."""
        if isinstance(event, ChildExited) and isinstance(event.reason, Crashed):
            for leaf in _leaves(event.reason.error):
                self._check_memory(leaf)
                if not isinstance(leaf, (RedisError, TimeoutError, OSError)):
                    self._complaints.append(f"{event.path} crashed: {leaf!r}")

    def _check_memory(self, error: BaseException) -> None:
        self.complain_if("memory" in str(error).lower(), f"asked for too much memory: {error!r}")

    def _loop_complains(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        text = f"{context.get('message')}: {context.get('exception')!r}"
        self._complaints.append(f"the event loop was told: {text}"[:400])


def _story(error: BaseException) -> str:
    """Return an exception in words, with the places that it came from."""
    if isinstance(error, Fault) and error.__cause__ is None:
        return str(error)
    places = traceback.extract_tb((error.__cause__ or error).__traceback__)[-3:]
    return f"{error or repr(error)} (in {', '.join(f'{p.filename}:{p.lineno}' for p in places)})"


def _without_numbers(text: str) -> str:
    return re.sub(r"\d+|0x[0-9a-f]+", "", text)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error


def _open_files() -> set[str]:
    """Return the open file descriptors, each with what it is, where the system tells."""
    folder, found = "/proc/self/fd", set()
    if not os.path.isdir(folder):
        return found
    for name in os.listdir(folder):
        try:
            found.add(f"{name} {os.readlink(f'{folder}/{name}')}")
        except OSError:
            pass  # it was the one that listed the folder
    return found


def _peak() -> int:
    """Return the most memory that the process ever had in RAM, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
