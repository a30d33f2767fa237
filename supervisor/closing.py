"""Whether an event loop is about to be closed: ``asyncio.run`` cancels all tasks at its end."""

from __future__ import annotations

import asyncio
from typing import Final
from weakref import WeakKeyDictionary

#: Seconds for which "no" is not asked for again: looking at all tasks takes a while.
_NO_HOLDS: Final = 0.1

# By loop: until when "no" holds; None: the loop is being closed.
_known: WeakKeyDictionary[asyncio.AbstractEventLoop, float | None] = WeakKeyDictionary()


def is_closing(loop: asyncio.AbstractEventLoop) -> bool:
    """Return whether all tasks of ``loop`` are cancelled, the program's main task included.

    Ask when a task ends by a cancellation whose origin is unknown: if this one alone was
    cancelled, it crashed; if all were, the program ends.
    """
    holds = _known.get(loop, 0.0)
    if holds is None:
        return True
    now = loop.time()
    if now < holds:
        return False
    if all(task.cancelling() for task in asyncio.all_tasks(loop)):
        _known[loop] = None
        return True
    _known[loop] = now + _NO_HOLDS
    return False
