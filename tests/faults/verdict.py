"""What was accepted against what was seen, pure.

How "no Gap for channels that lost nothing" is read: a gap is a time in which messages *may* have
been missed, and a channel may have had none in it. So a gap is right where the channel was live on
no node for a time that can be told: its connection ended before another node had confirmed it. It
is *needless* for every channel that a fault could not have interrupted (another shard's), and in
every fault in which another node, or the same one, can take over before anything is lost: planned
moves, hand-overs, a primary that stops.

How "order per channel kept" is read: a publisher whose message is still on its way over the
cluster bus, from one node of a shard to another, may go on at the other one, which delivers the
next message first: each of its subscribers sees that. Such a message is *overtaken*. That is right
where nodes of a shard change their roles, and nowhere else.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from actors.pubsub.model.types import Gap
from tests.faults.load import Accepted, Report

__all__ = ["Seen", "Verdict", "back_after", "covers", "judge"]

#: Seconds by which the clocks of publisher, server and consumer may seem to differ.
SKEW = 0.02


class Seen(msgspec.Struct, frozen=True):
    """What the consumer saw.

    Attributes:
        messages: for each channel, (number, seen at) in order.
        gaps: all that were reported, in order.
    """

    messages: Mapping[str, Sequence[tuple[int, float]]]
    gaps: Sequence[Gap]


class Verdict(msgspec.Struct, frozen=True):
    """What became of the messages of one run.

    Attributes:
        accepted: how many.
        lost: accepted and never seen.
        lost_elsewhere: of these, in channels that the fault should not have touched.
        unreported: of these, outside of every gap of their channel.
        twice: (channel, number) seen more than once.
        disordered: (channel, number) seen after a later one; of accepted messages.
        overtaken: the same, where another node had accepted the later one.
        silent: channels of which nothing was seen at the end.
        gaps: how many channels had one.
        longest_gap: in seconds.
        needless_gaps: those of channels that were never interrupted.
    """

    accepted: int
    lost: list[tuple[str, Accepted]]
    lost_elsewhere: list[tuple[str, Accepted]]
    unreported: list[tuple[str, Accepted]]
    twice: list[tuple[str, int]]
    disordered: list[tuple[str, int]]
    overtaken: list[tuple[str, int]]
    silent: list[str]
    gaps: int
    longest_gap: float
    needless_gaps: list[Gap]

    @property
    def lost_in(self) -> dict[str, int]:
        """How many each channel lost."""
        return dict(Counter(name for name, _ in self.lost))


def judge(
    channels: Sequence[str],
    report: Report,
    seen: Seen,
    *,
    touched: Collection[str],
    interrupted: Collection[str],
    settled_at: float,
    never: Collection[str] = (),
) -> Verdict:
    """Compare.

    Args:
        channels: by the publisher's numbers.
        report: the publisher's.
        seen: the consumer's.
        touched: channels that the fault may cost messages.
        interrupted: channels that may have a gap.
        settled_at: from when on every channel must have been live again.
        never: channels that were not live again however long somebody waited.
    """
    gaps: dict[str, list[Gap]] = defaultdict(list)
    for gap in seen.gaps:
        gaps[gap.name].append(gap)
    numbers = {name: {number for number, _ in seen.messages[name]} for name in channels}
    lost = [
        (channels[message.channel], message)
        for message in report.accepted
        if message.number not in numbers[channels[message.channel]]
    ]
    ports: dict[str, dict[int, int]] = {name: {} for name in channels}
    for message in report.accepted:
        ports[channels[message.channel]][message.number] = message.port
    late = [pair for name in channels for pair in _late(name, seen, ports[name])]
    deaf = _deaf(channels, report, numbers, settled_at)
    return Verdict(
        accepted=len(report.accepted),
        lost=lost,
        lost_elsewhere=[(name, message) for name, message in lost if name not in touched],
        unreported=[
            (name, message)
            for name, message in lost
            if not any(covers(gap, message) for gap in gaps[name])
        ],
        twice=[pair for name in channels for pair in _twice(name, seen)],
        disordered=[(name, number) for name, number, elsewhere in late if not elsewhere],
        overtaken=[(name, number) for name, number, elsewhere in late if elsewhere],
        silent=[n for n in channels if n in never or n in deaf],
        gaps=len(gaps),
        longest_gap=max((gap.seconds for gap in seen.gaps), default=0.0),
        needless_gaps=[gap for gap in seen.gaps if gap.name not in interrupted],
    )


def covers(gap: Gap, message: Accepted) -> bool:
    """Whether the message was accepted, at one time or other while it was sent, in the gap."""
    return gap.since - SKEW <= message.answered and message.sent <= gap.until + SKEW


def _twice(name: str, seen: Seen) -> list[tuple[str, int]]:
    counts = Counter(number for number, _ in seen.messages[name])
    return [(name, number) for number, count in counts.items() if count > 1]


def _late(name: str, seen: Seen, ports: Mapping[int, int]) -> list[tuple[str, int, bool]]:
    # What was never answered may have waited in a stopped server while later ones passed.
    found, highest = [], -1
    for number, _ in seen.messages[name]:
        if number in ports:
            if number < highest:
                found.append((name, number, ports[number] != ports[highest]))
            highest = max(highest, number)
    return found


def _deaf(
    channels: Sequence[str],
    report: Report,
    numbers: Mapping[str, set[int]],
    settled_at: float,
) -> set[str]:
    """Return the channels of which a message that was sent after ``settled_at`` is missing."""
    found = set()
    for message in report.accepted:
        name = channels[message.channel]
        if message.sent >= settled_at and message.number not in numbers[name]:
            found.add(name)
    return found


def back_after(
    channels: Sequence[str],
    report: Report,
    seen: Seen,
    names: Collection[str],
    since: float,
    ports: Collection[int] | None = None,
) -> dict[str, float | None]:
    """Return how long each of ``names`` took to receive again; None: it never did.

    With ``ports``: from the first message that one of these nodes accepted after ``since``. Else
    from ``since``. Until the first message was seen that was published then or later.
    """
    took: dict[str, float | None] = {}
    for name in names:
        index = channels.index(name)
        mine = [m for m in report.accepted if m.channel == index and m.sent >= since]
        if ports is not None:
            mine = [message for message in mine if message.port in ports]
        begin = since if ports is None else min((m.answered for m in mine), default=since)
        wanted: Any = {message.number for message in mine}
        times = [at for number, at in seen.messages[name] if number in wanted]
        took[name] = max(0.0, min(times) - begin) if times else None
    return took
