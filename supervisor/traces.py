"""Tracebacks for users: they begin at the user's code, not at the library that calls it."""

from __future__ import annotations

from types import TracebackType
from typing import Final, TypeAlias

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


def exc_info(error: BaseException) -> ExcInfo | None:
    """Return what to log of ``error``; None: no line of other code had a part in it."""
    trace = users_part(error.__traceback__)
    return None if trace is None else (type(error), error, trace)
