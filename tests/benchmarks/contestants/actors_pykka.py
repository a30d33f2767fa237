"""pykka: actors on threads."""

from __future__ import annotations

import threading
from typing import Any

import pykka

from tests.benchmarks.meter import Meter


class Counter(pykka.ThreadingActor):
    def __init__(self, counted: Countdown) -> None:
        super().__init__()
        self.counted = counted

    def on_receive(self, message: Any) -> None:
        with self.counted.lock:
            self.counted.left -= 1
            if not self.counted.left:
                self.counted.zero.set()


class Countdown:
    def __init__(self) -> None:
        self.left = 0
        self.lock = threading.Lock()
        self.zero = threading.Event()

    def start(self, count: int) -> None:
        self.zero.clear()
        self.left = count


class Echo(pykka.ThreadingActor):
    def on_receive(self, message: Any) -> Any:
        return message


class Link(pykka.ThreadingActor):
    def __init__(self, counted: Countdown) -> None:
        super().__init__()
        self.counted = counted
        self.following: Any = None

    def on_receive(self, message: Any) -> None:
        if isinstance(message, pykka.ActorRef):
            self.following = message
        elif message:
            self.following.tell(message - 1)
        else:
            self.counted.zero.set()


async def tell(meter: Meter) -> None:
    counted = Countdown()
    ref = Counter.start(counted)
    count = meter.ready()
    while True:
        counted.start(count)
        for number in range(count):
            ref.tell(number)
        counted.zero.wait()
        count = meter.done()


async def ask(meter: Meter) -> None:
    ref = Echo.start()
    count = meter.ready()
    while True:
        for number in range(count):
            ref.ask(number, timeout=5)
        count = meter.done()


async def ping_pong(meter: Meter) -> None:
    _pass_around(meter, 2)


async def ring(meter: Meter) -> None:
    _pass_around(meter, 100)


def _pass_around(meter: Meter, size: int) -> None:
    counted = Countdown()
    refs = [Link.start(counted) for _ in range(size)]
    for number, ref in enumerate(refs):
        ref.tell(refs[(number + 1) % size])
    count = meter.ready()
    while True:
        counted.start(0)
        refs[0].tell(count - 1)
        counted.zero.wait()
        count = meter.done()


async def fan_out(meter: Meter) -> None:
    counted = Countdown()
    refs = [Counter.start(counted) for _ in range(100)]
    count = meter.ready()
    while True:
        counted.start(count // 100 * 100)
        for number in range(count // 100):
            for ref in refs:
                ref.tell(number)
        counted.zero.wait()
        count = meter.done()


async def spawn_stop(meter: Meter) -> None:
    count = meter.ready()
    while True:
        refs = [Echo.start() for _ in range(count)]
        for ref in refs:
            ref.tell(1)
        for ref in refs:
            ref.stop()
        count = meter.done()
