"""Verdicts as rows of a table, and what is wrong with them in words."""

from __future__ import annotations

import msgspec

from tests.faults.load import Accepted
from tests.faults.scenarios import Fault
from tests.faults.stage import AT_OWNER, Stage

__all__ = ["HEADER", "Allowance", "Result", "complaints", "excesses", "result_of", "wrongs"]

# Seconds after which each node of a shard knows that a slot has moved.
_LATE = 0.2
# (title, width)
_COLUMNS = (
    ("fault", 36),
    ("accepted", 9),
    ("lost", 6),
    ("strays", 7),
    ("recovering", 11),
    ("twice", 6),
    ("order", 6),
    ("overtaken", 10),
    ("gaps", 5),
    ("longest gap", 12),
    ("back after", 11),
    ("fault took", 11),
)
HEADER = "".join(
    f"{name:{'<' if not i else '>'}{width}}" for i, (name, width) in enumerate(_COLUMNS)
)


class Result(msgspec.Struct, frozen=True):
    """A row.

    Attributes:
        title: the fault.
        accepted: messages that a server answered with an integer.
        lost: accepted at the slot's owner and never seen.
        strays: accepted at a replica or at a demoted primary and never seen.
        recovering: accepted with a history and never seen by a consumer with recovery.
        twice: seen more than once.
        disordered: seen after a later one of their channel.
        overtaken: the same, where another node of the shard had accepted the later one.
        gaps: channels with a reported gap.
        longest_gap: seconds.
        back: seconds until the slowest of the timed channels received again; None: not timed.
        took: seconds that the fault took, healing included.
        rate: messages a second that were sent meanwhile.
        complaints: what should not be so.
        detail: what a row of another kind says instead of figures.
        logged: how often the library logged what, where there are complaints.
    """

    title: str
    accepted: int = 0
    lost: int = 0
    strays: int = 0
    recovering: int = 0
    twice: int = 0
    disordered: int = 0
    overtaken: int = 0
    gaps: int = 0
    longest_gap: float = 0.0
    back: float | None = None
    took: float = 0.0
    rate: float = 0.0
    complaints: tuple[str, ...] = ()
    detail: str = ""
    logged: str = ""

    def row(self) -> str:
        """Return the row as text."""
        first = f"{self.title:<36}"
        mark = "  <-- see below" if self.complaints else ""
        if self.detail:
            return f"{first}{self.detail}{mark}"
        cells = (
            str(self.accepted),
            str(self.lost),
            str(self.strays),
            str(self.recovering),
            str(self.twice),
            str(self.disordered),
            str(self.overtaken),
            str(self.gaps),
            f"{self.longest_gap * 1000:.0f} ms" if self.gaps else "-",
            "-" if self.back is None else f"{self.back * 1000:.0f} ms",
            f"{self.took:.1f} s",
        )
        widths = [width for _, width in _COLUMNS[1:]]
        return first + "".join(f"{c:>{w}}" for c, w in zip(cells, widths, strict=True)) + mark


class Allowance(msgspec.Struct, frozen=True):
    """What a slow machine is allowed beyond a fault's limits.

    Attributes:
        lost: messages.
        back: seconds.
    """

    lost: int = 0
    back: float = 0.0


def result_of(fault: Fault, stage: Stage, complaints: list[str]) -> Result:
    """Return the row of a fault that was played."""
    verdict = stage.verdict
    at_owner = set(AT_OWNER)
    lost = [pair for pair in verdict.lost if pair[0] in at_owner]
    back = [seconds for seconds in stage.back().values() if seconds is not None]
    return Result(
        title=fault.title,
        accepted=verdict.accepted,
        lost=len(lost),
        strays=len(verdict.lost) - len(lost),
        recovering=len(stage.verdict_of_recovery.lost),
        twice=len(verdict.twice),
        disordered=len(verdict.disordered),
        overtaken=len(verdict.overtaken),
        gaps=verdict.gaps,
        longest_gap=round(verdict.longest_gap, 4),
        back=round(max(back), 4) if back else None,
        took=round(stage.ended - stage.began, 2),
        rate=round(stage.offered_rate()),
        complaints=tuple(complaints),
    )


def complaints(fault: Fault, stage: Stage) -> list[str]:
    """Return what should not be so, in words; nothing when all is as it must be."""
    return wrongs(fault, stage) + excesses(fault, stage)


def wrongs(fault: Fault, stage: Stage) -> list[str]:
    """Return what is wrong on any machine, however slow, in words."""
    verdict, recovery = stage.verdict, stage.verdict_of_recovery
    found: list[str] = []

    def check(bad: list[object], what: str) -> None:
        if bad:
            found.append(f"{len(bad)} {what}: {', '.join(map(str, bad[:3]))}")

    elsewhere = [pair for pair in verdict.lost_elsewhere if pair[0] not in stage.interrupted]
    never = [name for name, seconds in stage.back().items() if seconds is None]
    words = stage.verdict_of_words
    check([*verdict.silent, *words.silent], "channels not live again")
    check([*never], "timed channels never heard of again")
    check([*verdict.twice], "messages twice")
    check([*words.twice], "messages twice, of those whose payloads repeat")
    check([*verdict.disordered], "messages out of order")
    if not fault.relays:
        overtaken = [one for one in verdict.overtaken if one[0] in AT_OWNER]
        check([*overtaken], "messages out of order, accepted by two nodes")
    check([*elsewhere], "messages lost in channels that the fault does not concern")
    check([*_unreported(stage)], "messages lost outside of a reported gap")
    check([*words.unreported], "messages lost outside of a reported gap, whose payloads repeat")
    check([*verdict.needless_gaps], "gaps of channels that were never interrupted")
    check([*recovery.silent], "channels with recovery not live again")
    check([*recovery.twice], "messages twice, with recovery")
    check([*recovery.disordered, *recovery.overtaken], "messages out of order, with recovery")
    check([*recovery.unreported], "messages lost outside of a reported gap, with recovery")
    if not fault.forgets:
        check([*recovery.lost], "messages lost, with recovery")
        gaps = [gap for gap in stage.arrivals.gaps if gap.name in stage.recovering]
        check([*gaps], "gaps of channels with recovery that lost nothing")
    return found


def _unreported(stage: Stage) -> list[tuple[str, Accepted]]:
    """Return what was lost outside of a gap, and was not accepted where no client can know of it.

    A replica of a slot's former owner accepts messages until the replica, too, knows of the move. A
    node that was just started accepts messages before others are connected to it.
    """
    return [
        (name, message)
        for name, message in stage.verdict.unreported
        if name in AT_OWNER
        or not any(
            gap.name == name and gap.until <= message.sent <= gap.until + _LATE
            for gap in stage.arrivals.gaps
        )
    ]


def excesses(fault: Fault, stage: Stage, allowance: Allowance | None = None) -> list[str]:
    """Return what is more than it may be, in words: how much that is depends on the machine.

    Args:
        fault: what was played.
        stage: where.
        allowance: what is allowed beyond the fault's own limits, at 3,000 messages a second.
    """
    verdict, extra = stage.verdict, allowance or Allowance()
    found: list[str] = []
    # What a replica accepted is on its way for longer: it need only lie in a gap.
    at_owner = set(AT_OWNER)
    lost = [pair for pair in verdict.lost if pair[0] in at_owner]
    interrupted = [
        pair
        for pair in verdict.lost_elsewhere
        if pair[0] in stage.interrupted and pair[0] in at_owner
    ]
    if len(interrupted) > extra.lost:
        found.append(
            f"{len(interrupted)} messages lost in channels that could have been taken over whole: "
            f"{', '.join(map(str, interrupted[:3]))}"
        )
    if fault.most_lost is not None and len(lost) > fault.most_lost + extra.lost:
        found.append(f"{len(lost)} messages lost, at most {fault.most_lost + extra.lost} may be")
    if fault.back_within is not None:
        limit = fault.back_within + extra.back
        back = stage.back().items()
        late = {n: round(s, 3) for n, s in back if s is not None and s > limit}
        if late:
            found.append(f"{len(late)} channels back later than {limit} s: {late}")
    return found
