"""Back-pressure: reading stops while a consumer with ``overflow="block"`` catches up (A3)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping

from actors.pubsub.connection.subscriber import Subscriber
from actors.pubsub.table.state import NodeId
from actors.runtime.messages.mailbox import Mailbox


class Backpressure:
    """The consumers that have to catch up; ``subscribers`` do not read meanwhile."""

    def __init__(
        self, subscribers: Mapping[NodeId, Subscriber], loop: asyncio.AbstractEventLoop
    ) -> None:
        self._subscribers = subscribers
        self._loop = loop
        self._tasks: dict[Mailbox, asyncio.Task[None]] = {}

    def __bool__(self) -> bool:
        return bool(self._tasks)

    def __iter__(self) -> Iterator[Mailbox]:
        return iter(self._tasks)

    def add(self, mailbox: Mailbox) -> None:
        """Read nothing until the consumer of ``mailbox`` has caught up."""
        if mailbox in self._tasks:
            return
        if not self._tasks:
            for subscriber in self._subscribers.values():
                subscriber.connection.pause_reading()
        task = self._loop.create_task(_room(mailbox), name="mailslot: waits for room")
        self._tasks[mailbox] = task
        task.add_done_callback(lambda _: self._caught_up(mailbox))

    def _caught_up(self, mailbox: Mailbox) -> None:
        del self._tasks[mailbox]
        if not self._tasks:
            for subscriber in self._subscribers.values():
                subscriber.connection.resume_reading()

    def cancel(self) -> None:
        """Wait no longer."""
        for task in self._tasks.values():
            task.cancel()


async def _room(mailbox: Mailbox) -> None:
    if mailbox.crowded:  # its consumer may have been faster than this task
        await mailbox.room()
