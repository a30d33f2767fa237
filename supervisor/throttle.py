"""Rate limits for reports: the first one goes out, the rest are counted."""

from __future__ import annotations

from collections.abc import Callable, Hashable

__all__ = ["Throttle"]

# Keys come from the outside (paths, exception types): more than these are forgotten, oldest first.
_MOST_KEYS = 1024


class Throttle:
    """Lets one report per key and interval pass, or a few.

    Args:
        time: the clock, in seconds.
        interval: seconds that begin with a report of one key.
        burst: how many of the key pass in that time.
    """

    __slots__ = ("_burst", "_interval", "_seen", "_time")

    def __init__(self, time: Callable[[], float], interval: float = 1.0, *, burst: int = 1) -> None:
        self._time = time
        self._interval = interval
        self._burst = burst
        self._seen: dict[Hashable, tuple[float, int]] = {}

    def passes(self, key: Hashable) -> int | None:
        """Return how many were suppressed since the last one that passed; None: suppressed."""
        now = self._time()
        begun, reports = self._seen.get(key, (now, 0))
        if reports and now - begun < self._interval:
            self._seen[key] = (begun, reports + 1)
            return None if reports >= self._burst else 0
        if not reports and len(self._seen) >= _MOST_KEYS:
            del self._seen[next(iter(self._seen))]
        self._seen[key] = (now, 1)
        return max(0, reports - self._burst)
