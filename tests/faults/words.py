"""The judge of runs whose payloads repeat: two words are all that is ever published (P7).

Nobody can tell two messages of one word apart. So the words that arrived on a channel are aligned
with the words that were accepted, in order, such that as few messages as possible are missing
outside of gaps, or come from nowhere.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence

import msgspec

from actors.pubsub.model.types import Gap
from tests.faults.load import Accepted, Report, word_of
from tests.faults.verdict import Seen, Verdict, covers

__all__ = ["Alignment", "align", "judge_words"]

#: Messages by which accepted and arrived sequences may be apart at the most.
_BAND = 150


def judge_words(
    channels: Sequence[str],
    report: Report,
    seen: Seen,
    words: dict[str, list[str]],
    *,
    settled_at: float,
    never: Collection[str] = (),
) -> Verdict:
    """Compare what arrived with what was accepted.

    Args:
        channels: by the publisher's numbers.
        report: the publisher's.
        seen: the consumer's; the numbers in it only count the messages of a channel.
        words: the words that arrived, by channel.
        settled_at: from when on every channel must have been live again.
        never: channels that were not live again however long somebody waited.
    """
    gaps: dict[str, list[Gap]] = defaultdict(list)
    for gap in seen.gaps:
        gaps[gap.name].append(gap)
    accepted: dict[str, list[Accepted]] = {name: [] for name in channels}
    for message in report.accepted:
        accepted[channels[message.channel]].append(message)
    unknown: dict[str, int] = dict.fromkeys(channels, 0)
    for maybe in report.unknown:
        unknown[channels[maybe.channel]] += 1
    lost, unreported, twice, overtaken, silent = [], [], [], [], []
    for name in channels:
        mine = sorted(accepted[name], key=lambda message: message.number)
        found = align(
            [word_of(message.number) for message in mine],
            [any(covers(gap, message) for gap in gaps.get(name, ())) for message in mine],
            words[name],
        )
        swapped = min(found.missing, found.surplus)
        surplus = max(0, found.surplus - unknown[name])
        more = max(0, len(words[name]) - len(mine) - unknown[name])
        lost += [(name, m) for m in mine[: max(0, len(mine) - len(words[name]))]]
        unreported += [(name, m) for m in mine[: found.missing - swapped]]
        twice += [(name, n) for n in range(more)]
        # In another place than where it was accepted: nobody can order what is taken for a repeat.
        overtaken += [(name, n) for n in range(max(0, surplus - more))]
        late = any(message.sent >= settled_at for message in mine)
        if name in never or (late and not any(at >= settled_at for _, at in seen.messages[name])):
            silent.append(name)
    return Verdict(
        accepted=len(report.accepted),
        lost=lost,
        lost_elsewhere=[],
        unreported=unreported,
        twice=twice,
        disordered=[],
        overtaken=overtaken,
        silent=silent,
        gaps=len(gaps),
        longest_gap=max((gap.seconds for gap in seen.gaps), default=0.0),
        needless_gaps=[],
    )


class Alignment(msgspec.Struct, frozen=True):
    """How well what arrived fits what was accepted.

    Attributes:
        missing: messages that did not arrive, outside of gaps.
        surplus: messages that arrived and were not accepted, or twice.
    """

    missing: int
    surplus: int


def align(accepted: Sequence[str], in_gap: Sequence[bool], arrived: Sequence[str]) -> Alignment:
    """Return the alignment with the fewest messages missing outside of gaps, or in surplus.

    Args:
        accepted: the words that were accepted, in order.
        in_gap: for each, whether it lies in a gap, and may be missing.
        arrived: the words that arrived, in order.
    """
    start = 0
    while start < min(len(accepted), len(arrived)) and not in_gap[start]:
        if accepted[start] != arrived[start]:
            break
        start += 1
    # (missing + surplus, missing) for the first i accepted and j arrived words.
    rest = range(start, len(arrived) + 1)
    before = {j: (j - start, 0) for j in rest}
    for i in range(start, len(accepted)):
        free, word = in_gap[i], accepted[i]
        now: dict[int, tuple[int, int]] = {}
        for j in range(max(start, i - _BAND), min(len(arrived), i + _BAND) + 1):
            best = (10**9, 0)
            if j in before:
                cost, missing = before[j]
                best = (cost, missing) if free else (cost + 1, missing + 1)
            if j > start and j - 1 in before and arrived[j - 1] == word:
                best = min(best, before[j - 1])
            if j - 1 in now:
                cost, missing = now[j - 1]
                best = min(best, (cost + 1, missing))
            now[j] = best
        before = now
    cost, missing = before.get(len(arrived), (len(accepted) + len(arrived), len(accepted)))
    return Alignment(missing, cost - missing)
