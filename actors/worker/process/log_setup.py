"""The log of a worker process: to stderr, as text or as JSON."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

FORMATS = ("console", "json")


def configure(format: str, *, level: int = logging.INFO, **fields: Any) -> None:
    """Have structlog and Python's ``logging`` write lines to stderr.

    A ``logging`` logger for which the program has configured a handler keeps that. ``level`` is the
    lowest that structlog writes; ``fields`` are added to each line.
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
    # For the warnings of asyncio, among others. The fields are added once more: threads and signal
    # handlers do not see the context variables.
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
    # Without the values of local variables: they may be payloads or secrets.
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
