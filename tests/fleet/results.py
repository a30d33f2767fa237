"""What members wrote down against what was published (pure)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path

import msgspec

#: Seconds by which a gap may be told too short: the clocks of publisher and member are one, but a
#: message takes its time.
_SLACK = 0.02


class ToldGap(msgspec.Struct, frozen=True):
    """A gap as a member was told it."""

    name: str
    since: float
    until: float
    reason: str


class Record(msgspec.Struct):
    """What all members wrote.

    Attributes:
        handled: how often each message was handled, by name and number.
        times: when each was handled first.
        processes: what each process handled, by its id.
        gaps: the gaps told.
    """

    handled: Counter[tuple[str, int]]
    times: dict[tuple[str, int], float]
    processes: dict[int, Counter[tuple[str, int]]]
    gaps: list[ToldGap]

    @classmethod
    def read(cls, folder: Path) -> Record:
        """Read what is written so far."""
        record = cls(Counter(), {}, {}, [])
        for path in folder.glob("*.log"):
            text = path.read_text()
            for line in text[: text.rfind("\n") + 1].splitlines():
                record.add(int(path.stem), line.split())
        return record

    def by(self, process: int) -> Counter[tuple[str, int]]:
        """Return what ``process`` handled."""
        return self.processes.get(process, Counter())

    def add(self, process: int, words: list[str]) -> None:
        """Take one line."""
        match words:
            case ["message", name, number, at]:
                key = name, int(number)
                self.handled[key] += 1
                self.processes.setdefault(process, Counter())[key] += 1
                self.times[key] = min(float(at), self.times.get(key, float(at)))
            case ["gap", name, since, until, _, *reason]:
                self.gaps.append(ToldGap(name, float(since), float(until), " ".join(reason)))


class Verdict(msgspec.Struct):
    """What became of the messages.

    Attributes:
        published: how many there were.
        lost: those that nobody handled.
        untold: those of them that lie in no gap.
        twice: how many were handled again.
        longest: the longest time in which nothing of one name was handled, in seconds.
    """

    published: int
    lost: list[tuple[str, int]]
    untold: list[tuple[str, int]]
    twice: int
    longest: float

    def __str__(self) -> str:
        return (
            f"{self.published} published, {len(self.lost)} lost, {len(self.untold)} of them untold,"
            f" {self.twice} twice, at most {self.longest:.2f} s without a message"
        )


def judge(published: Mapping[tuple[str, int], float], record: Record) -> Verdict:
    """Return what became of ``published``: by name and number, when each was published."""
    lost = [key for key in published if not record.handled[key]]
    untold = [key for key in lost if not _is_told(key[0], published[key], record.gaps)]
    twice = sum(count - 1 for key, count in record.handled.items() if key in published)
    return Verdict(len(published), lost, untold, twice, _longest(published, record))


def _is_told(name: str, at: float, gaps: Iterable[ToldGap]) -> bool:
    return any(gap.name == name and gap.since - _SLACK <= at <= gap.until + _SLACK for gap in gaps)


def _longest(published: Mapping[tuple[str, int], float], record: Record) -> float:
    times: dict[str, list[float]] = {}
    for (name, number), at in record.times.items():
        if (name, number) in published:
            times.setdefault(name, []).append(at)
    pauses = [0.0]
    for each in times.values():
        each.sort()
        pauses += [later - earlier for earlier, later in pairwise(each)]
    return max(pauses)
