"""What a consumer may cost, and which rows cost more. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tests.footprint.figures import Figures
from tests.footprint.rows import COREDIS, MAILSLOT

__all__ = ["excesses", "most_commands"]

#: Milliseconds of processor time a second of a consumer that receives nothing.
_IDLE_CPU = 2.0
#: How much more of it than coredis it may use at ten messages a second.
_CPU_RATIO = 2.0
#: Seconds between two commands to a node on which nothing is subscribed.
_SELDOM = 10.0
#: Less than this part of the messages received: the row measured something else.
_LEAST_RECEIVED = 0.9


def most_commands(nodes: int) -> float:
    """Return how many commands a second a healthy cluster of so many nodes may get."""
    return 6.0 if nodes <= 6 else 12.0


def excesses(all_figures: Sequence[Figures]) -> list[str]:
    """Return in words what costs more than it may; only mailslot is judged."""
    coredis = {one.row.place: one for one in _measured(all_figures) if one.row.client == COREDIS}
    found = []
    for one in all_figures:
        if one.row.client == MAILSLOT:
            reasons = [one.missing] if one.missing else _reasons(one, coredis.get(one.row.place))
            found += [f"{one.row.place}: {reason}" for reason in reasons]
    return found


def _measured(all_figures: Iterable[Figures]) -> list[Figures]:
    return [one for one in all_figures if not one.missing]


def _reasons(one: Figures, coredis: Figures | None) -> list[str]:
    row, found = one.row, []
    if one.rate > (most := most_commands(row.nodes)):
        found.append(f"{one.rate:.1f} commands a second, at most {most:g} may be")
    seldom = (1 + one.seconds // _SELDOM) / one.seconds
    often = [node.rate for node in one.nodes if not node.channels and node.rate > seldom * 1.001]
    if often:
        found.append(
            f"of the nodes on which nothing is subscribed, {len(often)} get up to "
            f"{max(often) * _SELDOM:.1f} commands in {_SELDOM:g} s, at most 1 may be"
        )
    if row.rate == 0 and one.cpu_ms > _IDLE_CPU:
        found.append(f"{one.cpu_ms:.2f} ms of CPU a second, at most {_IDLE_CPU:g} may be")
    if row.rate == 10 and coredis is not None and one.cpu_ms > _CPU_RATIO * coredis.cpu_ms:
        found.append(
            f"{one.cpu_ms:.2f} ms of CPU a second, at most {_CPU_RATIO:g} times "
            f"coredis's {coredis.cpu_ms:.2f} may be"
        )
    if row.channels and one.received < _LEAST_RECEIVED * one.published:
        found.append(f"{one.received:.0f} of {one.published:.0f} messages a second received")
    return found
