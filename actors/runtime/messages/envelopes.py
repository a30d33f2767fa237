"""Messages of the runtime itself, which travel in mailboxes beside the users' own."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Protocol, Self

from supervisor import ExitReason

__all__ = ["Envelope", "Lagged", "call_hook"]


class CellHost(Protocol):
    """What an envelope needs of the cell that delivers it; see ``Cell``."""

    path: str
    actor: Any
    receive: Callable[[Any], Any]
    receive_is_async: bool
    asking: Any
    processed: int
    ended: ExitReason | None

    def is_kill(self, error: BaseException) -> bool: ...
    def request_stop(self, *, drain: bool) -> None: ...


async def call_hook(hook: Callable[[Any], Any], argument: Any) -> None:
    """Call one of an actor's functions, which may be ``async``."""
    result = hook(argument)
    if inspect.isawaitable(result):
        await result


class Envelope:
    """Base of everything in a mailbox that is not a user's message.

    A mailbox holds user messages bare. The message loop tells envelopes from them by one set
    look-up on the class.
    """

    __slots__ = ()
    classes: set[type] = set()  # noqa: RUF012 - one set for all, filled by __init_subclass__
    #: Whether an overflowing mailbox may shed it.
    sheddable: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        Envelope.classes.add(cls)

    def deliver(self, cell: CellHost) -> Awaitable[Any] | None:
        """Act, in its turn among the messages; the message loop awaits what this returns."""
        raise NotImplementedError

    def delivered(self, cell: CellHost, result: Any) -> None:
        """Take ``result``, which awaiting :meth:`deliver` returned."""

    def failed(self, cell: CellHost, error: BaseException) -> Any:
        """Take ``error``, which its delivery raised; return the message for the failure sink."""
        return self

    def shed(self, path: str) -> None:
        """Take note that the full mailbox of ``path`` dropped it."""

    def dead_letter(self, cell: CellHost) -> None:
        """Take note that the actor ended before its delivery."""


class Lagged(Envelope):
    """``count`` messages were shed at this place in the mailbox (A3)."""

    __slots__ = ("count",)

    def __init__(self, count: int) -> None:
        self.count = count

    def add(self, count: int) -> Self:
        """Count ``count`` more, and return itself."""
        self.count += count
        return self

    def deliver(self, cell: CellHost) -> Awaitable[None] | None:
        """Tell the actor, before the next message."""
        cell.processed -= 1  # a Lagged does not count as a message
        return call_hook(cell.actor.on_lagged, self)

    def __repr__(self) -> str:
        return f"Lagged({self.count})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Lagged) and other.count == self.count

    def __hash__(self) -> int:
        return hash(self.count)
