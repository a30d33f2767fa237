"""Ranges of slots that move in one step, as far as that is known; pure.

Valkey 9 does so (``CLUSTER MIGRATESLOTS``), and tells of it at both ends
(``CLUSTER GETSLOTMIGRATIONS``). A job takes from tens of milliseconds to minutes, and to its very
end the target refuses subscriptions. Then the source holds its publishers, the target takes the
slots over, and a few milliseconds later the publishers are let go, to the target: a subscription
has to be there before them. So while a job goes on they are tried again and again: all of them as
long as they are few, else one, and the others when that was taken.

States of a job, and what leads to them:

- ``UNDER_WAY``: it was seen. Those in its slots are tried.
- ``IMMINENT``: an end says so, or the source holds its publishers for it. All are tried once, and
  then as before.
- ``OVER``: an end says so, or the target took one of them. The others are tried once.

Each is left for one further down only; a job that nobody tells of any more is forgotten.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from enum import Enum
from itertools import chain
from typing import Any

import msgspec

__all__ = ["BELIEVED", "FEW", "MOST_AHEAD", "Job", "Jobs", "Stage", "parse_jobs"]

#: Seconds for which a move is believed in after it was last seen: its slot changes its owner in
#: that time, and everybody hears of it.
BELIEVED = 0.5
#: So many channels are all tried; and the most of all moves at a time that are sent ahead.
FEW, MOST_AHEAD = 50, 100
# For so many seconds, or while publishers are held.
_LONG = 2.0
# Seconds between two tries: at least so much for each channel, as a try is worth some 0.05 ms of
# processor time; and for so long after a job became imminent, less.
_PER_CHANNEL, _LEAST, _URGENT, _URGENT_FOR = 0.000_2, 0.005, 0.002, 0.25


class Stage(Enum):
    """See the module's docstring."""

    UNDER_WAY = 0
    IMMINENT = 1
    OVER = 2


_STAGES = {
    # Of the target.
    b"waiting-for-paused": Stage.IMMINENT,
    b"failover-requested": Stage.IMMINENT,
    # Of both: the target takes the slots over in the same breath.
    b"failover-granted": Stage.IMMINENT,
    b"success": Stage.OVER,
    # Of the source.
    b"waiting-to-pause": Stage.IMMINENT,
    b"failover-paused": Stage.IMMINENT,
}
_FAILED = (b"failed", b"cancelled", b"cleaning-up")


class Job(msgspec.Struct, frozen=True):
    """What an end of it says of a job.

    Attributes:
        name: as the servers call it, both the same.
        runs: the first and the last slot of each run.
        source: the node that they leave.
        target: the node that they go to.
        stage: how far it is.
    """

    name: str
    runs: tuple[tuple[int, int], ...]
    source: str
    target: str
    stage: Stage = Stage.UNDER_WAY


def parse_jobs(reply: Iterable[Any], asked: str, known: Collection[str]) -> list[Job]:
    """Return the jobs out of CLUSTER GETSLOTMIGRATIONS of ``asked``.

    Servers keep a log: of those that are over only the ``known`` ones are returned, and of those
    that failed, none.
    """
    jobs = []
    for entry in reply:
        job = (
            entry if isinstance(entry, Mapping) else dict(zip(entry[::2], entry[1::2], strict=True))
        )
        state = job[b"state"]
        stage = _STAGES.get(state, Stage.UNDER_WAY)
        name = job[b"name"].decode()
        if state in _FAILED or (stage is Stage.OVER and name not in known):
            continue
        runs = [run.partition("-") for run in job[b"slot_ranges"].decode().split()]
        bounds = tuple((int(start), int(end or start)) for start, _, end in runs)
        leaves = job[b"operation"] == b"EXPORT"
        # Both ends are named from Valkey 9.1 on; 9.0 calls the other one "node".
        source = job.get(b"source_node") or (asked if leaves else job[b"node"])
        target = job.get(b"target_node") or (job[b"node"] if leaves else asked)
        jobs.append(Job(name, bounds, _text(source), _text(target), stage))
    return jobs


def _text(name: bytes | str) -> str:
    return name if isinstance(name, str) else name.decode()


class _Known:
    """A job, and what is to be tried of it.

    Attributes:
        since: when it was seen first.
        seen: when it was seen last.
        stage: how far it is.
        entered: when it got there.
        slots: its own.
        mine: those of interest of them, as often as there are channels in them.
    """

    __slots__ = ("_read", "entered", "job", "mine", "seen", "since", "slots", "stage")

    def __init__(self, job: Job, now: float) -> None:
        self.job = job
        self.stage = Stage.UNDER_WAY
        self.since = self.seen = self.entered = now
        self.slots = {slot for start, end in job.runs for slot in range(start, end + 1)}
        self.mine: list[int] = []
        self._read: object = None

    def read(self, slots: Collection[int]) -> bool:
        """Take those of interest; return whether they are others than before."""
        if slots is self._read:
            return False
        self._read, before = slots, self.mine
        self.mine = [slot for slot in slots if slot in self.slots]
        return self.mine != before

    def reach(self, stage: Stage, now: float) -> bool:
        """Go on to ``stage``; return whether it is there only now."""
        if stage.value <= self.stage.value:
            return False
        self.stage, self.entered = stage, now
        return True

    def tried(self, now: float) -> set[int]:
        few = self.stage is Stage.IMMINENT or now - self.since < _LONG
        return set(self.mine if few and len(self.mine) <= FEW else self.mine[:1])

    def is_urgent(self, now: float) -> bool:
        return self.stage is Stage.IMMINENT and now - self.entered < _URGENT_FOR


class Jobs:
    """Those that are known."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}

    @property
    def names(self) -> Collection[str]:
        """Their names."""
        return self._known.keys()

    def slots(self, name: str) -> AbstractSet[int]:
        """Return the slots of the job called ``name``; none where it is not known."""
        known = self._known.get(name)
        return frozenset() if known is None else known.slots

    def targets(self, slots: Iterable[int]) -> dict[int, str]:
        """Return where those of ``slots`` go to that are in a job."""
        wanted = set(slots)
        return {
            slot: known.job.target
            for known in self._known.values()
            for slot in wanted & known.slots
        }

    def note(self, job: Job, slots: Collection[int], now: float) -> set[int]:
        """Take what an end said of a job; return the slots to be tried now.

        Args:
            job: what it said.
            slots: those of interest, as often as there are channels in them; the same object as
                long as they are the same.
            now: the time in seconds.
        """
        known = self._known.get(job.name)
        if known is None:
            known = self._known[job.name] = _Known(job, now)
        if known.stage is Stage.OVER:
            return set()
        known.seen = now
        others = known.read(slots)
        if known.reach(job.stage, now):
            return set(known.mine)
        return known.tried(now) if others else set()

    def held(self, source: str, now: float) -> set[int]:
        """``source`` holds its publishers for a job: return the slots to be tried now."""
        theirs = [known for known in self._known.values() if known.job.source == source]
        return _mine(known for known in theirs if known.reach(Stage.IMMINENT, now))

    def taken(self, slot: int, now: float) -> set[int]:
        """The target took a subscription in ``slot``: return the slots to be tried now."""
        theirs = [known for known in self._known.values() if slot in known.slots]
        return _mine(known for known in theirs if known.reach(Stage.OVER, now))

    def tried(self, now: float) -> set[int]:
        """Return the slots to be tried again."""
        return set(chain.from_iterable(known.tried(now) for known in self._going()))

    def pause(self, channels: int, now: float) -> float:
        """Return the seconds until so many channels are to be tried again."""
        urgent = any(known.is_urgent(now) for known in self._going())
        return max(_URGENT if urgent else _LEAST, channels * _PER_CHANNEL)

    def nodes(self, now: float) -> dict[str, bool]:
        """Return the nodes that jobs go on at, and whether one of these is about to end."""
        found: dict[str, bool] = {}
        for known in self._going():
            for node in (known.job.source, known.job.target):
                found[node] = found.get(node, False) or known.is_urgent(now)
        return found

    def expire(self, now: float) -> None:
        """Forget those that nobody told of for a while."""
        for name in [k for k, known in self._known.items() if now - known.seen > BELIEVED]:
            del self._known[name]

    def _going(self) -> list[_Known]:
        return [known for known in self._known.values() if known.stage is not Stage.OVER]


def _mine(jobs: Iterable[_Known]) -> set[int]:
    return set(chain.from_iterable(known.mine for known in jobs))
