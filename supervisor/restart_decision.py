"""What follows when a child ends unasked: restart, let go, or give up (S1, S2, S4, S5); pure.

The retry policy decides first, then the restart type. On ``Verdict.RESTART`` the supervisor still
has to ask :func:`add_restart` whether its restart intensity allows one more.
"""

from __future__ import annotations

from enum import Enum

import msgspec

from supervisor.model.reasons import Escalated, ExitReason, StartFailed
from supervisor.model.retry_session import Decision, Retry, Spent
from supervisor.model.spec import Restart

#: A child that was healthy for fewer seconds waits for its policy's first delay instead of
#: restarting at once: a server that accepts and drops connections must not make it spin.
MIN_HEALTHY = 1.0


class Verdict(Enum):
    """What follows, where that takes no value."""

    #: Start it again at once, if the restart intensity allows.
    RESTART = "restart"
    #: It is not started again.
    LET_GO = "let_go"
    #: The supervisor's own start has failed.
    FAIL_START = "fail_start"


class RestartAfter(msgspec.Struct, frozen=True):
    """Start it again after ``delay`` seconds, outside the restart intensity."""

    delay: float


class GiveUp(msgspec.Struct, frozen=True):
    """The supervisor stops its children and exits."""

    reason: Escalated


def is_restartable(restart: Restart | str, reason: ExitReason) -> bool:
    """Whether the restart type asks for another start after ``reason`` (S2)."""
    return restart is Restart.PERMANENT or (restart is Restart.TRANSIENT and not reason.normal)


def after_exit(
    restart: Restart | str,
    reason: ExitReason,
    *,
    policy: Decision | None,
    healthy_for: float | None,
    was_up: bool,
    starting: bool,
) -> Verdict | RestartAfter | GiveUp:
    """Return what follows the end of a child.

    Args:
        restart: the child's restart type.
        reason: why it ended.
        policy: the retry policy's decision; None: there is no policy, or it has no say.
        healthy_for: for how many seconds it had been healthy, or None.
        was_up: whether it had ever started successfully.
        starting: whether its supervisor is starting.
    """
    if is_restartable(restart, reason):
        if isinstance(policy, Spent):
            return GiveUp(Escalated(reason.error, policy.attempts))
        if isinstance(policy, Retry):
            rested = healthy_for is not None and healthy_for >= MIN_HEALTHY
            return RestartAfter(0.0 if rested else policy.delay)
    if isinstance(reason, StartFailed) and not was_up:
        return Verdict.FAIL_START if starting else Verdict.LET_GO
    return Verdict.RESTART if is_restartable(restart, reason) else Verdict.LET_GO


#: The times of the restarts within the period, oldest first, in monotonic seconds.
Window = tuple[float, ...]


def add_restart(
    window: Window, now: float, limit: int | None, period: float
) -> tuple[Window, bool]:
    """Add a restart at ``now``; return the new window and whether the restart is allowed.

    Args:
        limit: how many are allowed within ``period``; None: any number.
        period: seconds.
    """
    if limit is None:
        return (), True
    # limit + 1 entries are enough to say no; older ones would change no answer.
    kept = (*(at for at in window if at >= now - period), now)[-(limit + 1) :]
    return kept, len(kept) <= limit
