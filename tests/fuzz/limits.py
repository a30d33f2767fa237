"""What a fault is, and how long a call may take."""

from __future__ import annotations

__all__ = ["LIMIT", "Fault"]

#: Seconds for a call whose own limits are all shorter, on a busy machine.
LIMIT = 15.0


class Fault(AssertionError):
    """The library did what it must not do."""
