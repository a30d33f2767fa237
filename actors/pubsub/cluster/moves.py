"""Which slots are under way, and to where; pure.

Servers tell it when asked, each of its own slots only: ``CLUSTER NODES`` of the moves that are made
slot by slot (``CLUSTER SETSLOT``), whose target takes subscriptions from the beginning, after
ASKING, and may end them when it takes the slot over; ``CLUSTER GETSLOTMIGRATIONS`` of those that
move whole ranges in one step, whose target takes none before: see ``jobs``.

States of a slot, and what leads to them:

- ``EXPECTED``: others of its node move one by one, and it may follow. Nobody said so yet.
- ``UNDER_WAY``: an end says so, or a job of its is tried.
- ``CHANGED_HANDS``: its source gave it up. Its target may say the same of what it took before.

Each is left for one further down only. A slot is forgotten when nobody tells of it any more, and
when its target gives it up some time after its source did; one that is told to go elsewhere begins
anew.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from enum import Enum

from actors.pubsub.cluster.jobs import BELIEVED, Job, Jobs
from actors.pubsub.cluster.jobs import Stage as JobStage

__all__ = ["Moves", "parse_setslot"]

#: Seconds after a slot's source gave it up in which its target may say the same of what it took
#: before.
_SAID = 0.1
_LEAVES = re.compile(rb"\[(\d+)->-([0-9a-f]+)\]")
_COMES = re.compile(rb"\[(\d+)-<-([0-9a-f]+)\]")


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


class Stage(Enum):
    """See the module's docstring."""

    EXPECTED = 0
    UNDER_WAY = 1
    CHANGED_HANDS = 2


class _Known:
    """A slot on its way.

    Attributes:
        stage: how far it is.
        entered: since when.
        seen: when it was told of last, or expected.
        alone: since when it moves alone, or is expected to; None: in a job.
    """

    __slots__ = ("alone", "entered", "seen", "stage")

    def __init__(self, stage: Stage, now: float) -> None:
        self.stage = stage
        self.entered = self.seen = now
        self.alone: float | None = None

    def reach(self, stage: Stage, now: float) -> None:
        if stage.value > self.stage.value:
            self.stage, self.entered = stage, now


class Moves:
    """What is known at the moment.

    Attributes:
        targets: where slots go to, of those that the target may take now.
        sources: the nodes that slots leave, until when they are watched closely.
        takers: the nodes that they go to, the same.
    """

    def __init__(self) -> None:
        self.targets: dict[int, str] = {}
        self.sources: dict[str, float] = {}
        self.takers: dict[str, float] = {}
        self._slots: dict[int, _Known] = {}
        self._jobs = Jobs()

    @property
    def jobs(self) -> Collection[str]:
        """The names of the moves of ranges that are known."""
        return self._jobs.names

    def note_setslot(
        self, under_way: Mapping[int, str], slots: Collection[int], now: float
    ) -> set[int]:
        """Take what was said of single slots; ``slots`` are those of interest.

        Returns those whose target is another one now.
        """
        changed = set()
        for slot in under_way.keys() & set(slots):
            news = self._put(slot, under_way[slot], now)
            known = self._slots[slot]
            if news or known.stage is Stage.EXPECTED:
                known.reach(Stage.UNDER_WAY, now)
                known.alone = now
                changed.add(slot)
        return changed

    def expect(self, target: str, slots: Collection[int], now: float) -> set[int]:
        """``slots`` may go to ``target`` next, as others did; return those that are new to us.

        They are tried there before anybody says so: what moves one by one may do so in ten
        milliseconds each.
        """
        new = set()
        for slot in set(slots):
            known = self._slots.get(slot)
            if known is not None and known.stage is not Stage.EXPECTED:
                continue
            if self._put(slot, target, now, Stage.EXPECTED):
                self._slots[slot].alone = now
                new.add(slot)
        return new

    def changed_hands(self, slot: int, now: float) -> None:
        """The source of ``slot`` gave it up: its target has it."""
        if slot in self._slots:
            self._slots[slot].reach(Stage.CHANGED_HANDS, now)

    def is_over(self, slot: int, now: float) -> bool:
        """Whether ``slot`` changed hands long enough ago for its target to have said all of it."""
        known = self._slots.get(slot)
        return (
            known is not None and known.stage is Stage.CHANGED_HANDS and now - known.entered > _SAID
        )

    def forget(self, slot: int) -> None:
        """Nothing is known of ``slot`` any more."""
        self._slots.pop(slot, None)
        self.targets.pop(slot, None)

    def single(self) -> Mapping[int, float]:
        """Return the single slots under way, or expected to be, each with since when."""
        return {s: known.alone for s, known in self._slots.items() if known.alone is not None}

    def note_job(self, job: Job, slots: Collection[int], now: float) -> set[int]:
        """Take what an end said of a job; return the slots to be tried now: see ``jobs``.

        Args:
            job: what it said.
            slots: those of interest, as often as there are channels in them; the same object as
                long as they are the same.
            now: the time in seconds.
        """
        tried = self._jobs.note(job, slots, now)
        if job.stage is not JobStage.OVER:
            for slot in self._jobs.slots(job.name) & self._slots.keys():
                self._slots[slot].seen = now
        return self._try(tried, now)

    def held(self, source: str, now: float) -> set[int]:
        """``source`` holds its publishers for a job: return the slots to be tried now."""
        return self._try(self._jobs.held(source, now), now)

    def taken(self, slot: int, now: float) -> set[int]:
        """A job's target took ``slot``: return the slots to be tried now."""
        return self._try(self._jobs.taken(slot, now), now)

    def tried(self, now: float) -> set[int]:
        """Return the slots of jobs to be tried again."""
        return self._jobs.tried(now)

    def ranges(self, now: float) -> dict[str, bool]:
        """Return the nodes that jobs go on at, and whether one of these is about to end."""
        return self._jobs.nodes(now)

    def pause(self, channels: int, now: float) -> float:
        """Return the seconds until so many channels are to be tried again."""
        return self._jobs.pause(channels, now)

    def expire(self, now: float) -> set[int]:
        """Forget what was not seen for a while; return the slots concerned."""
        gone = {slot for slot, known in self._slots.items() if now - known.seen > BELIEVED}
        for slot in gone:
            self.forget(slot)
        self._jobs.expire(now)
        self.sources = {node: until for node, until in self.sources.items() if until > now}
        self.takers = {node: until for node, until in self.takers.items() if until > now}
        return gone

    def _try(self, slots: set[int], now: float) -> set[int]:
        for slot, target in self._jobs.targets(slots).items():
            self._put(slot, target, now)
        return slots

    def _put(self, slot: int, target: str, now: float, stage: Stage = Stage.UNDER_WAY) -> bool:
        """Note that ``slot`` goes to ``target``; return whether that is news."""
        if self.targets.get(slot) == target:
            self._slots[slot].seen = now
            return False
        self.targets[slot] = target
        self._slots[slot] = _Known(stage, now)
        return True
