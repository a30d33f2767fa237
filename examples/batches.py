"""Many messages in one call, and many channels with one handler.

    python -m examples.batches           # starts a server
    python -m examples.batches redis://...

A thousand channels bring readings of sensors. One handler takes them all, and stores a list of
readings in one transaction, as one would with any database. A reading that cannot be stored fails
alone.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys

import msgspec

from actors import Batch, BatchError, Handler, HandlerFailure, PubSubMessage, Redis
from actors.testing.servers.server import EmbeddedServer

SENSORS = [f"sensor.{number}" for number in range(1000)]


class Reading(msgspec.Struct):
    """What a sensor publishes."""

    celsius: float


class Store:
    """A database of readings, and how often a list of them was stored."""

    def __init__(self) -> None:
        self.database = sqlite3.connect(":memory:")
        self.database.execute("CREATE TABLE readings (sensor TEXT, celsius REAL)")
        self.calls = 0

    def add(self, readings: list[Reading], messages: list[PubSubMessage]) -> None:
        """Store ``readings``; say which of them are refused."""
        self.calls += 1
        refused: dict[int, Exception] = {}
        rows: list[tuple[str, float]] = []
        for place, (reading, message) in enumerate(zip(readings, messages, strict=True)):
            if reading.celsius < -273.15:
                refused[place] = ValueError(f"{reading.celsius} degrees: nothing is so cold")
            else:
                rows.append((message["channel"], reading.celsius))
        with self.database:
            self.database.executemany("INSERT INTO readings VALUES (?, ?)", rows)
        if refused:
            raise BatchError(refused)

    def count(self) -> int:
        """Return how many readings are stored."""
        count: int = self.database.execute("SELECT count(*) FROM readings").fetchone()[0]
        return count


def on_failure(failure: HandlerFailure) -> None:
    """Show a reading that is not stored."""
    print(f"{failure.channel}: {failure.error}")


async def main(url: str) -> None:
    """Publish three readings of each sensor, one of them impossible; then wait for all others."""
    store = Store()
    handler = Handler(
        store.add, decode=Reading, shared=True, batch=Batch(max=500), on_failure=on_failure
    )
    async with (
        Redis.from_url(url, decode_responses=True) as client,
        client.pubsub(channel_handlers=dict.fromkeys(SENSORS, handler)) as pubsub,
    ):
        for celsius in (19.5, 20.5, 21.5):
            await asyncio.gather(
                *(client.publish(sensor, f'{{"celsius": {celsius}}}') for sensor in SENSORS)
            )
        await client.publish("sensor.7", '{"celsius": -300}')
        await pubsub.drain()
    print(f"{store.count()} readings in fewer calls than messages: {store.calls < 3000}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(main(sys.argv[1]))
    else:
        with EmbeddedServer() as server:
            asyncio.run(main(server.url))
