"""The commands that were sent over a shared connection and have no reply yet."""

from __future__ import annotations

import reprlib
from collections import deque
from collections.abc import Callable, Iterable

from actors.redis.exceptions import ProtocolError
from actors.redis.shared.reply_slots import ReplySlot
from actors.redis.wire.resp import INCOMPLETE, PushNotification


class _Write:
    """One write, until all its commands are answered."""

    __slots__ = ("at", "replies", "size")

    def __init__(self, replies: int, size: int, at: float) -> None:
        self.replies = replies
        self.size = size
        self.at = at


class InFlight:
    """Pairs replies with commands, in their order, and knows the oldest write.

    Attributes:
        slots: what takes the replies to come, the next one first.
        size: the bytes of all writes that are not answered in full.
    """

    __slots__ = ("_writes", "size", "slots")

    def __init__(self) -> None:
        self.size = 0
        self.slots: deque[ReplySlot] = deque()
        self._writes: deque[_Write] = deque()

    @property
    def oldest_at(self) -> float | None:
        """When the oldest write with a reply to come was made; None: there is none."""
        return self._writes[0].at if self._writes else None

    def add(self, slots: deque[ReplySlot], size: int, now: float) -> None:
        """Note a write of ``size`` bytes: commands whose replies go to ``slots``."""
        self.slots.extend(slots)
        self._writes.append(_Write(len(slots), size, now))
        self.size += size

    def take_replies(self, gets: Callable[[], object]) -> None:
        """Give each reply of the parser to the slot that has waited longest.

        Raises:
            ProtocolError: there is a reply and no command.
        """
        slots = self.slots
        before = len(slots)
        try:
            while (reply := gets()) is not INCOMPLETE:
                if type(reply) is PushNotification:
                    continue
                if not slots:
                    said = reprlib.repr(reply)
                    raise ProtocolError(f"the server sent {said} though nothing was asked")
                slot = slots.popleft()
                if slot.done():
                    continue
                if isinstance(reply, Exception):
                    slot.set_exception(reply)
                else:
                    slot.set_result(reply)
        finally:
            self._answered(before - len(slots))

    def _answered(self, count: int) -> None:
        while count:
            write = self._writes[0]
            if count < write.replies:
                write.replies -= count
                return
            count -= write.replies
            self.size -= write.size
            self._writes.popleft()

    def fail_older(self, limit: float, error: Callable[[], Exception]) -> None:
        """Fail the commands of the writes that were made at ``limit`` or before."""
        while self._writes and self._writes[0].at <= limit:
            write = self._writes.popleft()
            self.size -= write.size
            _fail((self.slots.popleft() for _ in range(write.replies)), error)

    def fail_all(self, error: Callable[[], Exception]) -> None:
        """Fail all commands."""
        slots, self.slots = self.slots, deque()
        self._writes.clear()
        self.size = 0
        _fail(slots, error)


def _fail(slots: Iterable[ReplySlot], error: Callable[[], Exception]) -> None:
    for slot in slots:
        if not slot.done():
            slot.set_exception(error())
