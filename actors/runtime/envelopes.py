"""Messages that the runtime itself puts into mailboxes."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:
    from actors.runtime.cell import Cell

__all__ = ["Envelope", "Lagged"]


class Envelope:
    """Base of what lies in a mailbox without being a user's message.

    A mailbox holds user messages bare. Only its envelopes carry code; the actor's loop tells them
    by one set look-up on the class, so that plain messages pay nothing more.
    """

    __slots__ = ()
    classes: set[type] = set()  # noqa: RUF012 - one set for all, filled by __init_subclass__
    #: Whether an overflowing mailbox may shed it.
    sheddable: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        Envelope.classes.add(cls)

    def deliver(self, cell: Cell) -> Awaitable[Any] | None:
        """Do what it is for, in its turn; what it returns is awaited."""
        raise NotImplementedError

    def delivered(self, cell: Cell, result: Any) -> None:
        """What :meth:`deliver` returned was awaited, and came to ``result``."""

    def failed(self, cell: Cell, error: BaseException) -> Any:
        """Its delivery raised ``error``: return the message that the failure sink is to be told."""
        return self

    def shed(self, path: str) -> None:
        """It is dropped at the bound of ``path``'s mailbox; only for sheddable ones."""

    def bury(self, cell: Cell) -> None:
        """It will not be delivered: the actor ended."""


class Lagged(Envelope):
    """``count`` messages were shed at this place in the mailbox (A3)."""

    __slots__ = ("count",)

    def __init__(self, count: int) -> None:
        self.count = count

    def add(self, count: int) -> Self:
        """Count ``count`` more, and return itself."""
        self.count += count
        return self

    def deliver(self, cell: Cell) -> Awaitable[None] | None:
        """Tell the actor, before the next message."""
        cell.processed -= 1  # it is none
        return cell.call_hook(cell.actor.on_lagged, self)

    def __repr__(self) -> str:
        return f"Lagged({self.count})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Lagged) and other.count == self.count

    def __hash__(self) -> int:
        return hash(self.count)
