"""Where the library's log lines go: to structlog or to :mod:`logging`; and what keeps them few.

Names of channels, payloads and the texts of exceptions come from outside. Raw, their control
characters would clear a screen, rename a window or look like further lines of a log:
:func:`printable` makes them harmless, for log lines and for whatever else is shown on a terminal.

In a program that configured structlog, lines go through that configuration. In every other program
they go to the standard library's logger of the same name: warnings reach stderr, lower levels are
silent until the program enables them, and nothing is ever printed to stdout.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Hashable
from types import TracebackType
from typing import Any, Final, Generic, TypeAlias, TypeVar

T = TypeVar("T")

# This module never imports structlog: that takes longer than all the rest of `import actors`, and
# a late import would block the event loop for a tenth of a second during the first outage.


def _configured_structlog() -> Any:
    """Return the module structlog if the program imported and configured it, else None."""
    structlog = sys.modules.get("structlog")
    # While another thread imports structlog, the module exists without its functions.
    is_configured = getattr(structlog, "is_configured", None)
    return structlog if is_configured is not None and is_configured() else None


def printable(text: str) -> str:
    r"""Return ``text`` with everything that does not print written as ``repr`` does, ``\x1b``.

    That includes line breaks. A backslash stays as it is.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def printable_lines(text: str, indent: str = "") -> str:
    """Return the lines of ``text``, each of them printable and indented."""
    return "\n".join(f"{indent}{printable(line)}" for line in text.split("\n"))


def _line(event: str, fields: dict[str, Any]) -> str:
    """Return an event as ``key=value`` pairs."""
    pairs = [f"event={event!r}", *(f"{key}={value!r}" for key, value in fields.items())]
    return printable(" ".join(pairs))  # an object may have any text as its repr


class _Logger:
    """Forwards to structlog when the program configured it, else to :mod:`logging`.

    The choice is made per call, not at import: a program configures its logging after its imports.
    """

    __slots__ = ("_logging", "_name")

    def __init__(self, name: str) -> None:
        self._name = name
        self._logging = logging.getLogger(name)

    def _log(self, level: int, method: str, event: str, fields: dict[str, Any]) -> None:
        structlog = _configured_structlog()
        if structlog is not None:
            getattr(structlog.get_logger(self._name), method)(event, **fields)
        elif self._logging.isEnabledFor(level):
            error = fields.pop("exc_info", None)
            self._logging.log(level, "%s", _line(event, fields), exc_info=error)

    def shows_debug(self) -> bool:
        """Whether debug lines are shown; ask first where there are many lines."""
        if "structlog" in sys.modules and _configured_structlog() is not None:
            return True
        return self._logging.isEnabledFor(logging.DEBUG)

    def debug(self, event: str, **fields: object) -> None:
        """Log an expected event: a start, a stop, a reconnect that worked."""
        self._log(logging.DEBUG, "debug", event, fields)

    def info(self, event: str, **fields: object) -> None:
        """Log an event an operator may want to see, but need not act upon."""
        self._log(logging.INFO, "info", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """Log a fault that was dealt with."""
        self._log(logging.WARNING, "warning", event, fields)

    def error(self, event: str, **fields: object) -> None:
        """Log a fault that nothing was done about."""
        self._log(logging.ERROR, "error", event, fields)


def get_logger(name: str) -> _Logger:
    """Return the logger called ``name`` (dotted, like ``mailslot.supervisor``)."""
    return _Logger(name)


# Keys come from outside (paths, exception types): the oldest of more than these is forgotten.
_MOST_KEYS = 1024


class Throttle:
    """Lets one report for each key and interval pass, or a few.

    Args:
        time: the clock, in seconds.
        interval: seconds, counted from the first report of a key.
        burst: how many reports of a key pass within the interval.
    """

    __slots__ = ("_burst", "_interval", "_seen", "_time")

    def __init__(self, time: Callable[[], float], interval: float = 1.0, *, burst: int = 1) -> None:
        self._time = time
        self._interval = interval
        self._burst = burst
        self._seen: dict[Hashable, tuple[float, int]] = {}

    def passes(self, key: Hashable) -> int | None:
        """Return how many were suppressed since the last that passed; None: suppress this one."""
        now = self._time()
        begun, reports = self._seen.get(key, (now, 0))
        if reports and now - begun < self._interval:
            self._seen[key] = (begun, reports + 1)
            return None if reports >= self._burst else 0
        if not reports and len(self._seen) >= _MOST_KEYS:
            del self._seen[next(iter(self._seen))]
        self._seen[key] = (now, 1)
        return max(0, reports - self._burst)


class _Fold:
    """What came of one key since it was last told."""

    __slots__ = ("count", "latest", "loop", "timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, timer: asyncio.TimerHandle) -> None:
        self.loop = loop
        self.timer = timer
        self.count = 0
        self.latest: Any = None


class Folder(Generic[T]):
    """Folds reports that have the same key: the caller tells the first, the folder how many follow.

    A key of which nothing came for one interval is forgotten: its next report is a first one.

    Args:
        tell: takes the latest report of a key, and how many there were since the last one told.
        interval: seconds between two counts of one key.
    """

    __slots__ = ("_folds", "_interval", "_tell")

    def __init__(self, tell: Callable[[T, int], None], interval: float) -> None:
        self._tell = tell
        self._interval = interval
        self._folds: dict[Hashable, _Fold] = {}

    def is_first(self, key: Hashable, report: T) -> bool:
        """Return whether the caller has to tell ``report``; if not, it is counted."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # no timer can be set, so that a count would never be told
            return True
        fold = self._folds.get(key)
        if fold is not None and fold.loop is loop:
            fold.count += 1
            fold.latest = report
            return False
        if fold is not None or len(self._folds) >= _MOST_KEYS:
            self._end(key if fold is not None else next(iter(self._folds)))
        self._folds[key] = _Fold(loop, loop.call_later(self._interval, self._due, key))
        return True

    def flush(self) -> None:
        """Tell all counts now: the program, or a part of it, ends."""
        for key in list(self._folds):
            self._end(key)

    def _due(self, key: Hashable) -> None:
        fold = self._folds[key]
        if not fold.count:
            del self._folds[key]
            return
        fold.timer = fold.loop.call_later(self._interval, self._due, key)
        self._count_told(fold)

    def _end(self, key: Hashable) -> None:
        fold = self._folds.pop(key)
        fold.timer.cancel()
        if fold.count:
            self._count_told(fold)

    def _count_told(self, fold: _Fold) -> None:
        latest, count = fold.latest, fold.count
        fold.latest, fold.count = None, 0
        self._tell(latest, count)


# -- tracebacks ----------------------------------------------------------------------------------

#: Tracebacks for users begin at their code, not at the library that calls it.
_OWN: Final = ("actors", "supervisor")

#: What logging takes as ``exc_info``.
ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType]


def users_part(trace: TracebackType | None) -> TracebackType | None:
    """Return ``trace`` from its first frame of other code than this library's; None: has none."""
    while trace is not None:
        package, _, _ = str(trace.tb_frame.f_globals.get("__name__")).partition(".")
        if package not in _OWN:
            return trace
        trace = trace.tb_next
    return None


def shown_trace(error: BaseException) -> TracebackType | None:
    """Return what users are shown of the traceback of ``error``: it begins at their code.

    Where no code of theirs had a part in it: nothing of an error that tells all by itself, such as
    a payload that does not decode; everything of any other, which is a fault of this library.
    """
    trace = users_part(error.__traceback__)
    if trace is not None:
        return trace
    package, _, _ = type(error).__module__.partition(".")
    tells_all = package in (*_OWN, "msgspec") or isinstance(error, UnicodeError)
    return None if tells_all else error.__traceback__


def exc_info(error: BaseException) -> ExcInfo | None:
    """Return what to log of ``error``; None: it tells all by itself."""
    trace = shown_trace(error)
    return None if trace is None else (type(error), error, trace)
