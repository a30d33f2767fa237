"""S2: a program that ends over a live pub/sub object ends in silence, and with its own error."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import nullcontext
from typing import Any

import pytest

from actors import ActorSystem
from tests.pubsub.helpers import Heard, client_of, numsub
from tests.servers import AnyServer
from tests.support import eventually

# Nothing here depends on whose server it is.
pytestmark = pytest.mark.embedded_only


class Program:
    """A program in an event loop of its own: ``main`` returns while others still run."""

    def __init__(self, server: AnyServer) -> None:
        self.server = server
        self.kept: list[Any] = []
        self.ended_with: list[BaseException] = []
        self.entered = 0

    async def consume(self, *, tidy: float = 0.0, **options: Any) -> None:
        try:
            async with (
                client_of(self.server) as client,
                client.pubsub(channels="a", channel_handlers={"b": Heard()}, **options) as pubsub,
            ):
                self.entered += 1
                try:
                    async for _ in pubsub:
                        pass
                finally:
                    await asyncio.sleep(tidy)
        except BaseException as error:
            self.ended_with.append(error)
            raise

    async def in_background(self, **options: Any) -> None:
        self.kept.append(asyncio.create_task(self.consume(**options)))
        await eventually(lambda: self.entered == 1)

    async def background(self) -> None:
        await self.in_background()

    async def several(self) -> None:
        for _ in range(3):
            self.kept.append(asyncio.create_task(self.consume()))
        await eventually(lambda: self.entered == 3)

    async def with_a_cleanup(self) -> None:
        await self.in_background(tidy=0.2)

    async def given_system(self) -> None:
        system = ActorSystem("mine")
        await system.start()
        self.kept.append(system)
        await self.in_background(system=system)

    async def never_left(self) -> None:
        client = client_of(self.server)
        await client.__aenter__()
        pubsub = client.pubsub(channels="a", channel_handlers={"b": Heard()})
        await pubsub.__aenter__()
        self.kept += client, pubsub

    async def generator(self) -> None:
        async def messages() -> AsyncIterator[Any]:
            async with (
                client_of(self.server) as client,
                client.pubsub(channels="a", ignore_subscribe_messages=True) as pubsub,
            ):
                async for message in pubsub:
                    yield message

        generator = messages()
        self.kept.append(generator)
        step = asyncio.ensure_future(anext(generator))
        await eventually(lambda: numsub(self.server, "a") == 1)
        async with client_of(self.server) as client:
            await client.publish("a", "1")
        await step

    async def entering(self) -> None:
        self.kept.append(asyncio.create_task(self.consume()))
        for _ in range(2):
            await asyncio.sleep(0)

    async def raises(self) -> None:
        await self.in_background()
        raise ValueError("of main")


PROGRAMS = [
    name for name in vars(Program) if name[0] != "_" and name not in ("consume", "in_background")
]


@pytest.mark.parametrize("name", PROGRAMS)
def test_s2_the_end_of_the_program(server: AnyServer, caplog, name: str):
    caplog.set_level(logging.INFO)
    program = Program(server)
    own_error = pytest.raises(ValueError, match="of main") if name == "raises" else nullcontext()
    with own_error:
        asyncio.run(getattr(program, name)())
    assert [record.getMessage() for record in caplog.records if record.name != "asyncio"] == []
    assert not any("shutdown" in record.getMessage() for record in caplog.records)
    assert all(isinstance(error, asyncio.CancelledError) for error in program.ended_with)
