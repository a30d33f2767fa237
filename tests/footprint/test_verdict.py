"""What is over the budget, and how it is printed: a verdict that cannot fail proves nothing."""

from __future__ import annotations

from typing import Any

import pytest

from tests.footprint.figures import Figures, NodeFigures
from tests.footprint.rows import CHANNELS, COREDIS, MAILSLOT, RATES, ROWS, Row, chosen, quick_rows
from tests.footprint.table import HEAD, cells, footnotes, markdown, plain
from tests.footprint.verdict import excesses, most_commands


def node(rate: float, channels: int = 10, *, primary: bool = True) -> NodeFigures:
    """Return a node that gets so many PINGs a second."""
    return NodeFigures(primary, {"ping": rate} if rate else {}, channels, 1)


def one(row: Row, *nodes: NodeFigures, **values: Any) -> Figures:
    """Return figures of a row that received all that was published."""
    values = {"seconds": 10.0, "published": row.rate, "received": row.rate} | values
    return Figures(row, nodes=list(nodes), **values)


CALM = Row(MAILSLOT, 6, 60, 1000)
IDLE = Row(MAILSLOT, 6, 60, 0)
SLOW = Row(MAILSLOT, 6, 60, 10)
TOO_OFTEN = (
    "6/60/1000: of the nodes on which nothing is subscribed, 1 get up to 3.0 commands in 10 s, "
    "at most 1 may be"
)


@pytest.mark.parametrize(
    ("figures", "complaint"),
    [
        (one(CALM, node(3.0), node(3.0)), ""),
        (one(CALM, node(3.0), node(3.1)), "6/60/1000: 6.1 commands a second, at most 6 may be"),
        (one(Row(MAILSLOT, 24, 60, 1000), node(12.0)), ""),
        (
            one(Row(MAILSLOT, 24, 60, 1000), node(12.1)),
            "24/60/1000: 12.1 commands a second, at most 12 may be",
        ),
        (one(CALM, node(0.2, channels=0)), ""),
        (
            one(CALM, node(0.3, channels=0)),
            TOO_OFTEN,
        ),
        (one(IDLE, cpu_ms=2.0), ""),
        (one(IDLE, cpu_ms=2.1), "6/60/0: 2.10 ms of CPU a second, at most 2 may be"),
        (one(CALM, cpu_ms=90.0), ""),
        (one(CALM, received=800.0), "6/60/1000: 800 of 1000 messages a second received"),
        (one(CALM, missing="it ended"), "6/60/1000: it ended"),
        (one(Row(COREDIS, 6, 60, 0), node(99.0), cpu_ms=9.0), ""),
        (one(Row(MAILSLOT, 6, 0, 1000), received=0.0), ""),
    ],
)
def test_each_limit_is_exceeded_on_its_own_side(figures: Figures, complaint: str):
    assert excesses([figures]) == [complaint] * bool(complaint)


@pytest.mark.parametrize(("cpu_ms", "over"), [(6.0, False), (6.1, True)])
def test_at_ten_messages_a_second_coredis_in_the_same_row_is_the_measure(cpu_ms, over):
    peers = [
        one(Row(COREDIS, 6, 60, 10), cpu_ms=3.0),
        one(Row(COREDIS, 6, 60, 10, replicas=True), cpu_ms=0.1),
    ]
    assert bool(excesses([one(SLOW, cpu_ms=cpu_ms), *peers])) is over
    assert not excesses([one(SLOW, cpu_ms=cpu_ms), one(Row(COREDIS, 6, 60, 10), missing="no")])


def test_a_bigger_cluster_may_be_asked_more():
    assert [most_commands(nodes) for nodes in (3, 6, 24, 100)] == [6, 6, 12, 12]


def test_all_sizes_are_measured_and_coredis_wherever_it_is_the_measure():
    mine = [row for row in ROWS if row.client == MAILSLOT]
    assert len(ROWS) == len(set(ROWS))
    assert {(row.channels, row.rate) for row in mine} == {(c, r) for c in CHANNELS for r in RATES}
    assert {(row.nodes, row.replicas) for row in mine} == {
        (nodes, replicas) for nodes in (6, 24) for replicas in (False, True)
    }
    slow = {row.place for row in mine if row.rate == 10 and row.channels}
    assert slow <= {row.place for row in ROWS if row.client == COREDIS}
    assert {row.nodes for row in quick_rows()} == {6, 24}


def test_rows_are_chosen_by_place_and_client():
    assert chosen(ROWS, [], []) == ROWS
    assert [row.place for row in chosen(ROWS, ["6/60/*"], [MAILSLOT])] == [
        *(f"6/60/{rate}" for rate in RATES),
        *(f"6/60/{rate}/r" for rate in RATES),
    ]


def test_a_row_without_figures_has_a_footnote():
    here = one(
        SLOW,
        NodeFigures(True, {"cluster|nodes": 0.5, "ping": 1.0}, 60, 2),
        NodeFigures(True, {"ping": 0.5}, 60, 1),
        NodeFigures(False, {}, 0, 0),
        bytes_in=120.0,
        bytes_out=4500.0,
        cpu_ms=1.234,
    )
    gone = one(Row(COREDIS, 6, 60, 10), missing="not installed")
    assert dict(zip(HEAD, cells(here, []), strict=True)) == {
        "client": "mailslot",
        "nodes": "6",
        "reads from": "primaries",
        "channels": "60",
        "messages/s": "10",
        "received/s": "10",
        "CPU ms/s": "1.23",
        "connections": "3",
        "kB/s to nodes": "0.12",
        "kB/s from nodes": "4.5",
        "commands/s": "2.0",
        "to a primary": "0.5 to 1.5",
        "to a replica": "0.0",
        "by name": "ping 1.5, cluster|nodes 0.5",
    }
    assert footnotes([here, gone, gone]) == ["not installed"]
    *_, last, note = plain([here, gone]).splitlines()
    assert last.split()[-1] == "[1]"
    assert note == "[1] not installed"
    head, rule, row, *_ = markdown([here, gone]).splitlines()
    assert head.count("|") == rule.count("|") == len(HEAD) + 1
    assert row.endswith(r"| ping 1.5, cluster\|nodes 0.5 |")
