"""The class that users subclass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from supervisor import ExitReason

if TYPE_CHECKING:
    from actors.runtime.context import ActorContext
    from actors.runtime.messages import Lagged

__all__ = ["Actor"]

M = TypeVar("M")


class Actor(Generic[M]):
    """State and behaviour of one actor; each incarnation is a new instance (A8).

    Subclasses take what they need in ``__init__`` (the arguments given to ``spawn``, kept over
    restarts) and define :meth:`receive`, as ``async def`` or as ``def``.

    Attributes:
        context: what the runtime offers it; set before :meth:`on_start`.
        resilient: whether an exception in :meth:`receive` costs its message only (it goes to the
            failure sink) instead of crashing the incarnation.
    """

    context: ActorContext
    resilient: bool = False

    async def on_start(self) -> None:
        """Run before the first message. What it raises is a failed start."""

    def receive(self, message: M) -> Any:
        """Handle one message (A1); what it returns answers an ask.

        What it raises crashes this incarnation, and the supervisor decides what follows (A4).
        """
        raise NotImplementedError(f"{type(self).__name__} has no receive()")

    async def on_stop(self, reason: ExitReason) -> None:
        """Run after the last message of this incarnation, also after a crash."""

    def on_lagged(self, lagged: Lagged) -> Any:
        """Hear that ``lagged.count`` messages were shed right before the next one (A3)."""
