"""When messages came, for those who ask: spans that begin with the receipt.

A message carries no time, and a handler that nobody traces pays nothing for one. Where it is
traced, the writer of its mailbox notes the time of each batch for the messages in it.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from actors.pubsub.delivery.mailbox_writer import HandlerWriter

if TYPE_CHECKING:
    from actors.pubsub.delivery.message_queue import MessageQueue
    from actors.runtime.mailbox import Mailbox

__all__ = ["ReceiveTimes", "TimestampingWriter"]

# Of messages that were shed nobody asks: the oldest notes are forgotten beyond so many.
_MOST = 65_536


class ReceiveTimes:
    """When each message came, from its receipt until somebody asks."""

    __slots__ = ("_times",)

    def __init__(self) -> None:
        # By identity: a message that lives is the only one of its number, and one that came later
        # under the number of another that was shed has replaced it.
        self._times: OrderedDict[int, int] = OrderedDict()

    def note(self, messages: Iterable[Any]) -> None:
        """Note that ``messages`` came now."""
        now, times = time.time_ns(), self._times
        for message in messages:
            times[id(message)] = now
            times.move_to_end(id(message))
        while len(times) > _MOST:
            times.popitem(last=False)

    def take(self, message: Any) -> int | None:
        """Return when ``message`` came, in Unix nanoseconds, and forget it; None: nobody noted."""
        return self._times.pop(id(message), None)


class TimestampingWriter(HandlerWriter):
    """A way into a handler's mailbox that notes when messages come, once a batch."""

    __slots__ = ("_receipts",)

    def __init__(
        self,
        mailbox: Mailbox,
        touched: list[Any],
        path: str,
        pause: Callable[[Mailbox], None],
        message_queue: MessageQueue,
        bury: Callable[[Any], None],
        receive_times: Sequence[ReceiveTimes],
    ) -> None:
        super().__init__(mailbox, touched, path, pause, message_queue, bury)
        self._receipts = receive_times

    def wake(self) -> None:
        """Note the batch, and wake the handler."""
        queue = self.mailbox.queue
        batch = list(islice(reversed(queue), len(queue) - self._before))
        for receive_times in self._receipts:
            receive_times.note(message for message in batch if type(message) is dict)
        super().wake()
