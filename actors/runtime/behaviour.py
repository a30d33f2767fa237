"""What an actor is made from: its callbacks, and the spec of how it is kept alive."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

import msgspec

from actors.runtime.cell import Cell, Incarnation
from actors.runtime.messages.envelopes import Lagged
from actors.runtime.messages.lost_messages import FailureSink
from actors.runtime.messages.overflow import MailboxSpec
from supervisor import Child, ExitReason, Restart, RetryPolicy, SpecError
from supervisor.checks import no_option

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

    Raises:
        SpecError: ``actor``, ``args``, ``kwargs`` or ``name`` is of a wrong type.
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

    def __post_init__(self) -> None:
        if problems := list(self._problems()):
            raise SpecError("actor spec", problems)

    def _problems(self) -> Iterator[str]:
        actor = self.actor
        if isinstance(actor, Behaviour):
            yield (
                f"actor must be the class, not an instance: {type(actor).__name__}, and the"
                " arguments of its constructor"
            )
        elif not callable(actor) or (isinstance(actor, type) and not issubclass(actor, Behaviour)):
            yield f"actor must be an Actor class or a function that returns an Actor, not {actor!r}"
        if not isinstance(self.args, tuple | list):
            yield f"args must be a tuple, not {self.args!r}"
        if self.kwargs is not None and not isinstance(self.kwargs, Mapping):
            yield f"kwargs must map names to arguments, or be None, not {self.kwargs!r}"
        if self.name is not None and not isinstance(self.name, str):
            yield f"name must be a str, or None, not {self.name!r}"

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
        for name in options:
            if name not in cls.__struct_fields__:
                problem = no_option("an actor", name, cls.__struct_fields__)
                raise TypeError(
                    f"{problem}; arguments of its constructor: kwargs={{{name!r}: ...}}"
                )
        return cls(actor, args, **options)
