"""Mailslot's actors."""

from __future__ import annotations

from actors import Actor, ActorRef, ActorSystem
from tests.benchmarks.contestants.memory import rss
from tests.benchmarks.contestants.queues import Countdown
from tests.benchmarks.meter import Meter


class Counter(Actor[int]):
    """Counts down."""

    def __init__(self, counted: Countdown) -> None:
        self.counted = counted

    async def receive(self, message: int) -> None:
        counted = self.counted
        counted.left -= 1
        if not counted.left:
            counted.zero.set_result(None)


class Echo(Actor[int]):
    """Answers."""

    async def receive(self, message: int) -> int:
        return message


class Link(Actor[int]):
    """Passes a number on, one less."""

    following: ActorRef[int]

    def __init__(self, counted: Countdown, subscribers: list[ActorRef[int]], number: int) -> None:
        self.counted = counted
        self.subscribers = subscribers
        self.number = number

    async def on_start(self) -> None:
        self.following = self.subscribers[(self.number + 1) % len(self.subscribers)]

    async def receive(self, message: int) -> None:
        if message:
            self.following.tell(message - 1)
        else:
            self.counted.zero.set_result(None)


async def tell(meter: Meter) -> None:
    counted = Countdown()
    async with ActorSystem() as system:
        ref = system.spawn(Counter, counted)
        await ref.started()
        count = meter.ready()
        while True:
            zero = counted.of(count)
            for number in range(count):
                ref.tell(number)
            await zero
            count = meter.done()


async def ask(meter: Meter) -> None:
    async with ActorSystem() as system:
        ref = system.spawn(Echo)
        await ref.started()
        count = meter.ready()
        while True:
            for number in range(count):
                await ref.ask(number, timeout=5)
            count = meter.done()


async def ping_pong(meter: Meter) -> None:
    await _pass_around(meter, 2)


async def ring(meter: Meter) -> None:
    await _pass_around(meter, 100)


async def _pass_around(meter: Meter, size: int) -> None:
    counted = Countdown()
    async with ActorSystem() as system:
        subscribers: list[ActorRef[int]] = []
        subscribers += [system.spawn(Link, counted, subscribers, number) for number in range(size)]
        for subscriber in subscribers:
            await subscriber.started()
        count = meter.ready()
        while True:
            zero = counted.of(0)
            subscribers[0].tell(count - 1)
            await zero
            count = meter.done()


async def fan_out(meter: Meter) -> None:
    counted = Countdown()
    async with ActorSystem() as system:
        refs = [system.spawn(Counter, counted) for _ in range(100)]
        for ref in refs:
            await ref.started()
        count = meter.ready()
        while True:
            zero = counted.of(count)
            for number in range(count // 100):
                for ref in refs:
                    ref.tell(number)
            await zero
            count = meter.done()


async def spawn_stop(meter: Meter) -> None:
    async with ActorSystem() as system:
        count = meter.ready()
        while True:
            refs = [system.spawn(Echo) for _ in range(count)]
            for ref in refs:
                ref.tell(1)
            await refs[-1].started()
            for ref in refs:
                ref.request_stop()
            for ref in refs:
                await ref.stopped()
            del ref, refs
            count = meter.done()


async def hold(meter: Meter) -> None:
    async with ActorSystem() as system:
        await system.spawn(Echo).started()
        before = rss()
        refs = [system.spawn(Echo) for _ in range(meter.job.channels)]
        for ref in refs:
            await ref.started()
        meter.results = {"bytes": [(rss() - before) / meter.job.channels]}
        meter.finish()
