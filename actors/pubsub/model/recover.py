"""Recover: how a consumer gets what it missed of a channel that keeps a history."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import msgspec

from supervisor import SpecError
from supervisor.checks import is_number

_ID = re.compile(r"\d{1,20}-\d{1,20}")


class Recover(msgspec.Struct, frozen=True, kw_only=True):
    """What a consumer of a channel with a history asks for: to miss nothing.

    The channel's messages must be published with a history; see docs/recovery.md.

    Attributes:
        patience: seconds for which messages are held back while the history cannot be read. After
            that they are delivered, and what may be missing before them is told as a gap.
        since: where to begin: ``"now"``, with the first message after the subscription; ``"all"``,
            with the oldest message that the history has; an entry's id, with the message after it;
            seconds or a timedelta, with the messages of so long ago.
        resume: the consumer's name. The position of what it has handled is kept at the server under
            this name, and the next consumer with the name goes on there; ``since`` counts for the
            first one. None: each consumer begins anew.
        replicated: the publishers wait for a replica (``History(replicas=1)``): the promotion of a
            replica whose primary died is then no gap.

    Raises:
        SpecError: with every problem found.
    """

    patience: float = 15.0
    since: str | bytes | float | timedelta = "now"
    resume: str | None = None
    replicated: bool = False

    def __post_init__(self) -> None:
        problems = []
        if not is_number(self.patience) or not self.patience >= 0:
            problems.append(f"patience must be seconds, 0 or more, not {self.patience!r}")
        if not _is_beginning(self.since):
            problems.append(
                'since must be "now", "all", the id of an entry ("1700000000000-5"), seconds, or a '
                f"timedelta, not {self.since!r}"
            )
        if self.resume is not None and (not isinstance(self.resume, str) or not self.resume):
            problems.append(f"resume must be a name, or None, not {self.resume!r}")
        if not isinstance(self.replicated, bool):
            problems.append(f"replicated must be True or False, not {self.replicated!r}")
        if problems:
            raise SpecError("recover", problems)


def seconds_back(recover: Recover) -> float | None:
    """Return how many seconds ago to begin; None: ``since`` says something else."""
    since = recover.since
    if isinstance(since, timedelta):
        return since.total_seconds()
    return since if isinstance(since, int | float) else None


def beginning(recover: Recover) -> str | None:
    """Return ``now``, ``all`` or an id, where to begin; None: so many seconds ago."""
    since = recover.since
    if isinstance(since, bytes):
        return since.decode("ascii", "replace")
    return since if isinstance(since, str) else None


def problems_of_recover(recover: Any) -> list[str]:
    """Return what is wrong with ``recover``, an option of pub/sub objects and handlers."""
    if recover is None or isinstance(recover, bool | Recover):
        return []
    return [f"recover must be a Recover, True, False, or None, not {recover!r}"]


def as_recover(own: Recover | bool | None, default: Recover | bool | None) -> Recover | None:
    """Return what a consumer asks for; None: no recovery.

    Args:
        own: the handler's option; None: it says nothing.
        default: the pub/sub object's.
    """
    chosen = default if own is None else own
    if isinstance(chosen, bool):
        return Recover() if chosen else None
    return chosen


def _is_beginning(since: Any) -> bool:
    if isinstance(since, timedelta):
        return since >= timedelta()
    if isinstance(since, bytes):
        since = since.decode("ascii", "replace")
    if isinstance(since, str):
        return since in ("now", "all") or _ID.fullmatch(since) is not None
    return is_number(since) and since >= 0
