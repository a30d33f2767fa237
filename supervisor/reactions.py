"""What the start and the end of a child change: who is let go, who restarts, who goes down too."""

from __future__ import annotations

from supervisor.child import Child
from supervisor.events import (
    ChildExited,
    ChildRestarting,
    ChildStarted,
    ChildStartFailed,
    ChildUnkillable,
)
from supervisor.log import get_logger
from supervisor.machine import Machine, Phase
from supervisor.reasons import SHUTDOWN, Crashed, Escalated, ExitReason, Shutdown, StartFailed
from supervisor.restart_decision import (
    GiveUp,
    RestartAfter,
    Verdict,
    Window,
    add_restart,
    after_exit,
    is_restartable,
)
from supervisor.retry_session import Decision
from supervisor.spec import AutoShutdown, Restart, Strategy
from supervisor.strategy import DOWN, goes_down_with

__all__ = ["Reactions"]

log = get_logger("mailslot.supervisor")


class Reactions(Machine):
    """The machine's answers to what its children do."""

    #: The restarts within the period (S4).
    _window: Window = ()

    def child_started(self, child: Child) -> None:
        """A child is up."""
        if self._routine():
            self._emit(ChildStarted(child.path, child.incarnation))
        if not self._alone:
            self._continue()

    def child_down(
        self, child: Child, reason: ExitReason, *, asked: bool, unkillable: bool
    ) -> None:
        """A child ended, or was left behind."""
        self._live -= 1
        if unkillable:
            self._emit(ChildUnkillable(child.path, child.incarnation))
        if asked and self._alone and reason is SHUTDOWN and not child.wanted:
            # The usual end of one that was asked to, where many come and go.
            if self._routine():
                self._emit(ChildExited(child.path, child.incarnation, reason))
            self._settle(child)
            return
        if not reason.normal or self._routine():
            kind = ChildStartFailed if isinstance(reason, StartFailed) else ChildExited
            self._emit(kind(child.path, child.incarnation, reason))
        fatal = isinstance(reason, Crashed) and reason.fatal
        if self.ending:
            if fatal:
                self._final = reason
            self._record(child, reason, asked, unkillable)
            self._continue()
        elif fatal:
            self._record(child, reason, asked, unkillable)
            self._begin_stop(reason)
        elif asked:
            self._settle(child)
            self._continue(child)
        elif child.recycle or not child.wanted:
            # It went before its turn to be stopped came: that is one restart, not two.
            self._settle(child)
            self._advance(child)
        else:
            self._unasked(child, reason)

    def _settle(self, child: Child) -> None:
        """A child is down as it should be: for good, or before it starts again with a sibling."""
        if not child.wanted:
            if self.spec.dynamic or child.spec.restart is Restart.TEMPORARY:
                self._remove(child)
            child.forget()

    def _unasked(self, child: Child, reason: ExitReason) -> None:
        spec = child.spec
        verdict = after_exit(
            spec.restart,
            reason,
            policy=self._ask_policy(child, reason)
            if is_restartable(spec.restart, reason)
            else None,
            healthy_for=child.healthy_for,
            was_up=child.was_up,
            starting=self.phase is Phase.STARTING,
        )
        match verdict:
            case Verdict.RESTART:
                if self._within_intensity(reason):
                    self._restart(child, 0.0)
            case Verdict.LET_GO:
                self._let_go(child, reason)
            case Verdict.FAIL_START:
                self._begin_stop(reason)
            case RestartAfter(delay):
                self._restart(child, delay)
            case GiveUp(escalated):
                self._begin_stop(escalated)

    def _let_go(self, child: Child, reason: ExitReason) -> None:
        child.wanted = False
        if self.spec.dynamic or child.spec.restart is Restart.TEMPORARY or not reason.normal:
            self._remove(child)
        child.forget()
        if child.spec.significant and child.was_up and self._was_last_significant():
            self._begin_stop(Shutdown("significant children ended"))
        else:
            self._advance(child)

    def _was_last_significant(self) -> bool:
        if self.spec.auto_shutdown is AutoShutdown.ANY_SIGNIFICANT:
            return True
        return not any(child.spec.significant and child.wanted for child in self._children.values())

    def _ask_policy(self, child: Child, reason: ExitReason) -> Decision | None:
        policy, error = child.spec.retry_policy, reason.error
        if policy is None or error is None:
            return None
        now = self.clock.time()
        try:
            if child.retry is None or child.healthy_for is not None:
                child.retry = policy.session(now)
            return child.retry.failed(error, now)
        except Exception as bug:
            # A policy may be the user's own: what it raises must not leave the child in limbo.
            log.error("retry_policy_failed", path=child.path, error=repr(bug), exc_info=bug)
            return None

    def _within_intensity(self, reason: ExitReason) -> bool:
        limit, period = self.spec.intensity, self.spec.period
        self._window, allowed = add_restart(self._window, self.clock.time(), limit, period)
        if not allowed:
            self._begin_stop(Escalated(reason.error, len(self._window) - 1))
        return allowed

    def _restart(self, child: Child, delay: float) -> None:
        self.restarts += 1
        self._emit(ChildRestarting(child.path, delay, child.incarnation))
        if not self._one_for_one:
            self._take_down_with(child)
        if delay > 0 and child.wanted:
            child.due = False
            child.backoff_until = self.clock.time() + delay
            child.backoff = self.clock.call_later(delay, lambda: self._backoff_over(child))
        self._advance(child)

    def _take_down_with(self, child: Child) -> None:
        children = list(self._children.values())
        assert isinstance(self.spec.strategy, Strategy)
        for i in goes_down_with(self.spec.strategy, children.index(child), len(children)):
            sibling = children[i]
            if sibling.status is DOWN:
                continue
            if sibling.spec.restart is Restart.TEMPORARY:
                sibling.wanted = False
            else:
                sibling.recycle = True

    def _backoff_over(self, child: Child) -> None:
        self._call_off(child)
        self._advance(child)
