"""A fleet of processes on a server, and somebody who publishes to it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from actors import History, Redis, RedisCluster
from actors.redis.exceptions import RedisError
from actors.worker.fleet.calls import record_keys
from tests.fleet.app import Play
from tests.fleet.results import Record, Verdict, judge
from tests.support import eventually

ROOT = Path(__file__).parents[2]
#: Seconds between two batches of the publisher.
_PERIOD = 0.01
#: Processes that are started at once: each takes a second of a processor.
_TOGETHER = 4


class Publisher:
    """Publishes numbered messages to names in turn, until it is stopped.

    Attributes:
        published: by name and number, when each message was published.
        next: the number of the next message, over all names.
    """

    def __init__(self, client: Any, play: Play, rate: float, first: int) -> None:
        self.published: dict[tuple[str, int], float] = {}
        self._client, self._play, self._rate = client, play, rate
        self._first = self.next = first
        self._stop = asyncio.Event()
        self._sending: set[asyncio.Task[None]] = set()

    def channel(self, name: str) -> str:
        """Return a channel that the messages of ``name`` are published to."""
        return name.replace("*", "x")

    async def run(self) -> None:
        """Publish at the rate, in small batches."""
        begun = time.monotonic()
        names = self._play.names
        while not self._stop.is_set():
            due = self._first + int((time.monotonic() - begun) * self._rate)
            batch = range(self.next, max(due, self.next))
            self.next = batch.stop
            keys = [(self.channel(names[n % len(names)]), n // len(names)) for n in batch]
            for key in keys:
                task = asyncio.create_task(self._publish(*key))
                self._sending.add(task)
                task.add_done_callback(self._sending.discard)
            await asyncio.sleep(_PERIOD)

        await asyncio.gather(*self._sending)

    async def _publish(self, name: str, number: int) -> None:
        """Publish one message; one that raises may be published or not, and counts as neither."""
        play, client, now = self._play, self._client, time.time()
        publish = client.spublish if play.kind == "shard_channel" else client.publish
        history = {"history": History()} if play.resume else {}
        try:
            if play.kind == "events":
                await client.execute_command("SET", f"{name}:{number}", "x", "EX", 60)
            else:
                await publish(name, f"{number} {now}", **history)
        except (RedisError, TimeoutError, OSError):
            return
        self.published[name, number] = now

    def stop(self) -> None:
        """Publish no more."""
        self._stop.set()


class Fleet:
    """The processes of a fleet, and the servers that they consume from."""

    def __init__(self, play: Play, client: Any, servers: Any = None) -> None:
        self.play = play
        self.client = client
        self.servers = servers
        self.members: list[asyncio.subprocess.Process] = []

    @property
    def folder(self) -> Path:
        return Path(self.play.folder)

    async def start(self, count: int = 1) -> list[asyncio.subprocess.Process]:
        """Start members, a few at a time, and wait until all are in the committed view."""
        started = []
        while len(started) < count:
            some = [await self._spawn() for _ in range(min(_TOGETHER, count - len(started)))]
            started += some
            self.members += some
            await self.settled()
        return started

    async def _spawn(self) -> asyncio.subprocess.Process:
        with (self.folder / "errors").open("ab") as errors:
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "actors.worker", "run", "tests.fleet.app:app"),
                cwd=ROOT,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                env={**os.environ, "FLEET_TEST": msgspec.json.encode(self.play).decode()},
            )

    async def view(self) -> list[str]:
        """Return the members of the committed view."""
        text = await self.client.execute_command("HGET", record_keys("test")[0], "committed")
        return [] if text is None else msgspec.json.decode(text)["members"]

    async def settled(self, timeout: float = 120.0) -> None:
        """Wait until the committed view has all members that run, and nobody else."""

        async def is_settled() -> bool:
            pids = {one.split(":")[1] for one in await self.view()}
            return pids == {str(member.pid) for member in self.members}

        await eventually(is_settled, timeout, 0.02)

    async def stop(self, member: asyncio.subprocess.Process) -> None:
        """Have ``member`` drain, and wait until it has ended."""
        member.send_signal(signal.SIGTERM)
        await self.gone(member)

    async def gone(self, member: asyncio.subprocess.Process, timeout: float = 60.0) -> None:
        """Wait until ``member`` has ended."""
        async with asyncio.timeout(timeout):
            await member.wait()
        self.members.remove(member)

    async def end(self) -> None:
        """Kill what still runs."""
        for member in self.members:
            member.kill()
            await member.wait()


@asynccontextmanager
async def client_of(play: Play) -> AsyncIterator[Any]:
    """Yield a client of the play's server."""
    kind = RedisCluster if play.cluster else Redis
    async with kind.from_url(play.url, decode_responses=True) as client:
        yield client


@asynccontextmanager
async def fleet(play: Play, count: int, servers: Any = None) -> AsyncIterator[Fleet]:
    """Run a fleet of ``count`` processes."""
    async with client_of(play) as client:
        running = Fleet(play, client, servers)
        try:
            await running.start(count)
            yield running
        except BaseException:
            sys.stderr.write((running.folder / "errors").read_text()[-5000:])
            raise
        finally:
            await running.end()


@asynccontextmanager
async def load(
    play: Play, rate: float, *, after: Publisher | None = None
) -> AsyncIterator[Publisher]:
    """Publish at ``rate`` messages a second; the numbers follow those of ``after``."""
    async with client_of(play) as client:
        publisher = Publisher(client, play, rate, 0 if after is None else after.next)
        running = asyncio.create_task(publisher.run())
        try:
            yield publisher
        finally:
            publisher.stop()
            await running


async def verdict(play: Play, published: Mapping[tuple[str, int], float]) -> Verdict:
    """Return what became of the messages once nothing more comes."""
    folder = Path(play.folder)
    seen, since = -1, time.monotonic()
    while time.monotonic() - since < 1.0:
        handled = Record.read(folder).handled.total()
        if handled != seen:
            seen, since = handled, time.monotonic()
        await asyncio.sleep(0.1)
    return judge(published, Record.read(folder))
