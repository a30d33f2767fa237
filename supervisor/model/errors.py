"""The supervisor's exceptions."""

from __future__ import annotations

from collections.abc import Sequence

from supervisor.model.reasons import Escalated, ExitReason, StartFailed


class SupervisorError(Exception):
    """Base of all errors that this package raises by itself."""


class SpecError(SupervisorError, ValueError):
    """A spec cannot work.

    Attributes:
        problems: every problem found, a sentence each.
    """

    def __init__(self, what: str, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(f"{what}: " + "; ".join(self.problems))


class SupervisorExit(SupervisorError):
    """A supervisor ended abnormally; ``reason`` says how."""

    reason: ExitReason

    def __init__(self, reason: ExitReason) -> None:
        self.reason = reason
        super().__init__(str(reason))


class StartError(SupervisorExit):
    """A child failed while its supervisor started (S1); ``__cause__`` is what it raised."""

    reason: StartFailed


class EscalatedError(SupervisorExit):
    """A supervisor gave up (S4, S5); ``__cause__`` is the last child's error."""

    reason: Escalated


def to_exception(reason: ExitReason) -> BaseException | None:
    """Return ``reason`` as an exception, or None for a normal exit."""
    if reason.normal:
        return None
    error = reason.error
    if isinstance(reason, StartFailed):
        failure: SupervisorExit = StartError(reason)
    elif isinstance(reason, Escalated):
        failure = EscalatedError(reason)
    elif error is not None:
        return error
    else:
        failure = SupervisorExit(reason)
    failure.__cause__ = error
    return failure
