"""The log of a worker process: to stderr, as text or as JSON."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Mapping, MutableMapping
from typing import Any, Final, TextIO

import structlog

from supervisor.log import printable, printable_lines

FORMATS = ("console", "json")
_INDENT: Final = "    "


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
        # A line is one write: lines of several processes that share stderr stay whole.
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
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
        _escaped,
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), pad_event_to=0, exception_formatter=_print_traceback
        ),
    ]


class _Shown:
    """A value of a line that is printed as ``text``."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _escaped(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Escape the control characters of all values; a line stays one line."""
    shown: dict[str, Any] = {}
    for key, value in event.items():
        if key in ("exception", "stack"):
            shown[key] = printable_lines(str(value), _INDENT)
        elif key == "event":
            shown[key] = printable(str(value))
        elif key != "exc_info" and not (isinstance(value, str) and value.isprintable()):
            shown[key] = _Shown(printable(repr(value)))
        else:
            shown[key] = value
    return shown


def _print_traceback(out: TextIO, info: Any) -> None:
    """Print a traceback, indented: no line of an exception's text looks like a line of the log."""
    lines = "".join(traceback.format_exception(*info)).rstrip()
    out.write("\n" + printable_lines(lines, _INDENT))
