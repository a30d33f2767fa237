"""A3: what a full mailbox does, by policy; what is shed is counted and reported in order."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors import Lagged, MailboxFull, MailboxSpec, Overflow
from actors.runtime.messages.envelopes import Envelope
from actors.runtime.messages.mailbox import Mailbox
from supervisor import SpecError
from tests.support import eventually

from .support import Gate, Recorder, turns


class News(Envelope):
    """Something that must not be lost, like a gap."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


async def _held(system: Any, log: list[Any], mailbox: Any) -> tuple[Any, asyncio.Event]:
    """Return an actor that has its first message in hand and an empty mailbox."""
    ref = system.spawn(Recorder, log, mailbox=mailbox)
    gate = asyncio.Event()
    ref.tell(Gate(gate))
    await eventually(lambda: "at the gate" in log)
    log.clear()
    return ref, gate


async def test_a3_drop_oldest_reports_lagged_before_next_message(told):
    log: list[Any] = []
    async with told.system() as system:
        ref, gate = await _held(system, log, MailboxSpec(3, "drop_oldest"))
        for i in range(10):
            ref.tell(i)
        gate.set()
        await ref.stop(drain=True)
    assert log[:-1] == [Lagged(7), 7, 8, 9]


async def test_a3_drop_newest_reports_lagged_where_the_messages_are_missing(told):
    log: list[Any] = []
    async with told.system() as system:
        ref, gate = await _held(system, log, MailboxSpec(3, "drop_newest"))
        for i in range(10):
            ref.tell(i)
        gate.set()
        await eventually(lambda: len(log) == 4)
        ref.tell(10)
        await ref.stop(drain=True)
    assert log[:-1] == [0, 1, 2, Lagged(7), 10]


@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest"])
async def test_a3_a_mailbox_of_one_still_holds_one(told, policy):
    log: list[Any] = []
    async with told.system() as system:
        ref, gate = await _held(system, log, MailboxSpec(1, policy))
        for i in range(5):
            ref.tell(i)
        gate.set()
        await ref.stop(drain=True)
    assert log[:-1] == ([Lagged(4), 4] if policy == "drop_oldest" else [0, Lagged(4)])


async def test_a3_fail_tells_the_sender(told):
    async with told.system() as system:
        ref, gate = await _held(system, [], 2)
        ref.tell(1)
        ref.tell(2)
        with pytest.raises(MailboxFull, match=r"system/Recorder-1: full \(2 messages\)"):
            ref.tell(3)
        with pytest.raises(MailboxFull):
            await ref.ask(4)
        gate.set()


async def test_a3_shed_messages_are_counted_in_the_tree(told):
    async with told.system() as system:
        ref, gate = await _held(system, [], MailboxSpec(2, "drop_oldest"))
        for i in range(10):
            ref.tell(i)
        node = system.tree().find(ref.path)
        assert node is not None
        assert node.detail["shed"] == 8
        gate.set()


@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest"])
async def test_a3_a_shed_ask_fails_at_once_with_mailbox_full(told, policy):
    async with told.system() as system:
        ref, gate = await _held(system, [], MailboxSpec(1, policy))
        first = asyncio.ensure_future(ref.ask("first"))
        await turns()
        second = asyncio.ensure_future(ref.ask("second"))
        await turns()
        shed, kept = (first, second) if policy == "drop_oldest" else (second, first)
        with pytest.raises(MailboxFull, match="the ask was shed"):
            await shed
        gate.set()
        assert await kept in ("first", "second")


@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest"])
async def test_a3_the_overflow_keeps_during_a_back_off(told, policy):
    mailbox = Mailbox(MailboxSpec(2, policy), asyncio.get_running_loop())
    for i in range(5):
        if len(mailbox.queue) < mailbox.limit:
            mailbox.queue.append(i)
        else:
            mailbox.put_full(i, "x")
    kept = [m for m in mailbox.queue if isinstance(m, int)]
    assert kept == ([3, 4] if policy == "drop_oldest" else [0, 1])
    assert mailbox.shed == 3


async def test_a3_drop_oldest_keeps_news_in_its_place_before_the_lag():
    mailbox = Mailbox(MailboxSpec(2, "drop_oldest"), asyncio.get_running_loop())
    gap = News("gap")
    mailbox.queue.extend([1, gap, 2, 3, 4])
    assert mailbox.trim() == 3
    assert list(mailbox.queue) == [gap, Lagged(3), 4]


async def test_a3_drop_newest_sheds_around_news_at_the_end():
    mailbox = Mailbox(MailboxSpec(2, "drop_newest"), asyncio.get_running_loop())
    gap = News("gap")
    mailbox.queue.extend([1, 2, 3, 4, gap])
    assert mailbox.trim() == 3
    assert list(mailbox.queue) == [1, Lagged(3), gap]


@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest"])
async def test_a3_news_alone_is_never_shed_and_makes_no_lag(policy):
    mailbox = Mailbox(MailboxSpec(1, policy), asyncio.get_running_loop())
    news = [News("a"), News("b"), News("c")]
    mailbox.queue.extend(news)
    assert mailbox.trim() == 0
    assert list(mailbox.queue) == news


async def test_a3_trim_within_the_bound_does_nothing():
    mailbox = Mailbox(MailboxSpec(2, "drop_oldest"), asyncio.get_running_loop())
    mailbox.queue.extend([1, 2])
    assert mailbox.trim() == 0
    assert list(mailbox.queue) == [1, 2]


@pytest.mark.parametrize(
    ("capacity", "overflow", "problem"),
    [
        (0, "fail", "capacity must be 1 or more, not 0"),
        (True, "fail", "capacity must be a whole number, not True"),
        (1.5, "fail", "capacity must be a whole number, not 1.5"),
        (1, "sometimes", "overflow must be one of drop_oldest, drop_newest, fail, block"),
    ],
)
def test_a3_a_mailbox_spec_that_cannot_work_is_refused(capacity, overflow, problem):
    with pytest.raises(SpecError, match=problem):
        MailboxSpec(capacity, overflow)


def test_a3_a_mailbox_spec_takes_the_policy_by_name():
    assert MailboxSpec(1, "block").overflow is Overflow.BLOCK


async def test_a3_on_lagged_may_be_async_and_a_failing_one_is_a_failure(told):
    log: list[Any] = []

    class Picky(Recorder):
        async def on_lagged(self, lagged: Lagged) -> None:  # type: ignore[override]
            await asyncio.sleep(0)
            raise ValueError(lagged.count)

    async with told.system() as system:
        ref = system.spawn(Picky, log, mailbox=MailboxSpec(1, "drop_oldest"))
        gate = asyncio.Event()
        ref.tell(Gate(gate))
        await eventually(lambda: "at the gate" in log)
        ref.tell(1)
        ref.tell(2)
        gate.set()
        await eventually(lambda: 2 in log)
    assert [f.message for f in told.failures] == [Lagged(1)]
    assert ("start", 2) in log
