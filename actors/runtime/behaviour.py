"""What an actor is made from: its callbacks, and the spec of how it is kept alive."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import msgspec

from actors.runtime.cell import Cell, Incarnation
from actors.runtime.messages.envelopes import Lagged
from actors.runtime.messages.lost_messages import FailureSink
from actors.runtime.messages.overflow import MailboxSpec
from supervisor import Child, ExitReason, Restart, RetryPolicy

M = TypeVar("M")


class Behaviour(Generic[M]):
    """The callbacks of an actor; :class:`actors.Actor` is the class that users subclass.

    Attributes:
        resilient: whether an exception in :meth:`receive` costs its message only, instead of
            crashing the incarnation.
    """

    resilient: bool = False

    async def on_start(self) -> None:
        """Run before the first message. An exception is a failed start."""

    def receive(self, message: M, /) -> Any:
        """Handle one message (A1); the result answers an ask.

        An exception crashes this incarnation, and the supervisor decides what follows (A4).
        """
        raise NotImplementedError(f"{type(self).__name__} has no receive()")

    async def on_stop(self, reason: ExitReason) -> None:
        """Run after the last message of this incarnation, also after a crash."""

    def on_lagged(self, lagged: Lagged) -> Any:
        """Run in the place of ``lagged.count`` messages that the full mailbox dropped (A3)."""

    def _begin_incarnation(self, cell: Cell, child: Child) -> Incarnation:
        """Give the new instance its context."""
        raise NotImplementedError


class ActorSpec(msgspec.Struct, frozen=True):
    """An actor class and its arguments, and how it is kept alive.

    Attributes:
        actor: the class, or a function that returns an :class:`Actor`.
        args: its positional arguments.
        kwargs: its keyword arguments.
        name: its name among its siblings; None: the class name and a number.
        mailbox: bound and overflow policy; an int is a capacity.
        restart: permanent, transient (restarted after a crash) or temporary (S2).
        retry_policy: delays and limits of restarts after an error (S5).
        shutdown: seconds to stop in before it is cancelled; None: as long as it needs.
        start_timeout: seconds that ``on_start`` may take; None: no limit.
        significant: whether it counts for its supervisor's ``auto_shutdown``.
        keep_mailbox: whether messages survive a restart (A4).
        on_failure: takes messages that it fails on; None: the system's failure sink does.
        describe: returns more for its ``detail`` in the tree.
    """

    actor: Callable[..., Behaviour[Any]]
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] | None = None
    name: str | None = None
    mailbox: MailboxSpec | int | None = None
    restart: Restart | str = Restart.TRANSIENT
    retry_policy: RetryPolicy | None = None
    shutdown: float | None = 5.0
    start_timeout: float | None = None
    significant: bool = False
    keep_mailbox: bool = True
    on_failure: FailureSink | None = None
    describe: Callable[[], Mapping[str, Any]] | None = None

    @classmethod
    def of(
        cls,
        actor: Callable[..., Behaviour[Any]] | ActorSpec,
        args: tuple[Any, ...],
        options: Mapping[str, Any],
    ) -> ActorSpec:
        """Return ``actor`` as a spec; if it is one, ``options`` replace its fields."""
        if isinstance(actor, ActorSpec):
            if args:
                raise TypeError("arguments beside an ActorSpec: put them into the spec")
            return msgspec.structs.replace(actor, **options) if options else actor
        return cls(actor, args, **options)
