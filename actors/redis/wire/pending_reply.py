"""What waits for a reply: a connection has one for each command in flight, in order."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Any

__all__ = ["FuturePending", "Pending"]


class Pending(ABC):
    """One expected reply."""

    __slots__ = ()

    @abstractmethod
    def resolve(self, reply: Any) -> None:
        """Take the reply; an exception instance where it is an error reply. Must not raise."""

    @abstractmethod
    def fail(self, error: BaseException) -> None:
        """Learn that there will be no reply. Must not raise."""


class FuturePending(Pending):
    """Passes the reply on to a future; one that was cancelled meanwhile ignores it."""

    __slots__ = ("future",)

    def __init__(self, future: asyncio.Future[Any]) -> None:
        self.future = future

    def resolve(self, reply: Any) -> None:
        """Set the future's result, or its exception where ``reply`` is one."""
        if self.future.done():
            return
        if isinstance(reply, Exception):
            self.future.set_exception(reply)
        else:
            self.future.set_result(reply)

    def fail(self, error: BaseException) -> None:
        """Set the future's exception."""
        if not self.future.done():
            self.future.set_exception(error)
