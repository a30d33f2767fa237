"""What takes a reply on a shared connection: a future takes one, a batch takes several."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol


class ReplySlot(Protocol):
    """Takes the reply to one command; an :class:`asyncio.Future` is a slot as it is."""

    def done(self) -> bool:
        """Whether nobody wants the reply: the reply is read and discarded."""

    def set_result(self, result: Any, /) -> None:
        """Take the reply."""

    def set_exception(self, exception: Any, /) -> None:
        """Take the error reply, or the reason why no reply comes."""


class Batch:
    """Takes the replies to ``size`` commands; the queue of replies has this object once for each.

    Attributes:
        future: its result is the list of the replies, in which errors are values.
    """

    __slots__ = ("_missing", "_replies", "future")

    def __init__(self, future: asyncio.Future[list[Any]], size: int) -> None:
        self.future = future
        self._replies: list[Any] = []
        self._missing = size

    def done(self) -> bool:
        """Return False: each reply counts, also where nobody waits for the batch."""
        return False

    def set_result(self, result: Any, /) -> None:
        """Take the next reply."""
        self._replies.append(result)
        self._missing -= 1
        if not self._missing and not self.future.done():
            self.future.set_result(self._replies)

    set_exception = set_result


class _Discard:
    """Takes a reply that nobody wants."""

    __slots__ = ()

    def done(self) -> bool:
        return True

    def set_result(self, result: Any, /) -> None:
        """Do nothing."""

    def set_exception(self, exception: Any, /) -> None:
        """Do nothing."""


#: Stands for every command whose reply nobody wants.
DISCARD = _Discard()
