"""A worker that is killed goes on where it was: nothing is missing (R4)."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from actors import History, Redis
from actors.redis.history.entries import EntryId
from tests.support import eventually
from tests.worker.program import mailslot, write_app

CHANNELS = ("plain", "keys", "batch")
KILLS = 10

# Each handled message is written to a file before its handler returns.
APP = """
import os
import time
from actors import Batch, Recover
app = Worker(drain_timeout=10, probe_interval=None)
out = os.open("handled", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def note(*messages):
    now = time.time()
    lines = [f"{one['channel']} {one['data']} {one['id']} {now}" + chr(10) for one in messages]
    os.write(out, "".join(lines).encode())

options = {"recover": Recover(resume="worker", since="all"), "overflow": "block"}

@app.channel("plain", **options)
async def plain(message):
    note(message)

@app.channel("keys", concurrency=8, key=lambda message: int(message["data"]) % 20, **options)
async def keys(message):
    await asyncio.sleep(0.005 if int(message["data"]) % 7 else 0.1)
    note(message)

@app.channel("batch", batch=Batch(max=20), **options)
async def batch(messages):
    await asyncio.sleep(0.01)
    note(*messages)
"""


class Load:
    """Publishes numbers on each channel, about 300 a second."""

    def __init__(self, client: Redis[str]) -> None:
        self.client = client
        self.sent = 0

    @asynccontextmanager
    async def flowing(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._publish())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _publish(self) -> None:
        history = History(maxlen=100_000)
        while True:
            for name in CHANNELS:
                await self.client.publish(name, str(self.sent), history=history)
            self.sent += 1
            await asyncio.sleep(0.01)


class Handled(NamedTuple):
    """A message that a handler has handled, and when (Unix seconds)."""

    channel: str
    number: int
    id: EntryId
    at: float


def handled(folder: Path) -> list[Handled]:
    """What was handled so far, in order; a line that a kill cut short does not count."""
    lines = (folder / "handled").read_text().split("\n")[:-1]
    found = (line.split() for line in lines)
    return [
        Handled(name, int(number), EntryId.parse(one.encode()), float(at))
        for name, number, one, at in found
    ]


async def position(client: Redis[str], channel: str) -> EntryId:
    kept = await client.execute_command("HGET", f"{{{channel}}}:history:positions", "worker")
    return EntryId.parse(b"0-0" if kept is None else kept.encode())


async def until(folder: Path, count: int) -> None:
    """Wait until so many messages are handled."""
    await eventually(lambda: (folder / "handled").read_bytes().count(b"\n") >= count, 60, 0.05)


async def test_r4_a_worker_that_is_killed_ten_times_under_load_misses_nothing(server, tmp_path):
    write_app(tmp_path, APP)
    (tmp_path / "handled").touch()
    args = ("run", "shop:app", "--url", server.url)
    async with Redis.from_url(server.url, decode_responses=True) as client:
        load = Load(client)
        begun, positions = 0, dict.fromkeys(CHANNELS, EntryId(0, 0))
        killed_at: list[float] = []
        async with load.flowing():
            for number in range(KILLS):
                async with mailslot(*args, cwd=tmp_path) as program:
                    # The kills come at any point between two writes of the positions.
                    await until(tmp_path, begun + 60 + 40 * number)
                    program.signal(signal.SIGKILL)
                    await program.ends()
                # Whatever was handled is behind the position that this worker began with.
                new = handled(tmp_path)[begun:]
                for each in new:
                    assert each.id > positions[each.channel]
                begun += len(new)
                killed_at.append(new[-1].at)
                positions = {name: await position(client, name) for name in CHANNELS}
        async with mailslot(*args, cwd=tmp_path) as program:
            wanted = {(name, number) for name in CHANNELS for number in range(load.sent)}
            await eventually(
                lambda: wanted <= {(one.channel, one.number) for one in handled(tmp_path)}, 60, 0.1
            )
            program.signal(signal.SIGTERM)
            assert await program.ends(60) == 0
        done = handled(tmp_path)
        # A drained worker has nothing in hand: nothing of what it handled comes again.
        for name in CHANNELS:
            last = max(one.id for one in done if one.channel == name)
            assert await position(client, name) == last
        async with load.flowing(), mailslot(*args, cwd=tmp_path) as program:
            await until(tmp_path, len(done) + 30)
            program.signal(signal.SIGTERM)
            assert await program.ends(60) == 0
    new = handled(tmp_path)[len(done) :]
    assert not {one[:3] for one in done} & {one[:3] for one in new}
    # Of a handler that takes one message, or one batch, at a time comes again what it had in hand,
    # and what it handled while the last write of its position was under way.
    seen: dict[tuple[str, int], float] = {}
    repeats: Counter[str] = Counter()
    for one in done:
        before = seen.setdefault(one[:2], one.at)
        if before != one.at:
            repeats[one.channel] += 1
            killed = min(at for at in killed_at if at >= before)
            assert one.channel == "keys" or killed - before < 0.5
    print(f"after {KILLS} kills came again: {dict(repeats)} of {load.sent} on each channel")
