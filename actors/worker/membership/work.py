"""What the worker does, in numbers: for renewals and reports."""

from __future__ import annotations

from typing import Protocol


class Work(Protocol):
    """Answers for the whole process."""

    def handled_until(self) -> float:
        """Return the time (Unix seconds) before which every message that came was handled."""

    def received(self) -> int:
        """Return how many messages came."""

    def waiting(self) -> int:
        """Return how many messages wait in mailboxes."""
