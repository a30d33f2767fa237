"""The judge of the demo is judged, too: losses, gaps and chapters on given times."""

from __future__ import annotations

import pytest

from actors import Gap, Kind
from examples.demo_parts import ledger as module
from examples.demo_parts.ledger import Ledger
from examples.demo_parts.view import Figures, tree_rows
from supervisor import TreeNode


class Clock:
    now = 1000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def ledger(clock):
    ledger = Ledger()
    ledger.open("a")
    return ledger


def publish(ledger: Ledger, clock: Clock, at: float, *, arrives: bool = True) -> int:
    number = ledger.next_number("a")
    clock.now = at
    ledger.accepted("a", number, at - 0.001)
    if arrives:
        ledger.arrived("a", number)
    return number


def gap(since: float, until: float) -> Gap:
    return Gap(Kind.CHANNEL, "a", since, until, "test")


def test_what_was_accepted_and_did_not_arrive_is_lost(ledger, clock):
    publish(ledger, clock, 1001)
    publish(ledger, clock, 1002, arrives=False)
    balance = ledger.balance()
    assert (balance.published, balance.delivered, balance.lost) == (2, 1, 1)
    assert balance.unexplained == 1


def test_a_loss_is_explained_by_a_gap_at_its_time_only(ledger, clock):
    publish(ledger, clock, 1001, arrives=False)
    publish(ledger, clock, 1005, arrives=False)
    ledger.reported(gap(1000.9, 1001.1))
    balance = ledger.balance()
    assert (balance.lost, balance.unexplained, balance.gaps) == (2, 1, 1)


def test_losses_are_told_apart_by_the_fault_they_fell_into(ledger, clock):
    publish(ledger, clock, 1001, arrives=False)
    clock.now = 1002.0
    ledger.begin_chapter("first")
    publish(ledger, clock, 1003, arrives=False)
    publish(ledger, clock, 1004, arrives=False)
    clock.now = 1005.0
    ledger.begin_chapter("second")
    assert ledger.balance().lost_by_fault == {"before": 1, "first": 2, "second": 0}


def test_what_arrives_twice_or_late_is_seen(ledger, clock):
    first, second = publish(ledger, clock, 1001, arrives=False), publish(ledger, clock, 1002)
    ledger.arrived("a", second)
    ledger.arrived("a", first)
    balance = ledger.balance()
    assert (balance.delivered, balance.twice, balance.out_of_order) == (2, 1, 1)


def test_an_unanswered_publish_that_arrives_is_not_delivered_but_named(ledger):
    number = ledger.next_number("a")
    ledger.unanswered("a")
    ledger.arrived("a", number)
    balance = ledger.balance()
    assert (balance.published, balance.delivered) == (0, 0)
    assert (balance.unanswered, balance.unanswered_arrived) == (1, 1)


def test_a_channel_is_silent_until_something_newer_than_the_mark_arrives(ledger, clock):
    publish(ledger, clock, 1001)
    mark = ledger.mark()
    assert ledger.silent_since(mark) == ["a"]
    publish(ledger, clock, 1002)
    assert ledger.silent_since(mark) == []


def test_many_siblings_are_one_row_that_adds_up():
    children = tuple(
        TreeNode(
            f"c{n}", f"root/c{n}", "actor", "running" if n else "waiting", detail={"mailbox": n}
        )
        for n in range(8)
    )
    root = TreeNode("root", "root", "supervisor", "running", children=children)
    figures = Figures(
        rate_of=lambda node: 1.5 if node.kind == "actor" else None,
        restarts_of=lambda node: int(node.id == "c3"),
    )
    first, folded = tree_rows(root, figures)
    assert (first.name, first.rate) == ("root", None)
    assert folded.name == "└─ 8 actors"
    assert (folded.rate, folded.mailbox, folded.restarts) == (12.0, 28, 1)
    assert folded.status == "1 waiting"
