"""What a consumer was given: messages by channel, and gaps; and waiting for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence

from actors.pubsub.model.types import Gap
from tests.faults.load import Report
from tests.faults.verdict import Seen
from tests.support import eventually

__all__ = ["Arrivals"]

# Seconds in which every channel must be heard of again.
_PATIENCE = 15.0
# So many messages of a channel may lie in our sockets, unread, at any time.
_IN_SOCKETS = 2


class Arrivals:
    """Takes messages and gaps of one run.

    Args:
        channels: all of them.
        words: those whose payloads are one of two words instead of numbers; see ``words``.
    """

    def __init__(self, channels: Sequence[str], *, words: Collection[str] = ()) -> None:
        self.channels = channels
        self.gaps: list[Gap] = []
        self.messages: dict[str, list[tuple[int, float]]] = {name: [] for name in channels}
        self.words: dict[str, list[str]] = {name: [] for name in words}

    def take(self, channel: str, data: str) -> None:
        """Note a message."""
        arrived = self.messages[channel]
        if channel in self.words:
            self.words[channel].append(data)
            arrived.append((len(arrived), time.time()))
        else:
            arrived.append((int(data), time.time()))

    def seen(self, names: Sequence[str] | None = None) -> Seen:
        """Return what was seen of the channels ``names``; None: of all."""
        wanted = self.channels if names is None else names
        return Seen(
            {name: self.messages[name] for name in wanted},
            [gap for gap in self.gaps if gap.name in wanted],
        )

    async def live(self) -> list[str]:
        """Wait until there is something new of each channel; return the channels that stay silent.

        New is what was sent since: of each channel one message at a time is on its way, but some
        may lie in our own sockets.
        """
        before = {name: len(messages) for name, messages in self.messages.items()}

        def silent() -> list[str]:
            return [
                name
                for name, count in before.items()
                if len(self.messages[name]) < count + _IN_SOCKETS + 1
            ]

        try:
            await eventually(lambda: not silent(), _PATIENCE, 0.01)
        except AssertionError:
            return silent()
        return []

    async def quiet(self, report: Report) -> None:
        """Wait until all that was accepted has come, or nothing has for a while."""
        accepted: dict[str, set[int]] = {name: set() for name in self.channels}
        for message in report.accepted:
            channel = self.channels[message.channel]
            if channel not in self.words:  # whose numbers nobody can tell
                accepted[channel].add(message.number)
        last, since = -1, time.time()
        while time.time() - since < 0.5:
            missing = any(
                not accepted[name] <= {number for number, _ in messages}
                for name, messages in self.messages.items()
            )
            if not missing:
                await asyncio.sleep(0.05)  # for what may come twice
                return
            count = sum(map(len, self.messages.values()))
            if count != last:
                last, since = count, time.time()
            await asyncio.sleep(0.05)
