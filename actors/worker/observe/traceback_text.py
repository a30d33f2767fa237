"""The traceback of an error as a text that is not too long."""

from __future__ import annotations

import traceback
from typing import Final

from supervisor.log import printable_lines, shown_trace

#: Frames of each error in a chain of causes, and characters of the whole; the last ones are kept.
_FRAMES: Final = 12
_LONGEST: Final = 4000


def traceback_text(error: BaseException) -> str:
    """Return the traceback of ``error`` with those of its causes, cut at the beginning."""
    trace = shown_trace(error)
    lines = traceback.format_exception(type(error), error, trace, limit=-_FRAMES)
    text = printable_lines("".join(lines).rstrip())
    return text if len(text) <= _LONGEST else f"...{text[-_LONGEST:]}"
