"""Several failures as one value: how many there were, and the first and the last of them (pure)."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import PurePath
from typing import Final

import msgspec

from supervisor.log import users_part

#: Characters of an error in a span, and of one by itself: that of a breaker contains two others.
LONGEST_IN_SPAN: Final = 300
_LONGEST: Final = 1000


class FailureSpan(msgspec.Struct, frozen=True):
    """Failures of one handler, from the first one to the last one.

    Attributes:
        count: how many there were.
        first_error: the error of the first one, as text.
        first_at: when that was, in Unix seconds.
        last_error: the error of the last one, as text.
        last_at: when that was, in Unix seconds.
    """

    count: int
    first_error: str
    first_at: float
    last_error: str
    last_at: float

    @classmethod
    def of(cls, error: str, at: float) -> FailureSpan:
        """Return one failure at ``at``."""
        return cls(1, error, at, error, at)

    def then(self, error: str, at: float) -> FailureSpan:
        """Return these failures and one more."""
        return FailureSpan(self.count + 1, self.first_error, self.first_at, error, at)

    def __str__(self) -> str:
        first, last = as_utc(self.first_at), as_utc(self.last_at)
        if self.count == 1:
            return f"1 failure at {first}: {self.first_error}"
        if self.first_error == self.last_error:
            return f"{self.count} failures from {first} to {last}: {self.first_error}"
        return (
            f"{self.count} failures, the first at {first}: {self.first_error};"
            f" the last at {last}: {self.last_error}"
        )


def as_utc(unix: float) -> str:
    """Return a time as text, to the second."""
    return f"{datetime.fromtimestamp(unix, UTC):%Y-%m-%dT%H:%M:%SZ}"


def error_text(error: BaseException, longest: int = _LONGEST) -> str:
    """Return the repr of ``error``, cut where it is long; the repr of a user's error may raise."""
    try:
        text = repr(error)
    except Exception as broken:
        text = f"{type(error).__name__}, whose repr raises {type(broken).__name__}"
    return text if len(text) <= longest else f"{text[:longest]}..."


def place_of(error: BaseException) -> str:
    """Return the line that raised ``error``: ``file.py:12 in function``.

    It is empty where the error was not raised by, or below, code of the user's.
    """
    trace = users_part(error.__traceback__)
    if trace is None:
        return ""
    while trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code
    return f"{PurePath(code.co_filename).name}:{trace.tb_lineno} in {code.co_qualname}"
