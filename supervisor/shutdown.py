"""How long a child gets to stop, pure (S7).

A child has its own allowance; a total deadline, where there is one, caps the sum. Every deadline is
a point on the monotonic clock, so that handing one down a tree loses nothing on the way.
"""

from __future__ import annotations

__all__ = ["INFINITY", "stop_deadline"]

#: The allowance of a child that may take as long as it needs.
INFINITY: None = None


def stop_deadline(now: float, allowance: float | None, total: float | None) -> float | None:
    """Return when a child that is asked to stop at ``now`` is cancelled; None: never.

    Args:
        allowance: the child's own seconds; None: as long as it needs; 0: cancelled at once.
        total: the deadline of everything around it, or None.
    """
    own = None if allowance is None else now + allowance
    if own is None:
        return total
    return own if total is None else min(own, total)
