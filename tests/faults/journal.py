"""What the library logs while a fault happens: kept out of the table, there when asked for.

A fault makes every connection that it breaks log a line or two. The table is no place for them, and
a failed test is: it shows the last ones.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

__all__ = ["Journal"]

_KEPT = 400
_LOGGER = logging.getLogger("mailslot")


class Journal(logging.Handler):
    """Keeps the last lines of the library's log, and none of them on stderr, while it is entered.

    Args:
        file: takes all lines, with the time of each.
    """

    def __init__(self, file: Path | None = None) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(asctime)s.%(msecs)03d %(message)s", "%H:%M:%S"))
        self._path = file
        self._file: TextIO | None = None
        self._lines: deque[str] = deque(maxlen=_KEPT)
        self._counts: Counter[str] = Counter()

    def __enter__(self) -> Self:
        self._file = self._path.open("w") if self._path is not None else None
        _LOGGER.addHandler(self)
        self._propagated, _LOGGER.propagate = _LOGGER.propagate, False
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _LOGGER.removeHandler(self)
        _LOGGER.propagate = self._propagated
        if self._file is not None:
            self._file.close()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        line = self.format(record)
        self._lines.append(line)
        self._counts[record.getMessage().partition(" ")[0].removeprefix("event=").strip("'")] += 1
        if self._file is not None:
            self._file.write(line + "\n")

    def begin(self, title: str) -> None:
        """Forget what was: another fault begins."""
        self._lines.clear()
        self._counts.clear()
        if self._file is not None:
            self._file.write(f"--- {title}\n")

    def last(self, count: int) -> list[str]:
        """Return the last lines since :meth:`begin`."""
        return list(self._lines)[-count:]

    def digest(self) -> str:
        """Return how often each event was logged since :meth:`begin`."""
        return ", ".join(f"{count} {event}" for event, count in self._counts.most_common())
