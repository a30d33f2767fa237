"""Messages without a handler, many at a time: ``async for messages in pubsub.batches()``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Self

from actors.pubsub.model.types import PubSubMessage


class MessageBatches:
    """An asynchronous iterator over lists of messages.

    Args:
        next_batch: returns the next messages, so many at the most; raises StopAsyncIteration at
            the end.
        most: messages in one list at the most.
    """

    def __init__(
        self, next_batch: Callable[[int], Awaitable[list[PubSubMessage]]], most: int
    ) -> None:
        if isinstance(most, bool) or not isinstance(most, int) or most < 1:
            raise ValueError(f"max must be a whole number of messages, 1 or more, not {most!r}")
        self._next_batch = next_batch
        self._most = most

    def __aiter__(self) -> Self:
        """Iterate; ends when nothing is subscribed."""
        return self

    async def __anext__(self) -> list[PubSubMessage]:
        """Return the next messages, in order; waits for the first one only."""
        return await self._next_batch(self._most)
