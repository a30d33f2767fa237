"""What an actor is made from, kept over its restarts (A8)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from actors.runtime.actor import Actor
from actors.runtime.failures import FailureSink
from actors.runtime.overflow import MailboxSpec
from supervisor import Restart, RetryPolicy

__all__ = ["ActorSpec"]


class ActorSpec(msgspec.Struct, frozen=True):
    """An actor class and its arguments, and how it is kept alive.

    Attributes:
        actor: the class, or anything that makes an :class:`Actor` of ``args``.
        args: its positional arguments.
        kwargs: its keyword arguments.
        name: its name among its siblings; made up from the class where there is none.
        mailbox: bound and overflow policy; an int is a capacity.
        restart: permanent, transient (restarted after a crash) or temporary (S2).
        retry_policy: delays and limits of restarts after an error (S5).
        shutdown: seconds to stop in before it is cancelled; None: as long as it needs.
        start_timeout: seconds that ``on_start`` may take; None: no limit.
        significant: counts for its supervisor's ``auto_shutdown``.
        keep_mailbox: whether messages survive a restart (A4).
        on_failure: takes the messages that it fails on; None: the system's failure sink.
        describe: returns what the tree shows of it, beside its mailbox.
    """

    actor: Callable[..., Actor[Any]]
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
        actor: Callable[..., Actor[Any]] | ActorSpec,
        args: tuple[Any, ...],
        options: Mapping[str, Any],
    ) -> ActorSpec:
        """Return ``actor`` as a spec: given one already, ``options`` replace its fields."""
        if isinstance(actor, ActorSpec):
            if args:
                raise TypeError("arguments beside an ActorSpec: put them into the spec")
            return msgspec.structs.replace(actor, **options) if options else actor
        return cls(actor, args, **options)
