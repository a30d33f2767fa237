"""The actor system that the running code is in, so that clients made inside one show up in it."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from actors.runtime.system import ActorSystem

__all__ = ["current_system"]

_current: ContextVar[ActorSystem | None] = ContextVar("mailslot_system", default=None)


def current_system() -> ActorSystem | None:
    """Return the innermost ``async with ActorSystem()`` around the caller, if it still runs.

    Actors run in the context in which they were spawned, so it works inside them, too.
    """
    system = _current.get()
    return system if system is not None and system.running else None


def enter(system: ActorSystem) -> None:
    """Make ``system`` the current one of the running context, and of the tasks made in it."""
    _current.set(system)
