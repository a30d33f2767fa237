"""How many calls of ``get_message`` are to return None."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["PendingNones"]

# So many Nones that nobody fetched show that nobody calls get_message; there are never more.
_MOST = 10_000


class PendingNones:
    """Counts one None for each ignored acknowledgement and each message that a handler handled.

    Callers of ``get_message`` that expect one answer for each message rely on these.

    Attributes:
        count: how many are pending.
        wanted: whether somebody may still call ``get_message``. A handler's writer reads it once
            a batch, so it is an attribute, and no property.

    Args:
        wake: called when the count has grown.
    """

    __slots__ = ("_polled", "_wake", "count", "wanted")

    def __init__(self, wake: Callable[[], None]) -> None:
        self.count = 0
        self.wanted = True
        self._polled = False
        self._wake = wake

    def add(self, count: int) -> None:
        """Have the next ``count`` calls return None."""
        self.count = min(self.count + count, _MOST)
        self.wanted = self._polled or self.count < _MOST
        self._wake()

    def take(self) -> bool:
        """Use one up; False: none is pending."""
        if self.count == 0:
            return False
        self.count -= 1
        return True

    def note_call(self) -> None:
        """Note that somebody calls ``get_message``."""
        self._polled = self.wanted = True

    def refuse(self) -> None:
        """Count no more: nobody will call ``get_message``."""
        self.count, self.wanted = _MOST, False
