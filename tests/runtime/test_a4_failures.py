"""A4: the mailbox survives a restart, the message in hand goes to the failure sink."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from actors import Actor, ActorCrashed, ActorSystem, Failure, MailboxSpec
from supervisor import ConstantRetryPolicy
from tests.support import eventually

from .support import Boom, Crash, Echo, Gate, Recorder, Resilient, turns


async def test_a4_the_mailbox_survives_a_restart(told):
    log: list[Any] = []
    async with told.system() as system:
        ref = system.spawn(Recorder, log)
        ref.tell(1)
        ref.tell(Crash(Boom()))
        ref.tell(2)
        ref.tell(3)
        await eventually(lambda: 3 in log)
    assert log == [
        ("start", 1),
        1,
        ("stop", "crashed: Boom"),
        ("start", 2),
        2,
        3,
        ("stop", "shutdown"),
    ]


async def test_a4_the_message_in_hand_goes_to_the_failure_sink_and_not_to_the_next(told):
    log: list[Any] = []
    crash = Crash(Boom())
    async with told.system() as system:
        ref = system.spawn(Recorder, log, name="it")
        ref.tell(crash)
        ref.tell("next")
        await eventually(lambda: "next" in log)
        assert system.tree().find("system/it").incarnation == 2
    assert told.failures == [Failure("system/it", crash, crash.error)]


async def test_a4_a_message_that_crashed_its_actor_counts_as_processed(told):
    async with told.system() as system:
        ref = system.spawn(Recorder, [])
        for message in (1, 2, Crash(Boom()), 3):
            ref.tell(message)
        await ref.ask(4)
        await turns()
        node = system.tree().find(ref.path)
        assert node is not None
        assert node.detail["processed"] == 5


async def test_a4_messages_told_during_a_back_off_wait_for_the_restart(told, clock):
    log: list[Any] = []
    async with told.system(clock=clock) as system:
        policy = ConstantRetryPolicy((Boom,), retries=3, delay=60)
        ref = system.spawn(Recorder, log, retry_policy=policy)
        ref.tell(Crash(Boom()))
        await turns(20)
        assert system.tree().find(ref.path).status == "waiting"
        ref.tell("patience")
        await clock.advance(59)
        assert "patience" not in log
        await clock.advance(1)
        assert "patience" in log


async def test_a4_keep_mailbox_false_makes_dead_letters_of_what_waits(told):
    log: list[Any] = []
    async with told.system() as system:
        ref = system.spawn(Recorder, log, keep_mailbox=False)
        gate = asyncio.Event()
        ref.tell(Gate(gate))
        ref.tell(Crash(Boom()))
        ref.tell("lost")
        ask = asyncio.ensure_future(ref.ask("lost, too"))
        await turns()
        gate.set()
        with pytest.raises(ActorCrashed, match="crashed before it answered"):
            await ask
        ref.tell("new")
        await eventually(lambda: "new" in log)
    assert "lost" not in log
    assert [letter.message for letter in told.dead] == ["lost"]


async def test_a4_keep_mailbox_false_gives_waiting_senders_room(told):
    log: list[Any] = []
    async with told.system() as system:
        mailbox = MailboxSpec(1, "block")
        ref = system.spawn(Recorder, log, keep_mailbox=False, mailbox=mailbox)
        gate = asyncio.Event()
        ref.tell(Gate(gate))
        await eventually(lambda: "at the gate" in log)
        ref.tell(Crash(Boom()))
        sender = asyncio.ensure_future(ref.send("waited"))
        await turns()
        gate.set()
        await sender
        await eventually(lambda: "waited" in log)


async def test_a4_a_drain_that_a_crash_interrupts_goes_on(told):
    log: list[Any] = []
    async with told.system() as system:
        ref = system.spawn(Recorder, log)
        for message in (1, Crash(Boom()), 2):
            ref.tell(message)
        await ref.stop(drain=True)
    assert [entry for entry in log if isinstance(entry, int)] == [1, 2]


async def test_a4_a_drain_ends_with_a_mailbox_that_is_not_kept(told):
    log: list[Any] = []
    async with told.system() as system:
        ref = system.spawn(Recorder, log, keep_mailbox=False)
        for message in (1, Crash(Boom()), 2):
            ref.tell(message)
        await ref.stop(drain=True)
    assert ("start", 2) not in log


async def test_a4_asks_pending_on_a_crashed_incarnation_fail_at_once_with_the_cause(told):
    error = Boom("why")
    async with told.system() as system:
        ref = system.spawn(Echo)
        with pytest.raises(ActorCrashed, match=r"system/Echo-1 crashed .*Boom\('why'\)") as caught:
            await ref.ask(Crash(error), timeout=60)
        assert caught.value.__cause__ is error
        # Those that still waited in the mailbox are answered by the next incarnation.
        first = asyncio.ensure_future(ref.ask(Crash(Boom())))
        second = asyncio.ensure_future(ref.ask("second"))
        with pytest.raises(ActorCrashed):
            await first
        assert await second == "second"


async def test_a4_deferred_answers_fail_when_their_incarnation_crashes(told):
    class Later(Actor[Any]):
        async def receive(self, message: Any) -> None:
            if message == "defer":
                self.context.defer()
            else:
                raise Boom(message)

    async with told.system() as system:
        ref = system.spawn(Later)
        ask = asyncio.ensure_future(ref.ask("defer", timeout=60))
        await turns()
        ref.tell("crash")
        with pytest.raises(ActorCrashed) as caught:
            await ask
        assert isinstance(caught.value.__cause__, Boom)


async def test_a4_a_resilient_actor_never_crashes_on_an_exception(told):
    log: list[Any] = []
    async with told.system() as system:
        ref = system.spawn(Resilient, log)
        for error in (
            Boom(),
            ValueError(),
            ConnectionError(),
            TimeoutError(),
            ExceptionGroup("", [Boom()]),
        ):
            ref.tell(Crash(error))
        ref.tell("fine")
        await eventually(lambda: "fine" in log)
        assert system.tree().find(ref.path).restarts == 0
    assert len(told.failures) == 5
    assert log == [("start", 1), "fine", ("stop", "shutdown")]


async def test_a4_a_foreign_cancellation_costs_a_resilient_actor_its_message_only(told):
    class Foreign(Resilient):
        async def receive(self, message: Any) -> Any:
            if message == "cancel":
                future = asyncio.get_running_loop().create_future()
                future.cancel()
                await future
            return await super().receive(message)

    log: list[Any] = []
    async with told.system() as system:
        ref = system.spawn(Foreign, log)
        ref.tell("cancel")
        with pytest.raises(ActorCrashed):
            await ref.ask("cancel")
        assert await ref.ask("fine") == "fine"
    assert [f.message for f in told.failures] == ["cancel", "cancel"]
    assert ("start", 2) not in log


async def test_a4_a_foreign_cancellation_crashes_an_actor_that_is_not_resilient(told):
    log: list[Any] = []
    async with told.system() as system:
        ref = system.spawn(Recorder, log)
        ref.tell(Crash(asyncio.CancelledError()))
        ref.tell("fine")
        await eventually(lambda: "fine" in log)
    assert ("start", 2) in log
    assert ("stop", "crashed: CancelledError") in log


async def test_a4_a_cancelled_task_of_an_idle_actor_is_a_crash(told):
    log: list[Any] = []
    async with told.system() as system:
        ref = system.spawn(Resilient, log)
        await ref.started()
        await turns()
        ref._cell.child.task.cancel()
        await eventually(lambda: ("start", 2) in log)
    assert told.failures == []  # there was no message in hand


async def test_a4_a_failing_on_stop_does_not_hide_the_crash(told):
    class Worse(Recorder):
        async def on_stop(self, reason: Any) -> None:
            await super().on_stop(reason)
            raise ValueError("in on_stop")

    log: list[Any] = []
    with capture_logs() as logged:
        async with told.system() as system:
            ref = system.spawn(Worse, log)
            ref.tell(Crash(Boom("first")))
            ref.tell("alive")
            await eventually(lambda: "alive" in log)
            assert "Boom: first" in system.tree().find(ref.path).last_exit
            report = await ref.stop()
    assert "ValueError: in on_stop" in str(report)
    assert [entry["event"] for entry in logged] == ["on_stop_failed"]
    assert "in on_stop" in logged[0]["error"]


async def test_a4_the_default_failure_sink_logs_with_a_limit(clock):
    with capture_logs() as logged:
        async with ActorSystem(sink=lambda _: None, clock=clock) as system:
            ref = system.spawn(Resilient, [], name="it")
            for _ in range(5):
                ref.tell(Crash(Boom()))
            await clock.advance(2)
            ref.tell(Crash(Boom()))
            await turns(20)
    assert [(e["event"], e["path"], e["suppressed"]) for e in logged] == [
        ("message_failed", "system/it", 0),
        ("message_failed", "system/it", 4),
    ]


async def test_a4_a_failing_failure_sink_is_logged_and_does_not_matter():
    def sink(failure: Failure) -> None:
        raise ValueError("sink")

    with capture_logs() as logged:
        async with ActorSystem(on_failure=sink, sink=lambda _: None) as system:
            ref = system.spawn(Resilient, [])
            ref.tell(Crash(Boom()))
            assert await ref.ask("fine") == "fine"
    assert [e["event"] for e in logged] == ["failure_sink_failed"]
