"""One place that decides where the library's log lines go.

A program that configured structlog gets the events through its own configuration. A program that
did not is never surprised by output on stdout: events then go to the standard library's logger of
the same name, where warnings reach stderr and everything below is silent until somebody asks.
"""

from __future__ import annotations

import logging
from typing import Any

import structlog

__all__ = ["get_logger"]

_FALLBACK_PROCESSORS: list[Any] = [
    structlog.stdlib.filter_by_level,
    structlog.stdlib.PositionalArgumentsFormatter(),
    structlog.processors.format_exc_info,
    structlog.processors.KeyValueRenderer(key_order=["event"]),
]


class _Logger:
    """Forwards to structlog when the program configured it, else to :mod:`logging`.

    The choice is made per call, not at import: a program configures its logging after its imports.
    """

    __slots__ = ("_fallback", "_logging", "_name")

    def __init__(self, name: str) -> None:
        self._name = name
        self._logging = logging.getLogger(name)
        self._fallback: Any = structlog.wrap_logger(
            self._logging,
            processors=_FALLBACK_PROCESSORS,
            wrapper_class=structlog.stdlib.BoundLogger,
        )

    def _target(self) -> Any:
        if structlog.is_configured():
            return structlog.get_logger(self._name)
        return self._fallback

    def shows_debug(self) -> bool:
        """Whether a debug line may go anywhere: asked first where lines are many."""
        return structlog.is_configured() or self._logging.isEnabledFor(logging.DEBUG)

    def debug(self, event: str, **fields: object) -> None:
        """Log an expected event: a start, a stop, a reconnect that worked."""
        self._target().debug(event, **fields)

    def info(self, event: str, **fields: object) -> None:
        """Log an event an operator may want to see, but need not act upon."""
        self._target().info(event, **fields)

    def warning(self, event: str, **fields: object) -> None:
        """Log something that went wrong and was dealt with."""
        self._target().warning(event, **fields)

    def error(self, event: str, **fields: object) -> None:
        """Log something that went wrong and was given up."""
        self._target().error(event, **fields)


def get_logger(name: str) -> _Logger:
    """Return the logger called ``name`` (dotted, like ``mailslot.supervisor``)."""
    return _Logger(name)
