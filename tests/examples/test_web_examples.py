"""The web applications of examples/, under uvicorn, on real servers, with real clients."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect

from actors import Redis
from tests.examples.web import WebProgram, uvicorn
from tests.pubsub.helpers import kill_subscribers, numsub
from tests.servers import AnyServer, ask
from tests.support import eventually

pytestmark = pytest.mark.embedded_only


class Browsers:
    """Several websockets, and what each of them has received."""

    def __init__(self) -> None:
        self.heard: list[list[str]] = []
        self.connections: list[ClientConnection] = []
        self._stack = AsyncExitStack()

    async def open(self, url: str, count: int = 1) -> None:
        for _ in range(count):
            connection = await self._stack.enter_async_context(connect(url))
            heard: list[str] = []
            self.heard.append(heard)
            self.connections.append(connection)
            reading = asyncio.create_task(self._read(connection, heard))
            self._stack.callback(reading.cancel)

    @staticmethod
    async def _read(connection: ClientConnection, heard: list[str]) -> None:
        while True:
            heard.append(str(await connection.recv()))

    def all_heard(self, text: str) -> bool:
        return all(any(text in one for one in heard) for heard in self.heard)

    async def close(self) -> None:
        await self._stack.aclose()


@pytest.fixture
async def browsers() -> AsyncIterator[Browsers]:
    browsers = Browsers()
    yield browsers
    await browsers.close()


def price(name: str, cents: int) -> bytes:
    return msgspec.json.encode({"name": name, "cents": cents})


class Service:
    """The FastAPI service in two processes, with websockets to both."""

    def __init__(self, program: WebProgram, server: AnyServer, browsers: Browsers) -> None:
        self.program = program
        self.server = server
        self.browsers = browsers

    async def consumes(self, password: str, name: str) -> None:
        """Publish a price until every websocket has received it and both processes are ready."""
        async with Redis(self.server.host, self.server.port, password=password) as client:

            async def everywhere() -> bool:
                await client.publish("prices", price(name, 300))
                return self.browsers.all_heard(name)

            await eventually(everywhere, 90, 0.25)
            await eventually(self._all_ready, 60, 0.25)
            assert await self.program.get(f"/prices/{name}") == {"cents": 300}

    async def _all_ready(self) -> bool:
        return all(stats["ready"]["ok"] for stats in await self.program.stats(2))


async def test_a_service_in_two_processes_consumes_again_whatever_happens(
    make_server, browsers, tmp_path
):
    """The server dies, the password is rotated, an actor crashes six times."""
    file = tmp_path / "password"
    file.write_text("first")
    server = make_server({"requirepass": "first"})
    url = f"redis://{server.host}:{server.port}"
    env = {"REDIS_URL": url, "REDIS_PASSWORD_FILE": str(file)}
    async with uvicorn("examples.fastapi_service:api", env=env, processes=2) as program:
        service = Service(program, server, browsers)
        assert len(await program.stats(2)) == 2
        await browsers.open(f"ws://127.0.0.1:{program.port}/prices", 12)
        await service.consumes("first", "tea")

        server.kill()
        await server.start()
        await service.consumes("first", "milk")

        async with Redis(server.host, server.port, password="first") as admin:
            await admin.execute_command("CONFIG", "SET", "requirepass", "second")
            await admin.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        await program.says("worker_gave_up", times=2)  # the file has the former password
        assert await program.status("/worker/live") == 200
        ready = await program.client.get("/worker/ready")
        assert ready.status_code == 503
        assert "refused HELLO 3" in ready.text
        file.write_text("second")
        await service.consumes("second", "bread")

        gave_up = sum("worker_gave_up" in line for line in program.lines)
        async with Redis(server.host, server.port, password="second") as client:
            for _ in range(6):
                await client.publish("prices", price("tea", -1))
        await program.says("worker_gave_up", times=gave_up + 2)
        await service.consumes("second", "salt")

        program.process.send_signal(signal.SIGTERM)
        await program.ends()
    assert sum("Application shutdown complete" in line for line in program.lines) == 2


async def test_websockets_of_a_room_hear_each_other_and_of_gaps(server, browsers):
    async with uvicorn("examples.websocket_fanout:api", env={"REDIS_URL": server.url}) as program:
        await eventually(program.is_ready, 30, 0.05)
        url = f"ws://127.0.0.1:{program.port}/rooms/"
        await browsers.open(url + "tea", 2)
        others = Browsers()
        await others.open(url + "milk")
        await browsers.connections[0].send("hello")
        await eventually(lambda: browsers.all_heard("hello"), 20)
        kill_subscribers(server)
        await eventually(lambda: browsers.all_heard("may be missing here"), 20)
        await eventually(lambda: numsub_of_pattern(server) == 1, 20)
        ask(server, "PUBLISH", "room:milk", "moo")
        await eventually(lambda: others.all_heard("moo"), 20)
        await others.close()
        assert not any("moo" in text for heard in browsers.heard for text in heard)


def numsub_of_pattern(server: AnyServer) -> int:
    return int(ask(server, "PUBSUB", "NUMPAT").removeprefix(":"))


async def test_server_sent_events_reach_each_client_with_the_gaps(server):
    env = {"REDIS_URL": server.url}
    options = ("--timeout-graceful-shutdown", "1")
    async with uvicorn("examples.sse_fanout:api", *options, env=env) as program:
        await eventually(program.is_ready, 30, 0.05)
        async with AsyncExitStack() as stack:
            streams = []
            for _ in range(2):
                streaming = program.client.stream("GET", "/events")
                response = await stack.enter_async_context(streaming)
                assert response.headers["content-type"].startswith("text/event-stream")
                lines = response.aiter_lines()
                assert await anext(lines) == ": the stream begins"
                streams.append(lines)
            ask(server, "PUBLISH", "news", "two\nlines")
            for lines in streams:
                said = [await anext(lines) for _ in range(4)]
                assert said == ["", "event: news", "data: two", "data: lines"]
            kill_subscribers(server)
            for lines in streams:
                assert [await anext(lines) for _ in range(2)] == ["", "event: gap"]
            program.process.send_signal(signal.SIGTERM)
            await program.ends()  # though the streams are open


async def test_a_cache_forgets_what_has_changed_and_everything_after_a_gap(server):
    env = {"REDIS_URL": server.url}
    async with uvicorn("examples.cache_invalidation:api", env=env, processes=2) as program:
        await eventually(lambda: numsub(server, "changed") == 2, 60)

        async def gets(key: str) -> list[dict[str, Any]]:
            return await asyncio.gather(*(program.get(f"/values/{key}") for _ in range(8)))

        async def all_get(key: str, value: str, *, cached: bool | None = None) -> bool:
            expected = [value, *([] if cached is None else [cached])]
            found = await gets(key)
            return all([one["value"], one["cached"]][: len(expected)] == expected for one in found)

        await program.client.put("/values/tea", params={"value": "3"})
        await eventually(lambda: all_get("tea", "3", cached=True), 30, 0.05)
        await program.client.put("/values/tea", params={"value": "4"})
        await eventually(lambda: all_get("tea", "4"), 30, 0.05)
        await eventually(lambda: all_get("tea", "4", cached=True), 30, 0.05)
        # Nobody publishes this change: as if the message had been lost in the gap.
        ask(server, "SET", "tea", "5")
        assert await all_get("tea", "4", cached=True)
        kill_subscribers(server)
        await eventually(lambda: all_get("tea", "5"), 30, 0.05)
