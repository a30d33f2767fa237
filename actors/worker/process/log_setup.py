"""Where the log of a worker process goes: to stderr, for people or for machines."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

__all__ = ["FORMATS", "configure"]

FORMATS = ("console", "json")


def configure(format: str, *, level: int = logging.INFO, **fields: Any) -> None:
    """Have structlog write to stderr, and the standard library's loggers in the same way.

    A logger of the standard library that has a handler of the program's own is left to that.

    Args:
        format: ``console`` or ``json``, a line each.
        level: the lowest that is written.
        fields: added to each line.
    """
    last = _renderers(format)
    first: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.contextvars.bind_contextvars(**fields)
    structlog.configure(
        processors=[*first, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    # What asyncio has to say among others. The process's fields are added here: threads and signal
    # handlers have no context of ours.
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.WARNING)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                lambda _logger, _method, event: {**event, **fields},
                structlog.stdlib.add_logger_name,
                *first,
            ],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    logging.lastResort = handler


def _renderers(format: str) -> list[Any]:
    # Tracebacks without local variables: those hold payloads, and whatever handlers know.
    if format == "json":
        tracebacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        return [
            structlog.processors.ExceptionRenderer(tracebacks),
            structlog.processors.JSONRenderer(default=repr),
        ]
    return [
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            pad_event_to=0,
            exception_formatter=structlog.dev.plain_traceback,
        )
    ]
