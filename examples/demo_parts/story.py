"""The events of the demo as lines with a time: faults, their effects, and recoveries.

Their sources are open to any program: lifecycle events of the tree (``sink=``), the failure sink
(``on_failure=``), gaps (``on_gap=``) and log lines.
"""

from __future__ import annotations

import logging
import re
import time
from collections import Counter
from collections.abc import Callable, MutableMapping
from typing import Any, NamedTuple

import structlog

from actors import Failure, Gap, HandlerFailure
from examples.demo_parts.ledger import Ledger
from supervisor import ChildExited, ChildStarted, ChildStartFailed, ChildUnkillable, Event, GaveUp

__all__ = ["Line", "Story"]

_NODE_ID = re.compile(r"\b[0-9a-f]{40}: ")
#: The number of lines about one subject that are shown; later ones are only counted.
TOLD = 2


class Line(NamedTuple):
    """One line of the story; ``sort`` is title, fault, good, bad, event or log."""

    seconds: float
    sort: str
    text: str


class Story:
    """Passes lines to ``show``, and counts gaps, failures and restarts."""

    def __init__(self, ledger: Ledger, show: Callable[[Line], None]) -> None:
        self.ledger = ledger
        self.show = show
        self.restarts_by_path: Counter[str] = Counter()
        self.failures = 0
        self.begun = time.monotonic()
        self._told: Counter[str] = Counter()
        self._gaps: list[Gap] = []

    @property
    def seconds(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self.begun

    @property
    def restarts(self) -> int:
        """The restarts of all actors together."""
        return self.restarts_by_path.total()

    def say(self, sort: str, text: str) -> None:
        """Add a line."""
        self.show(Line(self.seconds, sort, text))

    def tell(self, subject: str, text: str, most: int = TOLD) -> None:
        """Add a line about ``subject``, unless there were ``most`` already."""
        self._told[subject] += 1
        if self._told[subject] <= most:
            self.say("event", text)

    def fault(self, text: str) -> None:
        """Announce a fault, and count the lines of each subject anew."""
        for subject in [subject for subject in self._told if "/readers/" in subject]:
            del self._told[subject]
        self._gaps.clear()
        self.say("fault", text)

    def gaps_of_fault(self) -> list[Gap]:
        """Return the gaps reported since the last fault was announced."""
        return list(self._gaps)

    # -- what the library reports ------------------------------------------------------------------

    def gap(self, gap: Gap) -> None:
        """``on_gap``: messages of one channel may have been missed."""
        self.ledger.reported(gap)
        self._gaps.append(gap)

    def handler_failed(self, failure: HandlerFailure) -> None:
        """``on_failure`` of the pubsub: a message that its handler failed on."""
        self.failures += 1
        self.tell(
            failure.handler,
            f"handler of {failure.channel} raised {failure.error!r}: only this message fails",
        )

    def failed(self, failure: Failure) -> None:
        """``on_failure`` of the system: a message that another actor failed on."""
        self.failures += 1
        self.tell(failure.path, f"{_name(failure.path)} failed on a message: {failure.error!r}")

    def happened(self, event: Event) -> None:
        """``sink``: a lifecycle event of the tree."""
        who = _name(event.path)
        match event:
            case ChildStarted(path, incarnation) if incarnation > 1:
                self.restarts_by_path[path] += 1
                if "/readers/" in path:
                    self.tell(f"up {path}", f"reader {who} is connected again")
            case ChildExited(path, _, reason) if not reason.normal:
                if "/readers/" in path:
                    self.tell(path, f"reader {who} ended: {_why(reason)}")
                else:
                    self.tell("crash", f"actor {who} crashed and is restarted with new state")
            case ChildStartFailed(path, _, reason):
                role = "reader" if "/readers/" in path else "actor"
                self.tell(f"failed {path}", f"{role} {who}: {_why(reason)}", most=1)
            case GaveUp(path, reason):
                self.say("bad", f"{path} gave up: {_why(reason)}")
            case ChildUnkillable(path):
                self.say("bad", f"{path} survived its cancellation")
            case _:
                pass

    # -- log lines ---------------------------------------------------------------------------------

    def take_logs(self) -> None:
        """Turn all log lines of this program into lines of the story."""
        structlog.configure(processors=[self._structlog], cache_logger_on_first_use=False)
        logging.basicConfig(handlers=[_Handler(self)], level=logging.WARNING, force=True)

    def _structlog(
        self, logger: Any, level: str, fields: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        event = fields.pop("event", "")
        # Gaps have lines of their own.
        if level not in ("debug", "info") and event != "gap":
            said = " ".join(f"{key}={value}" for key, value in fields.items())
            self.tell(f"log {event}", f"{event}: {said}" if said else str(event))
        raise structlog.DropEvent


class _Handler(logging.Handler):
    def __init__(self, story: Story) -> None:
        super().__init__()
        self._story = story

    def emit(self, record: logging.LogRecord) -> None:
        """Add a line of Python's ``logging``."""
        self._story.say("log", record.getMessage().splitlines()[0])


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _why(reason: Any) -> str:
    error = reason.error
    text = str(reason) if error is None else str(error) or repr(error)
    # Advice follows the semicolon; the id of the node is part of the reader's name.
    return _NODE_ID.sub("", text.partition(";")[0])
