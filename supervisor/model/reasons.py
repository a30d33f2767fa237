"""Why a child ended: one value per ending, after Erlang/OTP's exit reasons.

``Normal`` and ``Shutdown`` are normal exits; all others are abnormal. That includes ``Escalated``:
in OTP a supervisor that gives up exits ``shutdown``, which leaves it dead below a transient parent.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec


class ExitReason(msgspec.Struct, frozen=True):
    """Base of all reasons.

    Attributes:
        normal: whether a transient child stays down after it.
    """

    normal: ClassVar[bool] = False

    @property
    def error(self) -> BaseException | None:
        """The exception behind it, where there is one."""
        return None


class Normal(ExitReason, frozen=True):
    """The child's work was done: it returned."""

    normal: ClassVar[bool] = True

    def __str__(self) -> str:
        return "normal"


class Shutdown(ExitReason, frozen=True):
    """The child was asked to stop and did."""

    normal: ClassVar[bool] = True
    detail: str | None = None

    def __str__(self) -> str:
        return f"shutdown ({self.detail})" if self.detail else "shutdown"


class Killed(ExitReason, frozen=True):
    """The child did not end within its deadline and was cancelled."""

    def __str__(self) -> str:
        return "killed"


class Crashed(ExitReason, frozen=True):
    """The child raised, or somebody other than its supervisor cancelled it."""

    cause: BaseException

    @property
    def error(self) -> BaseException:
        """The exception that ended it."""
        return self.cause

    @property
    def fatal(self) -> bool:
        """Whether it ends the whole system: SystemExit or KeyboardInterrupt, alone or in a group.

        No retry policy is asked about those.
        """
        if isinstance(self.cause, BaseExceptionGroup):
            return self.cause.subgroup((SystemExit, KeyboardInterrupt)) is not None
        return isinstance(self.cause, SystemExit | KeyboardInterrupt)

    def __str__(self) -> str:
        return f"crashed: {_in_words(self.cause)}"


class StartFailed(ExitReason, frozen=True):
    """The child ``id`` ended before it had started."""

    id: str
    cause: BaseException

    @property
    def error(self) -> BaseException:
        """The exception that its start raised."""
        return self.cause

    def __str__(self) -> str:
        return f"{self.id} failed to start: {_in_words(self.cause)}"


class Escalated(ExitReason, frozen=True):
    """A supervisor gave up: too many restarts, or a spent retry policy.

    Attributes:
        cause: the last child's error.
        restarts: how many restarts were tried before the supervisor gave up.
    """

    cause: BaseException | None
    restarts: int

    @property
    def error(self) -> BaseException | None:
        """The last child's error."""
        return self.cause

    def __str__(self) -> str:
        return f"gave up after {self.restarts} restarts: {_in_words(self.cause)}"


def _in_words(error: BaseException | None) -> str:
    """Return type and text of an error, as the last line of a traceback has them."""
    if error is None:
        return "a child ended without an error"
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


NORMAL = Normal()
SHUTDOWN = Shutdown()
#: The program cancelled everything that its event loop ran, as asyncio.run() does at its end.
LOOP_ENDS = Shutdown("the event loop ends")
KILLED = Killed()
