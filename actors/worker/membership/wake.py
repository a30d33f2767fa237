"""Has members look at their leases before anything else when the process goes on after a stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any

_woken: list[Callable[[], None]] = []
_before: Any = None


def on_wake(callback: Callable[[], None]) -> Callable[[], None]:
    """Have ``callback`` called between two steps of the program when SIGCONT comes.

    Outside of the main thread nothing is called: Python handles signals there.

    Returns:
        what ends that.
    """
    global _before
    if threading.current_thread() is not threading.main_thread():
        return _nothing
    if not _woken:
        _before = signal.signal(signal.SIGCONT, _wake)
    _woken.append(callback)

    def end() -> None:
        if callback in _woken:
            _woken.remove(callback)
            if not _woken and threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGCONT, _before or signal.SIG_DFL)

    return end


def _wake(signum: int, frame: Any) -> None:
    for callback in _woken:
        callback()
    if callable(_before):
        _before(signum, frame)


def _nothing() -> None:
    """End nothing."""
