"""A6: watch() delivers exactly one Terminated, and a restart is no end."""

from __future__ import annotations

from typing import Any

from actors import Actor, ActorRef, Terminated
from supervisor import Crashed, Shutdown
from tests.support import eventually

from .support import Boom, Crash, Echo, Recorder, turns


class Watcher(Recorder):
    """Watches and unwatches what it is told to."""

    async def receive(self, message: Any) -> Any:
        match message:
            case ("watch", ActorRef() as ref):
                self.context.watch(ref)
            case ("unwatch", ActorRef() as ref):
                self.context.unwatch(ref)
            case _:
                return await super().receive(message)
        return None


def _ends(log: list[Any]) -> list[Terminated]:
    return [entry for entry in log if isinstance(entry, Terminated)]


async def test_a6_a_watched_actor_that_stops_is_told_once(told):
    log: list[Any] = []
    async with told.system() as system:
        other, ref = system.spawn(Echo), system.spawn(Watcher, log)
        await ref.ask(("watch", other))
        await ref.ask(("watch", other))
        await other.stop()
        await eventually(lambda: _ends(log))
        await ref.ask("flush")
    assert _ends(log) == [Terminated(other, Shutdown())]


async def test_a6_an_actor_that_had_already_ended_is_told_once(told):
    log: list[Any] = []
    async with told.system() as system:
        other, ref = system.spawn(Echo), system.spawn(Watcher, log)
        await other.stop()
        await ref.ask(("watch", other))
        await ref.ask("flush")
    assert len(_ends(log)) == 1


async def test_a6_watching_again_while_the_news_is_on_its_way_adds_nothing(told):
    log: list[Any] = []

    class Twice(Watcher):
        async def receive(self, message: Any) -> Any:
            if isinstance(message, ActorRef):
                self.context.watch(message)
                self.context.watch(message)
                return None
            return await super().receive(message)

    async with told.system() as system:
        other, ref = system.spawn(Echo), system.spawn(Twice, log)
        await other.stop()
        await ref.ask(other)
        await ref.ask("flush")
    assert len(_ends(log)) == 1


async def test_a6_a_restart_is_not_an_end(told):
    log: list[Any] = []
    async with told.system() as system:
        other, ref = system.spawn(Echo), system.spawn(Watcher, log)
        await ref.ask(("watch", other))
        other.tell(Crash(Boom()))
        assert await other.ask("back") == "back"
        await ref.ask("flush")
        assert _ends(log) == []
        await other.stop()
        await eventually(lambda: _ends(log))
    assert len(_ends(log)) == 1


async def test_a6_the_reason_is_the_crash_of_one_that_is_not_restarted(told):
    log: list[Any] = []
    error = Boom()
    async with told.system() as system:
        other, ref = system.spawn(Echo, restart="temporary"), system.spawn(Watcher, log)
        await ref.ask(("watch", other))
        other.tell(Crash(error))
        await eventually(lambda: _ends(log))
    assert _ends(log) == [Terminated(other, Crashed(error))]


async def test_a6_unwatch_calls_it_off(told):
    log: list[Any] = []
    async with told.system() as system:
        other, ref = system.spawn(Echo), system.spawn(Watcher, log)
        await ref.ask(("watch", other))
        await ref.ask(("unwatch", other))
        await ref.ask(("unwatch", other))
        await other.stop()
        await ref.ask("flush")
        assert not other._cell.watchers
    assert _ends(log) == []


async def test_a6_unwatch_calls_off_news_that_is_on_its_way(told):
    log: list[Any] = []

    class Undecided(Watcher):
        async def receive(self, message: Any) -> Any:
            if isinstance(message, ActorRef):
                self.context.watch(message)  # it has ended: the news is in the mailbox now
                self.context.unwatch(message)
                return None
            return await super().receive(message)

    async with told.system() as system:
        other, ref = system.spawn(Echo), system.spawn(Undecided, log)
        await other.stop()
        await ref.ask(other)
        await ref.ask("flush")
        assert _ends(log) == []
        await ref.ask(("watch", other))
        await ref.ask("flush")
    assert len(_ends(log)) == 1


async def test_a6_a_watcher_that_ended_first_is_not_told(told):
    log: list[Any] = []
    async with told.system() as system:
        other, ref = system.spawn(Echo), system.spawn(Watcher, log)
        await ref.ask(("watch", other))
        await ref.stop()
        assert not other._cell.watchers
        await other.stop()
    assert _ends(log) == []
    assert told.dead == []


async def test_a6_a_watch_survives_the_watchers_restart(told):
    log: list[Any] = []
    async with told.system() as system:
        other, ref = system.spawn(Echo), system.spawn(Watcher, log)
        await ref.ask(("watch", other))
        ref.tell(Crash(Boom()))
        await eventually(lambda: ("start", 2) in log)
        await other.stop()
        await eventually(lambda: _ends(log))
    assert len(_ends(log)) == 1


async def test_a6_two_that_watch_each_other_end_in_peace(told):
    log: list[Any] = []
    async with told.system() as system:
        a, b = system.spawn(Watcher, log), system.spawn(Watcher, log)
        await a.ask(("watch", b))
        await b.ask(("watch", a))
        await a.ask(("watch", a))
        await a.stop()
        await eventually(lambda: _ends(log))
    assert [end.ref for end in _ends(log)] == [a]


async def test_a6_all_watchers_are_told(told):
    log: list[Any] = []
    async with told.system() as system:
        other = system.spawn(Echo)
        watchers = [system.spawn(Watcher, log) for _ in range(20)]
        for ref in watchers:
            await ref.ask(("watch", other))
        await other.stop()
        await eventually(lambda: len(_ends(log)) == 20)


async def test_a6_the_end_is_told_ahead_of_the_backlog_and_after_the_message_in_hand(told):
    log: list[Any] = []

    class Ends(Actor[Any]):
        async def receive(self, message: Any) -> None:
            if isinstance(message, ActorRef):
                self.context.watch(message)
                await message.stop()
                log.append("in hand")
            else:
                log.append(message)

    async with told.system() as system:
        other, ref = system.spawn(Echo), system.spawn(Ends)
        ref.tell(other)
        ref.tell("backlog")
        await eventually(lambda: "backlog" in log)
    assert log == ["in hand", Terminated(other, Shutdown()), "backlog"]


async def test_a6_an_actor_stopped_during_a_back_off_has_ended(told, clock):
    from supervisor import ConstantRetryPolicy

    log: list[Any] = []
    async with told.system(clock=clock) as system:
        policy = ConstantRetryPolicy((Boom,), retries=3, delay=60)
        other, ref = system.spawn(Echo, retry_policy=policy), system.spawn(Watcher, log)
        await ref.ask(("watch", other))
        other.tell(Crash(Boom()))
        await turns(20)
        assert system.tree().find(other.path).status == "waiting"
        await other.stop()
        await eventually(lambda: _ends(log))
        assert not other.alive
        assert system.lookup(other.path) is None
