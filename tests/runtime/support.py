"""Actors that tests watch, and a system that keeps what it was told."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from actors import Actor, ActorSystem, DeadLetter, Failure, Lagged
from supervisor import Event, ExitReason


class Boom(Exception):
    """What actors here crash with."""


class Crash(msgspec.Struct):
    """Have a :class:`Recorder` raise ``error``."""

    error: BaseException


class Gate(msgspec.Struct):
    """Have a :class:`Recorder` wait for ``event`` with this message in hand."""

    event: asyncio.Event


class Recorder(Actor[Any]):
    """Writes down all that happens to it."""

    def __init__(self, log: list[Any]) -> None:
        self.log = log

    async def on_start(self) -> None:
        self.log.append(("start", self.context.incarnation))

    async def receive(self, message: Any) -> Any:
        if isinstance(message, Gate):
            self.log.append("at the gate")
            await message.event.wait()
        elif isinstance(message, Crash):
            raise message.error
        else:
            self.log.append(message)
        return message

    def on_lagged(self, lagged: Lagged) -> None:
        self.log.append(lagged)

    async def on_stop(self, reason: ExitReason) -> None:
        self.log.append(("stop", str(reason)))


class Resilient(Recorder):
    """The same, and no exception is its end."""

    resilient = True


class Echo(Actor[Any]):
    """Answers with what it is asked."""

    async def receive(self, message: Any) -> Any:
        if isinstance(message, Crash):
            raise message.error
        return message


class Told:
    """What a system reported."""

    def __init__(self) -> None:
        self.failures: list[Failure] = []
        self.dead: list[DeadLetter] = []
        self.events: list[Event] = []

    def system(self, **options: Any) -> ActorSystem:
        """Return a system that reports here and logs nothing."""
        return ActorSystem(
            on_failure=self.failures.append,
            on_dead_letter=self.dead.append,
            sink=self.events.append,
            **options,
        )


async def turns(count: int = 5) -> None:
    """Let everything that is ready run."""
    for _ in range(count):
        await asyncio.sleep(0)
