"""How a reader is restarted after a failure: the user's retry policy, and what it cannot know.

    the connection is lost, or cannot be made      as the user's policy says
    the credential provider fails                  the same: its error is a ConnectionError here
    the server refuses for the moment              the same, but a second later at the latest
    the server says no                             see refusing_nodes.py

For a supervisor an error that no policy retries is a crash like any other, worth a few restarts
(S5). That is right for bugs. An error of the connection that nobody retries is final instead, and
is reported to the user at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from actors.redis.error_meaning import is_no, will_pass
from actors.redis.exceptions import ConnectionError, RedisError  # noqa: A004
from supervisor import RetryPolicy
from supervisor.model.retry_session import Decision, Refused, Retry, RetrySession, Spent

_OF_CONNECTIONS = (RedisError, TimeoutError, OSError)
#: Seconds until a server that refuses for the moment is asked again, at most.
_LONGEST_PAUSE: Final = 1.0


class ReaderPolicy(RetryPolicy):
    """The user's policy for one reader, and what follows where the server refuses.

    Args:
        policy: the user's.
        after_no: returns what follows the latest "no" of the reader's node.
    """

    def __init__(self, policy: RetryPolicy, after_no: Callable[[], Retry | Spent]) -> None:
        super().__init__(policy.retryable_exceptions, policy.retries)
        self._policy = policy
        self._after_no = after_no

    def delay(self, attempt_number: int) -> float:
        """Return the policy's delay."""
        return self._policy.delay(attempt_number)

    def session(self, now: float) -> RetrySession:
        """Return a session of the user's policy that knows what a refusal means."""
        # A policy that restores no lost connection restores no refused one.
        restores = self._policy.will_retry(ConnectionError())
        return _Session(self._policy.session(now), self._after_no if restores else None)


class _Session(RetrySession):
    __slots__ = ("_after_no", "_session")

    def __init__(self, session: RetrySession, after_no: Callable[[], Retry | Spent] | None) -> None:
        self._session = session
        self._after_no = after_no

    def failed(self, error: BaseException, now: float) -> Decision:
        decision = self._session.failed(error, now)
        if will_pass(error):
            if isinstance(decision, Refused):
                decision = self._session.failed(ConnectionError(str(error)), now)
            if isinstance(decision, Retry):
                return Retry(min(decision.delay, _LONGEST_PAUSE), decision.attempt)
        if not isinstance(decision, Refused):
            return decision
        if is_no(error) and self._after_no is not None:
            return self._after_no()
        return Spent(0) if isinstance(error, _OF_CONNECTIONS) else decision
