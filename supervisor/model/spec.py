"""Specs of children and supervisors: frozen values, checked when they are made (S9)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from enum import StrEnum
from typing import Any

import msgspec

from supervisor.checks import is_number, is_whole, problems_of_count, problems_of_seconds
from supervisor.model.errors import SpecError
from supervisor.model.reasons import ExitReason
from supervisor.model.retry_policy import RetryPolicy


class Restart(StrEnum):
    """When an ended child is started again (S2)."""

    PERMANENT = "permanent"
    TRANSIENT = "transient"
    TEMPORARY = "temporary"


class Strategy(StrEnum):
    """Who restarts with a child that restarts (S3)."""

    ONE_FOR_ONE = "one_for_one"
    REST_FOR_ONE = "rest_for_one"
    ONE_FOR_ALL = "one_for_all"


class AutoShutdown(StrEnum):
    """Whether the end of significant children ends their supervisor (OTP 24)."""

    NEVER = "never"
    ANY_SIGNIFICANT = "any_significant"
    ALL_SIGNIFICANT = "all_significant"


_RESTARTS = {member.value: member for member in Restart}
_STRATEGIES = {member.value: member for member in Strategy}
_AUTO_SHUTDOWNS = {member.value: member for member in AutoShutdown}

#: ``async (child: Child) -> None``: a child's whole life. A Child holds its spec, so that this
#: module cannot name its class.
Start = Callable[[Any], Coroutine[Any, Any, None]]


class ChildSpec(msgspec.Struct, frozen=True):
    """One child of a supervisor.

    Attributes:
        id: unique among its siblings; no ``/``.
        start: ``async (child) -> None``, the child's whole life. It calls ``child.started()`` once
            it is ready; without that call the child counts as starting until it ends.
        restart: when it is started again after it ended.
        shutdown: seconds from the request to stop until it is cancelled; None: as long as it
            needs; 0: cancelled at once.
        retry_policy: delays and limits of restarts after an error; these restarts do not count
            for the restart intensity (S5).
        healthy_after: seconds of running after which the child counts as healthy without a call of
            ``child.mark_healthy()``; None: only that call counts.
        start_timeout: seconds after which a start has failed; None: no limit.
        significant: whether it counts for the supervisor's ``auto_shutdown``.
        kind: a word for the tree: worker, supervisor, actor.
        on_gone: called once, with the last reason, when the child ended and will not be restarted.

    Raises:
        SpecError: it cannot work; the error lists every problem.
    """

    id: str
    start: Start
    restart: Restart | str = Restart.PERMANENT
    shutdown: float | None = 5.0
    retry_policy: RetryPolicy | None = None
    healthy_after: float | None = 5.0
    start_timeout: float | None = None
    significant: bool = False
    kind: str = "worker"
    on_gone: Callable[[ExitReason], None] | None = None

    def __post_init__(self) -> None:
        known = _RESTARTS.get(self.restart)
        if known is not None and known is not self.restart:
            msgspec.structs.force_setattr(self, "restart", known)
        if problems := self._problems():
            raise SpecError(f"child spec {self.id!r}", problems)

    def _problems(self) -> list[str]:
        problems = []
        if not isinstance(self.restart, Restart):
            problems.append(f"restart must be one of {', '.join(_RESTARTS)}, not {self.restart!r}")
        if not isinstance(self.id, str):
            problems.append(f"the id must be a str, not {self.id!r}")
        elif not self.id or "/" in self.id:
            problems.append("the id must not be empty and must have no '/' in it")
        problems += problems_of_seconds("shutdown", self.shutdown, zero=True, optional=True)
        problems += problems_of_seconds(
            "healthy_after", self.healthy_after, zero=True, optional=True
        )
        problems += problems_of_seconds("start_timeout", self.start_timeout, optional=True)
        if self.significant and self.restart is Restart.PERMANENT:
            problems.append("a significant child must be transient or temporary")
        if not callable(self.start):
            problems.append(f"start must be a coroutine function, not {self.start!r}")
        policy = self.retry_policy
        if policy is not None and not isinstance(policy, RetryPolicy):
            problems.append(f"retry_policy must be a RetryPolicy, or None, not {policy!r}")
        return problems


class SupervisorSpec(msgspec.Struct, frozen=True):
    """A supervisor and the children that it starts with.

    Attributes:
        strategy: who restarts with a child that restarts.
        children: started in this order, stopped in reverse.
        intensity: restarts allowed within ``period``; the restart of a group counts as one. None:
            any number, which only a retry policy on every child makes safe.
        period: seconds of the sliding window.
        auto_shutdown: whether significant children end the supervisor by ending themselves.
        dynamic: whether children come and go, have no order, and stop side by side.
        max_children: most children at a time; None: any number.
        kill_grace: seconds that a child cancelled at its deadline has before it is reported as
            unkillable and left behind.
    """

    strategy: Strategy | str = Strategy.ONE_FOR_ONE
    children: Sequence[ChildSpec] = ()
    intensity: int | None = 5
    period: float = 30.0
    auto_shutdown: AutoShutdown | str = AutoShutdown.NEVER
    dynamic: bool = False
    max_children: int | None = None
    kill_grace: float = 1.0

    def __post_init__(self) -> None:
        if stranger := _stranger(self.children):
            raise SpecError("supervisor spec", [stranger])
        strategy = _STRATEGIES.get(self.strategy)
        auto_shutdown = _AUTO_SHUTDOWNS.get(self.auto_shutdown)
        problems = self._problems(strategy, auto_shutdown)
        if problems:
            raise SpecError("supervisor spec", problems)
        msgspec.structs.force_setattr(self, "strategy", strategy)
        msgspec.structs.force_setattr(self, "auto_shutdown", auto_shutdown)
        msgspec.structs.force_setattr(self, "children", tuple(self.children))

    def _problems(self, strategy: Strategy | None, auto: AutoShutdown | None) -> list[str]:
        problems = []
        if strategy is None:
            names = ", ".join(_STRATEGIES)
            problems.append(f"strategy must be one of {names}, not {self.strategy!r}")
        if auto is None:
            names = ", ".join(_AUTO_SHUTDOWNS)
            problems.append(f"auto_shutdown must be one of {names}, not {self.auto_shutdown!r}")
        problems += problems_of_count("intensity", self.intensity, least=0, optional=True)
        problems += problems_of_seconds("period", self.period)
        # Without grace even a child that ends at once would count as unkillable.
        problems += problems_of_seconds("kill_grace", self.kill_grace)
        if self.dynamic and strategy is not Strategy.ONE_FOR_ONE:
            problems.append("dynamic children have no order: only one_for_one goes with them")
        most = self.max_children
        problems += (wrong := list(problems_of_count("max_children", most, least=0, optional=True)))
        if most is not None and not wrong and most < len(self.children):
            problems.append(f"{len(self.children)} children, but max_children={most}")
        problems += self._child_problems(strategy, auto)
        return problems

    def _child_problems(self, strategy: Strategy | None, auto: AutoShutdown | None) -> list[str]:
        problems = []
        ids = Counter(child.id for child in self.children)
        problems += [f"duplicate id {name!r}" for name, count in ids.items() if count > 1]
        for child in self.children:
            if child.significant and auto is AutoShutdown.NEVER:
                problems.append(f"{child.id!r} is significant, but auto_shutdown is never")
            if (
                strategy in (Strategy.REST_FOR_ONE, Strategy.ONE_FOR_ALL)
                and is_number(self.period)
                and is_whole(self.intensity)
                and self.intensity
                and child.shutdown is not None
                and child.kind != "supervisor"
                and child.shutdown >= self.period / self.intensity
            ):
                # Each restart waits for the siblings to stop. With restarts that far apart the
                # intensity is never exceeded: a crash loop goes on for ever (erlang/otp#4648).
                problems.append(
                    f"{child.id!r} may take {child.shutdown} s to stop, so"
                    f" {self.intensity} restarts in {self.period} s can never be exceeded:"
                    " shorten shutdown or raise period"
                )
        return problems


def _stranger(children: Any) -> str | None:
    """Return what is wrong with the type of ``children``, or of one of them."""
    if isinstance(children, ChildSpec | str) or not isinstance(children, Sequence):
        return f"children must be a list of ChildSpecs, not {children!r}"
    wrong = [child for child in children if not isinstance(child, ChildSpec)]
    return f"a child must be a ChildSpec, not {wrong[0]!r}" if wrong else None
