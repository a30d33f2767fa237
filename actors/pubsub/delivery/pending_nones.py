"""How many calls of ``get_message`` are to return None."""

from __future__ import annotations

from collections.abc import Callable

#: So many Nones that nobody fetched show that nobody calls get_message; there are never more.
MOST_NONES = 10_000


class PendingNones:
    """Counts one None for each ignored acknowledgement and each message that a handler handled.

    Callers of ``get_message`` that expect one answer for each message rely on these. Until the
    first call, handled messages are not counted one by one: the handlers' writers report them all
    when that call comes.

    Attributes:
        count: how many are pending.
        wanted: whether somebody may still call ``get_message``. Writers read this and the next
            three attributes once a batch, so they are attributes, and no methods.
        polled: whether ``get_message`` was called.
        unreported: messages that handlers received before the first call.
        reports: called at the first call, one for each writer that has something to report.

    Args:
        wake: called when the count has grown.
    """

    __slots__ = ("_wake", "count", "polled", "reports", "unreported", "wanted")

    def __init__(self, wake: Callable[[], None]) -> None:
        self.count = 0
        self.wanted = True
        self.polled = False
        self.unreported = 0
        self.reports: list[Callable[[], None]] = []
        self._wake = wake

    def add(self, count: int) -> None:
        """Have the next ``count`` calls return None."""
        self.count = min(self.count + count, MOST_NONES)
        self.wanted = self.polled or self.count < MOST_NONES
        self._wake()

    def take(self) -> bool:
        """Use one up; False: none is pending."""
        if self.count == 0:
            return False
        self.count -= 1
        return True

    def note_call(self) -> None:
        """Note a call of ``get_message``; at the first one, collect what writers have to report."""
        if not self.polled:
            self.polled = self.wanted = True
            reports, self.reports = self.reports, []
            for report in reports:
                report()

    def refuse(self) -> None:
        """Count no more: nobody will call ``get_message``."""
        self.count, self.wanted = MOST_NONES, False
        self.reports.clear()
