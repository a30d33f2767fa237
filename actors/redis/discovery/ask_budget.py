"""How many nodes of a cluster one client may ask for the topology beside the one in turn (pure)."""

from __future__ import annotations

#: Questions a second while every channel is live, and while one has no live source.
_CALM, _URGENT = 1.0, 8.0
#: Questions that may be saved up: one look at a cluster of eight nodes, and half of a second one.
_SAVED = 10.0
#: Seconds after which an urgent state counts as the normal one.
_URGENT_FOR = 10.0


class AskBudget:
    """A token bucket: one token is one question to one node."""

    def __init__(self) -> None:
        self._tokens = _SAVED
        self._filled_at: float | None = None
        self._urgent_since: float | None = None

    def take(self, wanted: int, now: float, *, urgent: bool) -> int:
        """Return how many of ``wanted`` questions may be asked now, and count them as asked.

        ``urgent`` means that a channel has no live source.
        """
        if not urgent:
            self._urgent_since = None
        elif self._urgent_since is None:
            self._urgent_since = now
        passing = self._urgent_since is not None and now - self._urgent_since < _URGENT_FOR
        elapsed = 0.0 if self._filled_at is None else now - self._filled_at
        self._filled_at = now
        self._tokens = min(_SAVED, self._tokens + elapsed * (_URGENT if passing else _CALM))
        granted = min(wanted, int(self._tokens))
        self._tokens -= granted
        return granted
