"""Counts the consecutive failures of one thing and decides about the next attempt; pure.

A session is apart from its policy, so that a new one can begin after a healthy period (S5): eight
disconnections on eight days are eight first failures.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

import msgspec


class Retry(msgspec.Struct, frozen=True):
    """Try again after ``delay`` seconds; ``attempt`` counts the failures so far, from 1."""

    delay: float
    attempt: int


class Refused(msgspec.Struct, frozen=True):
    """The policy is not for this error."""


class Spent(msgspec.Struct, frozen=True):
    """The policy is for this error, but its retries or its deadline are used up."""

    attempts: int


Decision = Retry | Refused | Spent


def matches(error: BaseException, types: tuple[type[BaseException], ...]) -> bool:
    """Whether ``error``, or any leaf where it is a group, is one of ``types``."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(types)[0] is not None if types else False
    return isinstance(error, types)


class RetrySession(ABC):
    """The consecutive failures of one thing, under one policy."""

    __slots__ = ()

    @abstractmethod
    def failed(self, error: BaseException, now: float) -> Decision:
        """Count a failure at ``now`` (monotonic seconds) and return what follows."""


class Limits(Protocol):
    """What a session needs of its policy."""

    retries: int | None
    deadline: float

    def will_retry(self, exc: BaseException) -> bool:
        """Whether ``exc`` gets another attempt."""

    def delay(self, attempt_number: int) -> float:
        """Return the seconds to wait after the failure number ``attempt_number``, from 1."""


class PolicySession(RetrySession):
    """Counts for one policy."""

    __slots__ = ("_attempts", "_policy", "_since")

    def __init__(self, policy: Limits, now: float) -> None:
        self._policy = policy
        self._since = now
        self._attempts = 0

    def failed(self, error: BaseException, now: float) -> Decision:
        """Count a failure, if the policy is for it."""
        policy = self._policy
        if not policy.will_retry(error):
            return Refused()
        self._attempts += 1
        if policy.retries is not None and self._attempts > policy.retries:
            return Spent(self._attempts - 1)
        delay = policy.delay(self._attempts)
        if now + delay - self._since >= policy.deadline:
            return Spent(self._attempts - 1)
        return Retry(delay, self._attempts)


class CompositeSession(RetrySession):
    """Counts for several policies, each of which counts its own errors."""

    __slots__ = ("_attempts", "_sessions")

    def __init__(self, sessions: list[RetrySession]) -> None:
        self._sessions = sessions
        self._attempts = 0

    def failed(self, error: BaseException, now: float) -> Decision:
        """Return the longest delay of the policies that grant another attempt."""
        decisions = [session.failed(error, now) for session in self._sessions]
        delays = [decision.delay for decision in decisions if isinstance(decision, Retry)]
        if delays:
            self._attempts += 1
            return Retry(max(delays), self._attempts)
        if any(isinstance(decision, Spent) for decision in decisions):
            return Spent(self._attempts)
        return Refused()
