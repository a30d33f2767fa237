"""Where the log of a worker process goes: to stderr, for people or for machines."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

__all__ = ["FORMATS", "configure"]

FORMATS = ("console", "json")


def configure(format: str, *, level: int = logging.INFO, **fields: Any) -> None:
    """Have structlog write to stderr.

    Args:
        format: ``console`` or ``json``, a line each.
        level: the lowest that is written.
        fields: added to each line.
    """
    last: list[Any]
    # Tracebacks without local variables: those hold payloads, and whatever handlers know.
    if format == "json":
        tracebacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        last = [
            structlog.processors.ExceptionRenderer(tracebacks),
            structlog.processors.JSONRenderer(default=repr),
        ]
    else:
        last = [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(),
                pad_event_to=0,
                exception_formatter=structlog.dev.plain_traceback,
            )
        ]
    structlog.contextvars.bind_contextvars(**fields)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
