"""Why a child ended: one value per ending, after Erlang/OTP's exit reasons.

``Normal`` and ``Shutdown`` are the normal exits. Everything else is abnormal, Escalated among them:
in OTP a supervisor that gives up exits ``shutdown``, and a transient parent then leaves it dead.
"""

from __future__ import annotations

import msgspec

__all__ = [
    "KILLED",
    "NORMAL",
    "SHUTDOWN",
    "Crashed",
    "Escalated",
    "ExitReason",
    "Killed",
    "Normal",
    "Shutdown",
    "StartFailed",
]


def _said(error: BaseException | None) -> str:
    """Return type and text of an error, as a traceback's last line has them."""
    if error is None:
        return "a child ended without an error"
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class ExitReason(msgspec.Struct, frozen=True):
    """Base of all reasons."""

    @property
    def normal(self) -> bool:
        """Whether a transient child stays down after it."""
        return False

    @property
    def error(self) -> BaseException | None:
        """The exception behind it, where there is one."""
        return None


class Normal(ExitReason, frozen=True):
    """The child's work was done: it returned."""

    @property
    def normal(self) -> bool:
        """True."""
        return True

    def __str__(self) -> str:
        return "normal"


class Shutdown(ExitReason, frozen=True):
    """The child was asked to stop and did."""

    detail: str | None = None

    @property
    def normal(self) -> bool:
        """True."""
        return True

    def __str__(self) -> str:
        return f"shutdown ({self.detail})" if self.detail else "shutdown"


class Killed(ExitReason, frozen=True):
    """The child did not end within its deadline and was cancelled."""

    def __str__(self) -> str:
        return "killed"


class Crashed(ExitReason, frozen=True):
    """The child raised; a cancellation that nobody here asked for counts as that, too."""

    cause: BaseException

    @property
    def error(self) -> BaseException:
        """The exception that ended it."""
        return self.cause

    @property
    def fatal(self) -> bool:
        """Whether it must end the whole system: SystemExit and KeyboardInterrupt, also in a group.

        No retry policy is asked about those.
        """
        if isinstance(self.cause, BaseExceptionGroup):
            return self.cause.subgroup((SystemExit, KeyboardInterrupt)) is not None
        return isinstance(self.cause, SystemExit | KeyboardInterrupt)

    def __str__(self) -> str:
        return f"crashed: {_said(self.cause)}"


class StartFailed(ExitReason, frozen=True):
    """The child ``id`` ended before it had started."""

    id: str
    cause: BaseException

    @property
    def error(self) -> BaseException:
        """What its start raised."""
        return self.cause

    def __str__(self) -> str:
        return f"{self.id} failed to start: {_said(self.cause)}"


class Escalated(ExitReason, frozen=True):
    """A supervisor gave up: too many restarts, or a spent retry policy.

    Attributes:
        cause: the last child's error.
        restarts: how many restarts were tried before it.
    """

    cause: BaseException | None
    restarts: int

    @property
    def error(self) -> BaseException | None:
        """The last child's error."""
        return self.cause

    def __str__(self) -> str:
        return f"gave up after {self.restarts} restarts: {_said(self.cause)}"


#: The usual ones, made once.
NORMAL = Normal()
SHUTDOWN = Shutdown()
KILLED = Killed()
