"""Replies to come: a connection has one for each command in flight, in their order."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Any


class Pending(ABC):
    """One reply to come."""

    __slots__ = ()

    @abstractmethod
    def resolve(self, reply: Any) -> None:
        """Take the reply; an error reply is an exception instance.

        Raises:
            ProtocolError: the reply cannot be one to this command. The connection ends.
        """

    @abstractmethod
    def fail(self, error: BaseException) -> None:
        """Take the reason why no reply will come. Must not raise."""


class FuturePending(Pending):
    """Sets the result of a future, unless the future is done or cancelled."""

    __slots__ = ("future",)

    def __init__(self, future: asyncio.Future[Any]) -> None:
        self.future = future

    def resolve(self, reply: Any) -> None:
        """Set the future's result, or its exception if ``reply`` is one."""
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
