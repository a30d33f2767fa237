"""Restart intensity, pure: how many restarts within how many seconds are too many (S4).

After OTP's ``add_restart``: entries older than the period go, one is added, and the restart is
allowed while no more than ``limit`` are left; an entry exactly one period old still counts.
"""

from __future__ import annotations

__all__ = ["Window", "add_restart"]

#: The times of the restarts within the period, oldest first, in monotonic seconds.
Window = tuple[float, ...]


def add_restart(
    window: Window, now: float, limit: int | None, period: float
) -> tuple[Window, bool]:
    """Add a restart at ``now``; return the new window and whether the restart is allowed.

    Args:
        limit: how many are allowed within ``period``; None: any number.
        period: seconds.
    """
    if limit is None:
        return (), True
    # Entries beyond the limit change no later answer: while they are kept the answer is no anyway.
    kept = (*(at for at in window if at >= now - period), now)[-(limit + 1) :]
    return kept, len(kept) <= limit
