"""Which slots are under way, and to where; pure.

Servers tell it when asked, each of its own slots only: ``CLUSTER NODES`` of the moves that are made
slot by slot (``CLUSTER SETSLOT``), ``CLUSTER GETSLOTMIGRATIONS`` (Valkey 9) of those that move
whole ranges in one step. Of the former the target takes subscriptions from the beginning, after
ASKING. Of the latter it does only in the last milliseconds, while publishers are held; so one slot
of them is tried again and again, and the others follow when it was taken.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import msgspec

__all__ = ["Job", "Moves", "parse_jobs", "parse_setslot"]

#: Seconds for which a move is believed in after it was last seen: its slot changes its owner in
#: that time, and everybody hears of it.
_BELIEVED = 0.5

_LEAVES = re.compile(rb"\[(\d+)->-([0-9a-f]+)\]")
_COMES = re.compile(rb"\[(\d+)-<-([0-9a-f]+)\]")
_FINAL = (b"success", b"failed", b"cancelled", b"canceled")


class Job(msgspec.Struct, frozen=True):
    """Slots that move in one step.

    Attributes:
        name: as the server calls it.
        runs: the first and the last slot of each run.
        target: the node that they go to.
        imminent: publishers are held: the slots change hands now.
    """

    name: str
    runs: tuple[tuple[int, int], ...]
    target: str
    imminent: bool = False

    def __contains__(self, slot: int) -> bool:
        return any(start <= slot <= end for start, end in self.runs)


def parse_setslot(reply: bytes, asked: str) -> dict[str, dict[int, str]]:
    """Return where slots go to, by the node that they leave, out of CLUSTER NODES of ``asked``.

    It tells of its own: those that leave it, and those that come to it, which it knows first.
    """
    moves: dict[str, dict[int, str]] = {}
    for slot, target in _LEAVES.findall(reply):
        moves.setdefault(asked, {})[int(slot)] = target.decode()
    for slot, source in _COMES.findall(reply):
        moves.setdefault(source.decode(), {})[int(slot)] = asked
    return moves


def parse_jobs(reply: Iterable[Any]) -> list[Job]:
    """Return the moves away from the asked node that are not over (GETSLOTMIGRATIONS)."""
    jobs = []
    for entry in reply:
        job = dict(
            entry if isinstance(entry, Mapping) else zip(entry[::2], entry[1::2], strict=True)
        )
        if job.get(b"operation") != b"EXPORT" or job.get(b"state") in _FINAL:
            continue
        runs = [run.partition("-") for run in job[b"slot_ranges"].decode().split()]
        bounds = tuple((int(start), int(end or start)) for start, _, end in runs)
        imminent = job[b"state"].startswith(b"failover")
        jobs.append(Job(job[b"name"].decode(), bounds, job[b"target_node"].decode(), imminent))
    return jobs


class Moves:
    """What is known at the moment.

    Attributes:
        targets: where slots go to, of those that the target may take now.
        probed: the slot of each job that is tried, by the job's name.
        sources: the nodes that slots leave, until when they are watched closely.
        takers: the nodes that single slots go to, the same.
    """

    def __init__(self) -> None:
        self.targets: dict[int, str] = {}
        self.probed: dict[str, int] = {}
        self.sources: dict[str, float] = {}
        self.takers: dict[str, float] = {}
        self._seen: dict[int, float] = {}
        self._jobs: dict[str, Job] = {}

    def note_setslot(
        self, under_way: Mapping[int, str], slots: Collection[int], now: float
    ) -> set[int]:
        """Take what was said of single slots; ``slots`` are those of interest.

        Returns those whose target is another one now.
        """
        mine = {slot: target for slot, target in under_way.items() if slot in slots}
        return {slot for slot, target in mine.items() if self._put(slot, target, now)}

    def note_job(self, job: Job, slots: Collection[int], now: float) -> set[int]:
        """Take what a node said of a job; ``slots`` are those of interest.

        Returns those to be tried: one as long as the target can hardly take it, all at the end.
        """
        known = self._jobs.get(job.name)
        self._jobs[job.name] = job
        mine = [slot for slot in slots if slot in job]
        if known is None and mine:
            self.probed[job.name] = mine[0]
        for slot in mine:
            if slot in self.targets:
                self._seen[slot] = now
        if job.imminent and not (known is not None and known.imminent):
            tried = set(mine)
        else:
            tried = set(mine[:1]) if known is None else set()
        for slot in tried:
            self._put(slot, job.target, now)
        return tried

    def taken(self, slot: int, slots: Collection[int], now: float) -> set[int]:
        """The target took ``slot``: return the others of its job, to be tried now."""
        tried: set[int] = set()
        for name in [name for name, probed in self.probed.items() if probed == slot]:
            del self.probed[name]
            job = self._jobs[name]
            for other in slots:
                if other in job:
                    self._put(other, job.target, now)
                    tried.add(other)
        return tried

    def expire(self, now: float) -> set[int]:
        """Forget what was not seen for a while; return the slots concerned."""
        gone = {slot for slot, at in self._seen.items() if now - at > _BELIEVED}
        for slot in gone:
            del self.targets[slot], self._seen[slot]
        for name in [name for name, slot in self.probed.items() if slot in gone]:
            del self.probed[name]
        if not self.targets:
            self._jobs.clear()
        self.sources = {node: until for node, until in self.sources.items() if until > now}
        self.takers = {node: until for node, until in self.takers.items() if until > now}
        return gone

    def _put(self, slot: int, target: str, now: float) -> bool:
        self._seen[slot] = now
        changed = self.targets.get(slot) != target
        self.targets[slot] = target
        return changed
