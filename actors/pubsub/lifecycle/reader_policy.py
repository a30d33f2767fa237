"""The user's retry policy, with the last word on what happens to connections."""

from __future__ import annotations

from actors.redis.exceptions import RedisError
from supervisor import RetryPolicy
from supervisor.retry_session import Decision, Refused, RetrySession, Spent

__all__ = ["ReaderPolicy"]

_OF_CONNECTIONS = (RedisError, TimeoutError, OSError)


class ReaderPolicy(RetryPolicy):
    """What ``policy`` does not retry, of all that can happen to a connection, is the end.

    Wrong credentials, say, are the user's to hear of at once. For a supervisor they would be a
    crash like any other, worth a few restarts (S5); which is right for bugs, and so for all errors
    that are not the connection's.
    """

    def __init__(self, policy: RetryPolicy) -> None:
        super().__init__(policy.retryable_exceptions, policy.retries)
        self._policy = policy

    def delay(self, attempt_number: int) -> float:
        """Return the policy's delay."""
        return self._policy.delay(attempt_number)

    def session(self, now: float) -> RetrySession:
        """Return the policy's count, with an end."""
        return _Session(self._policy.session(now))


class _Session(RetrySession):
    __slots__ = ("_session",)

    def __init__(self, session: RetrySession) -> None:
        self._session = session

    def failed(self, error: BaseException, now: float) -> Decision:
        decision = self._session.failed(error, now)
        if isinstance(decision, Refused) and isinstance(error, _OF_CONNECTIONS):
            return Spent(0)
        return decision
