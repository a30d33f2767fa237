"""Retry policies: which errors get another attempt, how many, and how long to wait between.

A policy keeps no count; a session does (:mod:`supervisor.model.retry_session`). So one policy
object can serve many children.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import math
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, ParamSpec, TypeVar

from supervisor.checks import problems_of_count, problems_of_seconds
from supervisor.model.retry_session import (
    CompositeSession,
    PolicySession,
    Retry,
    RetrySession,
    matches,
)

R = TypeVar("R")
P = ParamSpec("P")

#: Called before an attempt.
BeforeHook = Callable[[], Awaitable[Any] | None]
#: Called with the error before the delay; a mapping picks the hook by exception type.
FailureHook = Callable[[BaseException], Awaitable[Any] | None]
FailureHooks = FailureHook | Mapping[type[BaseException], FailureHook]

# These end a program or a task. A policy for BaseException does not mean them.
_ENDING = (asyncio.CancelledError, KeyboardInterrupt, SystemExit)

# 2.0 ** 1024 overflows, which an outage of some hours would reach.
_MAX_EXPONENT = 1000


class RetryPolicy(ABC):
    """Base of the policies.

    Args:
        retryable_exceptions: the errors that get another attempt.
        retries: how many further attempts follow a first failure; None: any number.
        deadline: no attempt begins later than this many seconds after the first one began.
    """

    def __init__(
        self,
        retryable_exceptions: tuple[type[BaseException], ...],
        retries: int | None,
        *,
        deadline: float = math.inf,
    ) -> None:
        problems = [
            *_problems_of_errors(retryable_exceptions),
            *problems_of_count("retries", retries, least=0, optional=True),
            *problems_of_seconds("deadline", deadline, zero=True),
        ]
        if problems:
            raise ValueError("; ".join(problems))
        self.retryable_exceptions = tuple(retryable_exceptions)
        self.retries = retries
        self.deadline = deadline

    @abstractmethod
    def delay(self, attempt_number: int) -> float:
        """Return the seconds to wait after the failure number ``attempt_number``, from 1."""

    def will_retry(self, exc: BaseException) -> bool:
        """Whether ``exc``, or an error in it where it is a group, gets another attempt."""
        return matches(exc, self.retryable_exceptions)

    def session(self, now: float) -> RetrySession:
        """Return a count that starts at ``now`` (monotonic seconds)."""
        return PolicySession(self, now)

    async def call_with_retries(
        self,
        func: Callable[[], Awaitable[R]],
        before_hook: BeforeHook | None = None,
        failure_hook: FailureHooks | None = None,
    ) -> R:
        """Await ``func()`` until it succeeds or this policy grants no further attempt.

        KeyboardInterrupt, SystemExit and CancelledError are retried only where the policy names
        them (BaseException does not). GeneratorExit, and the cancellation of the calling task, are
        never retried.

        Args:
            func: makes the coroutine of one attempt.
            before_hook: called before every attempt, and awaited if it returns an awaitable. An
                error that it raises counts as if ``func`` had raised it.
            failure_hook: called with the error before each wait; of a mapping, the first entry
                whose type matches. An error that it raises ends the attempts.

        Raises:
            the last error, when the policy does not retry it or is spent.
        """
        session = self.session(time.monotonic())
        while True:
            try:
                if before_hook is not None:
                    await _call(before_hook)
                return await func()
            except BaseException as error:
                if _must_pass(error, self.retryable_exceptions):
                    raise
                decision = session.failed(error, time.monotonic())
                if not isinstance(decision, Retry):
                    raise
                hook = _pick(failure_hook, error)
                if hook is not None:
                    await _call(hook, error)
            await asyncio.sleep(decision.delay)

    def __repr__(self) -> str:
        names = ", ".join(exc.__name__ for exc in self.retryable_exceptions)
        return f"{type(self).__name__}(({names}), retries={self.retries})"


def _problems_of_errors(errors: Any) -> Iterator[str]:
    if not isinstance(errors, Iterable) or any(
        not (isinstance(one, type) and issubclass(one, BaseException)) for one in errors
    ):
        yield f"retryable_exceptions must be a tuple of exception classes, not {errors!r}"


def _must_pass(error: BaseException, types: tuple[type[BaseException], ...]) -> bool:
    """Whether ``error``, or one in it where it is a group, ends a program or a task.

    Errors that ``types`` name do not count, but for GeneratorExit and the task's own cancellation.
    """
    if isinstance(error, Exception):  # also a group of nothing else
        return False
    if isinstance(error, BaseExceptionGroup):
        return any(_must_pass(one, types) for one in error.exceptions)
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            return True
    elif isinstance(error, GeneratorExit):
        return True  # a coroutine that is being closed cannot await another attempt
    elif not isinstance(error, KeyboardInterrupt | SystemExit):
        return False
    return not isinstance(error, tuple(kind for kind in types if issubclass(kind, _ENDING)))


async def _call(hook: Callable[..., Awaitable[Any] | None], *args: object) -> None:
    result = hook(*args)
    if inspect.isawaitable(result):
        await result


def _pick(hooks: FailureHooks | None, error: BaseException) -> FailureHook | None:
    if hooks is None or callable(hooks):
        return hooks
    return next((hook for kind, hook in hooks.items() if matches(error, (kind,))), None)


class NoRetryPolicy(RetryPolicy):
    """Never another attempt."""

    def __init__(self) -> None:
        super().__init__((), 0, deadline=0)

    def delay(self, attempt_number: int) -> float:
        """Return 0."""
        return 0.0


class ConstantRetryPolicy(RetryPolicy):
    """Wait ``delay`` seconds after every failure."""

    def __init__(
        self,
        retryable_exceptions: tuple[type[BaseException], ...],
        retries: int | None,
        *,
        deadline: float = math.inf,
        delay: float = 1,
    ) -> None:
        super().__init__(retryable_exceptions, retries, deadline=deadline)
        for problem in problems_of_seconds("delay", delay, zero=True):
            raise ValueError(problem)
        self._delay = delay

    def delay(self, attempt_number: int) -> float:
        """Return the constant, in seconds."""
        return self._delay


class ExponentialBackoffRetryPolicy(RetryPolicy):
    """Wait ``base_delay`` seconds after the first failure and twice as long after each next one.

    Args:
        max_delay: no wait is longer, in seconds.
        jitter: draw each wait evenly from between ``base_delay`` and the exponential one, so that
            the many clients of a failed server do not return at the same moment.
        rng: where the draws come from; tests pass a seeded one.
    """

    def __init__(
        self,
        retryable_exceptions: tuple[type[BaseException], ...],
        retries: int | None,
        *,
        deadline: float = math.inf,
        base_delay: float = 1,
        max_delay: float = math.inf,
        jitter: bool = False,
        rng: random.Random | None = None,
    ) -> None:
        super().__init__(retryable_exceptions, retries, deadline=deadline)
        for problem in (
            *problems_of_seconds("base_delay", base_delay, zero=True),
            *problems_of_seconds("max_delay", max_delay, zero=True),
        ):
            raise ValueError(problem)
        self._base_delay = base_delay
        self._max_delay = max_delay
        self._jitter = jitter
        self._rng = rng or random.Random()

    def delay(self, attempt_number: int) -> float:
        """Return the seconds to wait after the failure number ``attempt_number``, from 1."""
        exponent = min(attempt_number - 1, _MAX_EXPONENT)
        delay = min(self._max_delay, self._base_delay * 2.0**exponent)
        if self._jitter:
            # The cap holds for a base above it, too.
            delay = self._rng.uniform(min(self._base_delay, delay), delay)
        return delay


class CompositeRetryPolicy(RetryPolicy):
    """Several policies, each for its own errors and with its own count.

    Where several are for one error, another attempt follows as long as one policy grants it, after
    the longest of the granted delays.
    """

    def __init__(self, *retry_policies: RetryPolicy) -> None:
        for policy in retry_policies:
            if not isinstance(policy, RetryPolicy):
                raise TypeError(f"a retry policy must be a RetryPolicy, not {policy!r}")
        super().__init__((), 0)
        self._policies = list(retry_policies)
        self._collect()

    def _collect(self) -> None:
        types = (kind for policy in self._policies for kind in policy.retryable_exceptions)
        self.retryable_exceptions = tuple(dict.fromkeys(types))

    def add_retry_policy(self, policy: RetryPolicy) -> None:
        """Add ``policy``; sessions that run already do not see it."""
        self._policies.append(policy)
        self._collect()

    def delay(self, attempt_number: int) -> float:
        """Raise NotImplementedError: the delay depends on the error; use :meth:`session`."""
        raise NotImplementedError("a composite policy's delay depends on the error: use session()")

    def will_retry(self, exc: BaseException) -> bool:
        """Whether any of the policies is for ``exc``."""
        return any(policy.will_retry(exc) for policy in self._policies)

    def session(self, now: float) -> RetrySession:
        """Return a session that counts for each of the policies."""
        return CompositeSession([policy.session(now) for policy in self._policies])

    def __repr__(self) -> str:
        return f"CompositeRetryPolicy({', '.join(map(repr, self._policies))})"


def retryable(
    policy: RetryPolicy, failure_hook: FailureHooks | None = None
) -> Callable[[Callable[P, Awaitable[R]]], Callable[P, Awaitable[R]]]:
    """Decorate a coroutine function so that each call runs under ``policy``."""

    def decorate(func: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
        @functools.wraps(func)
        async def call(*args: P.args, **kwargs: P.kwargs) -> R:
            return await policy.call_with_retries(
                lambda: func(*args, **kwargs), failure_hook=failure_hook
            )

        return call

    return decorate
