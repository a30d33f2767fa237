"""What follows when a child comes up or ends: who restarts, who is let go, who goes down too."""

from __future__ import annotations

from collections.abc import Callable

from supervisor.child import Child
from supervisor.lifecycle import Lifecycle, Phase
from supervisor.log import get_logger
from supervisor.model.events import (
    ChildExited,
    ChildRestarting,
    ChildStarted,
    ChildStartFailed,
    ChildUnkillable,
)
from supervisor.model.reasons import (
    LOOP_ENDS,
    SHUTDOWN,
    Crashed,
    Escalated,
    ExitReason,
    Shutdown,
    StartFailed,
)
from supervisor.model.retry_session import Decision
from supervisor.model.spec import AutoShutdown, Restart, Strategy
from supervisor.restart_decision import (
    GiveUp,
    RestartAfter,
    Verdict,
    Window,
    add_restart,
    after_exit,
    is_restartable,
)
from supervisor.strategy import DOWN, goes_down_with

log = get_logger("mailslot.supervisor")


class Reactions:
    """Changes what is wanted of children when one of them comes up or ends.

    Args:
        lifecycle: carries the changes out.
        wants_routine: says whether the sink wants everyday events.
    """

    def __init__(self, lifecycle: Lifecycle, wants_routine: Callable[[], bool]) -> None:
        self.restarts = 0
        self._lifecycle = lifecycle
        self._spec = lifecycle.spec
        self._wants_routine = wants_routine
        self._window: Window = ()

    def child_started(self, child: Child) -> None:
        """``child`` is up."""
        lifecycle = self._lifecycle
        if self._wants_routine():
            lifecycle.emit(ChildStarted(child.path, child.incarnation))
        if not lifecycle.lone:
            lifecycle.proceed()

    def child_down(
        self, child: Child, reason: ExitReason, asked_at: float | None, *, unkillable: bool
    ) -> None:
        """``child`` ended, or was left behind."""
        lifecycle = self._lifecycle
        lifecycle.live -= 1
        asked = asked_at is not None
        if unkillable:
            lifecycle.emit(ChildUnkillable(child.path, child.incarnation))
        if asked and lifecycle.lone and reason is SHUTDOWN and not child.wanted:
            # The rest of this function, cut short for the most common end.
            if self._wants_routine():
                lifecycle.emit(ChildExited(child.path, child.incarnation, reason))
            lifecycle.settle(child)
            return
        if not reason.normal or self._wants_routine():
            kind = ChildStartFailed if isinstance(reason, StartFailed) else ChildExited
            lifecycle.emit(kind(child.path, child.incarnation, reason))
        fatal = isinstance(reason, Crashed) and reason.fatal
        if lifecycle.ending:
            if fatal:
                lifecycle.final = reason
            lifecycle.record(child, reason, asked_at, unkillable=unkillable)
            lifecycle.proceed()
        elif fatal or reason is LOOP_ENDS:
            lifecycle.record(child, reason, asked_at, unkillable=unkillable)
            lifecycle.stop(reason)
        elif asked:
            lifecycle.settle(child)
            lifecycle.proceed(child)
        elif child.recycle or not child.wanted:
            # It ended before its turn to be stopped came: that is one restart, not two.
            lifecycle.settle(child)
            lifecycle.advance(child)
        else:
            self._ended_unasked(child, reason)

    def _ended_unasked(self, child: Child, reason: ExitReason) -> None:
        verdict = after_exit(
            child.spec.restart,
            reason,
            policy=self._ask_policy(child, reason),
            healthy_for=child.healthy_for,
            was_up=child.was_up,
            starting=self._lifecycle.phase is Phase.STARTING,
        )
        match verdict:
            case Verdict.RESTART:
                if self._within_intensity(reason):
                    self._restart(child, 0.0)
            case Verdict.LET_GO:
                self._let_go(child, reason)
            case Verdict.FAIL_START:
                self._lifecycle.stop(reason)
            case RestartAfter(delay):
                self._restart(child, delay)
            case GiveUp(escalated):
                self._lifecycle.stop(escalated)

    def _ask_policy(self, child: Child, reason: ExitReason) -> Decision | None:
        """Count a failure and return the retry policy's decision; None: it has no say."""
        policy, error = child.spec.retry_policy, reason.error
        if policy is None or error is None or not is_restartable(child.spec.restart, reason):
            return None
        now = self._lifecycle.clock.time()
        try:
            if child.retry is None or child.healthy_for is not None:
                child.retry = policy.session(now)
            return child.retry.failed(error, now)
        except Exception as bug:
            # A policy may be a user's own: an error in it must not leave the child in limbo.
            log.error("retry_policy_failed", path=child.path, error=repr(bug), exc_info=bug)
            return None

    def _let_go(self, child: Child, reason: ExitReason) -> None:
        child.wanted = False
        if self._spec.dynamic or child.spec.restart is Restart.TEMPORARY or not reason.normal:
            self._lifecycle.remove(child)
        child.forget()
        if child.spec.significant and child.was_up and self._was_last_significant():
            self._lifecycle.stop(Shutdown("significant children ended"))
        else:
            self._lifecycle.advance(child)

    def _was_last_significant(self) -> bool:
        if self._spec.auto_shutdown is AutoShutdown.ANY_SIGNIFICANT:
            return True
        children = self._lifecycle.children.values()
        return not any(child.spec.significant and child.wanted for child in children)

    def _within_intensity(self, reason: ExitReason) -> bool:
        limit, period = self._spec.intensity, self._spec.period
        self._window, allowed = add_restart(
            self._window, self._lifecycle.clock.time(), limit, period
        )
        if not allowed:
            self._lifecycle.stop(Escalated(reason.error, len(self._window) - 1))
        return allowed

    def _restart(self, child: Child, delay: float) -> None:
        self.restarts += 1
        self._lifecycle.emit(ChildRestarting(child.path, delay, child.incarnation))
        self._take_down_with(child)
        if delay > 0 and child.wanted:
            self._lifecycle.back_off(child, delay)
        self._lifecycle.advance(child)

    def _take_down_with(self, child: Child) -> None:
        assert isinstance(self._spec.strategy, Strategy)
        if self._spec.strategy is Strategy.ONE_FOR_ONE:
            return
        children = list(self._lifecycle.children.values())
        for i in goes_down_with(self._spec.strategy, children.index(child), len(children)):
            sibling = children[i]
            if sibling.status is DOWN:
                continue
            if sibling.spec.restart is Restart.TEMPORARY:
                sibling.wanted = False
            else:
                sibling.recycle = True
