"""Rate limits for reports: the first one goes out, the rest are counted."""

from __future__ import annotations

from collections.abc import Callable, Hashable

__all__ = ["Throttle"]

# Keys come from the outside (paths, exception types): more than these are forgotten, oldest first.
_MOST_KEYS = 1024


class Throttle:
    """Lets one report per key and interval pass.

    Args:
        time: the clock, in seconds.
        interval: seconds between two reports of one key.
    """

    __slots__ = ("_interval", "_seen", "_time")

    def __init__(self, time: Callable[[], float], interval: float = 1.0) -> None:
        self._time = time
        self._interval = interval
        self._seen: dict[Hashable, tuple[float, int]] = {}

    def passes(self, key: Hashable) -> int | None:
        """Return how many were suppressed since the last one that passed; None: suppressed."""
        now = self._time()
        last = self._seen.get(key)
        if last is not None and now - last[0] < self._interval:
            self._seen[key] = (last[0], last[1] + 1)
            return None
        if last is None and len(self._seen) >= _MOST_KEYS:
            del self._seen[next(iter(self._seen))]
        self._seen[key] = (now, 0)
        return 0 if last is None else last[1]
