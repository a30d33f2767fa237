"""The second consumer of the demo: the same channels, with recovery, in a system of its own.

The messages are published with a history. So each fault shows what it costs a consumer that takes
what comes, and one that reads what it has missed.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

from actors import ActorSystem, Gap, Handler, History
from examples.demo_parts.ledger import Ledger
from examples.demo_parts.worker import Event

__all__ = ["HISTORY", "Recovering", "SubscribeRecovering"]

#: Enough for what all channels together miss in the longest fault.
HISTORY = History(maxlen=1000)

#: Takes handlers by channel, a function for gaps, and a system; returns the pubsub object to enter.
SubscribeRecovering = Callable[[dict[str, Any], Callable[[Gap], None], ActorSystem], Any]


class Recovering:
    """Books what arrives with recovery.

    Attributes:
        pubsub: the pubsub object, while it consumes.
    """

    def __init__(self, ledger: Ledger, subscribe: SubscribeRecovering) -> None:
        self.pubsub: Any = None
        self._ledger = ledger
        self._subscribe = subscribe

    @asynccontextmanager
    async def consuming(self, channels: list[str]) -> AsyncGenerator[None, None]:
        """Consume ``channels``."""
        handlers = {channel: Handler(self._booking(channel), decode=Event) for channel in channels}
        async with ActorSystem("recovering") as system:
            self.pubsub = self._subscribe(handlers, self._ledger.not_recovered, system)
            async with self.pubsub:
                yield

    def _booking(self, channel: str) -> Callable[[Event], None]:
        def handle(event: Event) -> None:
            self._ledger.recovered(channel, event.number)

        return handle
