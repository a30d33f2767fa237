"""What a consumer with recovery was given, against what servers accepted."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import pairwise

from actors.pubsub.model.types import PubSubMessage
from tests.faults.load import Report
from tests.support import eventually

__all__ = ["Recovered", "complaints"]


class Recovered:
    """Takes the messages of channels whose payloads are numbers.

    Attributes:
        numbers: what arrived of each channel, in order.
        times: when (Unix seconds).
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self.numbers: dict[str, list[int]] = {name: [] for name in names}
        self.times: dict[str, list[float]] = {name: [] for name in names}

    def take(self, message: PubSubMessage) -> None:
        """Note a message."""
        name = message["channel"]
        self.numbers[name].append(int(message["data"]))
        self.times[name].append(time.time())

    def missing(self, report: Report) -> int:
        """Return how many accepted messages have not arrived."""
        arrived = {name: {*numbers} for name, numbers in self.numbers.items()}
        return sum(one.number not in arrived[self._names[one.channel]] for one in report.accepted)

    async def all_of(self, report: Report, timeout: float = 5.0) -> int:
        """Wait until everything accepted has arrived; return how much has not after ``timeout``."""
        with suppress(AssertionError):
            await eventually(lambda: not self.missing(report), timeout, 0.1)
        return self.missing(report)

    def wrong(self) -> int:
        """Return how many messages arrived twice or behind a later one."""
        return sum(
            later <= earlier
            for numbers in self.numbers.values()
            for earlier, later in pairwise(numbers)
        )


def complaints(checks: Mapping[str, bool]) -> tuple[str, ...]:
    """Return those of ``checks`` that are true."""
    return tuple(what for what, is_so in checks.items() if is_so)
