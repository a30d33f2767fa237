"""A paused actor leaves its user lane alone: messages wait, and what is urgent does not."""

from __future__ import annotations

import asyncio

import pytest

from actors import Actor, ActorSystem, MailboxSpec
from actors.runtime.messages.envelopes import Envelope
from actors.runtime.messages.mailbox import Mailbox
from tests.support import eventually


class Keeper(Actor[object]):
    def __init__(self, seen: list[object]) -> None:
        self.seen = seen

    async def on_start(self) -> None:
        self.seen.append("start")

    async def receive(self, message: object) -> None:
        if message == "crash":
            raise RuntimeError(message)
        self.seen.append(message)

    def on_lagged(self, lagged: object) -> None:
        self.seen.append(lagged)


class Urgent(Envelope):
    __slots__ = ("seen",)

    def __init__(self, seen: list[object]) -> None:
        self.seen = seen

    def deliver(self, cell: object) -> None:
        self.seen.append("urgent")


def mailbox_of(ref) -> Mailbox:
    found: Mailbox = ref._cell.mailbox
    return found


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.fixture
def seen() -> list[object]:
    return []


async def test_messages_wait_while_it_is_paused_and_are_handled_in_order_then(seen):
    async with ActorSystem("system") as system:
        ref = system.spawn(Keeper, seen, name="keeper")
        await ref.started()
        ref.tell(0)
        await eventually(lambda: seen == ["start", 0])
        mailbox_of(ref).pause()
        for number in range(1, 200):
            ref.tell(number)
        await turns()
        assert seen == ["start", 0]
        assert ref.waiting == 199
        (node,) = system.tree().children
        assert node.detail["paused"] is True
        mailbox_of(ref).resume()
        await eventually(lambda: seen[1:] == list(range(200)))
        (node,) = system.tree().children
        assert "paused" not in node.detail


async def test_a_busy_actor_pauses_after_the_message_in_hand(seen):
    gate = asyncio.Event()

    class Busy(Keeper):
        async def receive(self, message: object) -> None:
            seen.append(message)
            await gate.wait()

    async with ActorSystem("system") as system:
        ref = system.spawn(Busy, seen)
        for number in range(5):
            ref.tell(number)
        await eventually(lambda: 0 in seen)
        mailbox_of(ref).pause()
        gate.set()
        await turns()
        assert seen == ["start", 0]
        assert ref.waiting == 4
        mailbox_of(ref).resume()
        await eventually(lambda: seen[1:] == [0, 1, 2, 3, 4])


async def test_a3_a_paused_mailbox_sheds_by_its_policy(seen):
    async with ActorSystem("system") as system:
        ref = system.spawn(Keeper, seen, mailbox=MailboxSpec(3, "drop_oldest"))
        await ref.started()
        mailbox_of(ref).pause()
        for number in range(10):
            ref.tell(number)
        await turns()
        assert mailbox_of(ref).shed == 7
        mailbox_of(ref).resume()
        await eventually(lambda: seen[-1] == 9)
        assert [one for one in seen if isinstance(one, int)] == [7, 8, 9]


async def test_a2_the_system_lane_is_handled_while_it_is_paused(seen):
    async with ActorSystem("system") as system:
        ref = system.spawn(Keeper, seen)
        await ref.started()
        mailbox_of(ref).pause()
        ref.tell("waits")
        mailbox_of(ref).put_urgent(Urgent(seen))
        await eventually(lambda: seen == ["start", "urgent"])
        await turns()
        assert ref.waiting == 1


async def test_it_stays_paused_across_a_restart(seen):
    async with ActorSystem("system") as system:
        ref = system.spawn(Keeper, seen)
        await ref.started()
        mailbox_of(ref).pause()
        ref._cell.crash_with(RuntimeError("while it is paused"))
        ref.tell("waits")
        await eventually(lambda: seen == ["start", "start"])
        await turns()
        assert ref.waiting == 1
        mailbox_of(ref).resume()
        await eventually(lambda: seen[-1] == "waits")


async def test_a_stop_ends_a_paused_actor_and_a_drain_handles_what_waits(seen):
    async with ActorSystem("system") as system:
        stopped, drained = system.spawn(Keeper, []), system.spawn(Keeper, seen)
        for ref in (stopped, drained):
            await ref.started()
            mailbox_of(ref).pause()
            ref.tell("waits")
        await turns()
        async with asyncio.timeout(30):
            assert (await stopped.stop()).normal
            assert (await drained.stop(drain=True)).normal
        assert seen == ["start", "waits"]


async def test_pausing_and_resuming_twice_is_the_same_as_once(seen):
    async with ActorSystem("system") as system:
        ref = system.spawn(Keeper, seen)
        await ref.started()
        for _ in range(2):
            mailbox_of(ref).pause()
        ref.tell(1)
        for _ in range(2):
            mailbox_of(ref).resume()
        await eventually(lambda: seen == ["start", 1])
