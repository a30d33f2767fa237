"""The exit codes of a worker process (pure).

0    drained: it was asked to stop, and nothing was left unhandled
1    gave up: restarts did not help, or a hook raised
2    usage: a wrong option, a module that does not import, an app with problems
3    the broker could not be reached at the start
4    not drained: the drain deadline passed, or a process was killed while it drained
130  a second SIGINT ended the drain
143  a second SIGTERM ended the drain
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import Final

from actors.redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    ConnectionError,  # noqa: A004
    RedisClusterError,
)
from supervisor import SpecError
from supervisor.log import printable


class ExitCode(IntEnum):
    """See the module's docstring."""

    DRAINED = 0
    GAVE_UP = 1
    USAGE = 2
    NOT_CONNECTED = 3
    DEADLINE = 4
    FORCED_INT = 130
    FORCED_TERM = 143


class UsageError(Exception):
    """The command line or the app is wrong; the text is one sentence for the user."""


class ConnectFailedError(Exception):
    """The broker could not be reached when the worker started; the text says why."""


#: The beginning of the note on an error that a user's hook raised.
HOOK: Final = "raised by the hook "

_UNREACHABLE = (
    ConnectFailedError,
    ConnectionError,
    TimeoutError,
    OSError,
    AuthenticationError,
    AuthorizationError,
    RedisClusterError,
)


def exit_code(error: BaseException, *, started: bool) -> ExitCode:
    """Return the exit code of a process that ``error`` ended before or after its worker started."""
    causes = list(_leaves(error))
    if any(isinstance(cause, SpecError | UsageError) for cause in causes):
        return ExitCode.USAGE
    if any(HOOK in note for cause in causes for note in getattr(cause, "__notes__", ())):
        return ExitCode.GAVE_UP  # a connection that fails in a hook is not the broker's
    if not started and causes and all(isinstance(cause, _UNREACHABLE) for cause in causes):
        return ExitCode.NOT_CONNECTED
    return ExitCode.GAVE_UP


def code_of_exit(error: SystemExit) -> int:
    """Return the exit code that Python gives a process for ``error``: a text means 1."""
    code = error.code
    if code is None:
        return ExitCode.DRAINED
    return code & 0xFF if isinstance(code, int) else ExitCode.GAVE_UP


def one_sentence(error: BaseException) -> str:
    """Return ``error`` as one line; of a group, all of its causes."""
    parts = []
    for cause in _leaves(error):
        text = " ".join(str(cause).split())
        plain = isinstance(cause, SpecError | UsageError | ConnectFailedError)
        text = text if plain and text else f"{type(cause).__name__}: {text}".rstrip(": ")
        parts.append("; ".join([text, *getattr(cause, "__notes__", ())]))
    return printable("; ".join(dict.fromkeys(parts)))


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
