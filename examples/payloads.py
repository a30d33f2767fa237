"""Typed payloads: what is published, and what handlers get.

    python -m examples.payloads                    # starts a server
    python -m examples.payloads redis://...        # uses your server

Orders are a Pydantic model (pip install pydantic), readings a dataclass; lines come in a format of
somebody else's, which a function reads.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass

from pydantic import BaseModel, Field

from actors import HandlerFailure, Redis, Worker
from actors.testing.servers.server import EmbeddedServer


class Order(BaseModel):
    """What a customer wants."""

    id: int
    item: str
    count: int = Field(default=1, gt=0)


@dataclass
class Reading:
    """What a sensor says."""

    sensor: str
    celsius: float


def parse_line(line: str) -> list[str]:
    """Return the fields of a line."""
    return line.split(";")


def on_failure(failure: HandlerFailure) -> None:
    """Say which payload was refused; no handler sees it."""
    print("refused:", failure.message["data"])


app = Worker(name="shop", on_failure=on_failure)


@app.channel("orders", concurrency=4, key="item")
async def on_order(order: Order) -> None:
    """Sell."""
    print(f"order {order.id}: {order.count} x {order.item}")


@app.channel("readings")
async def on_reading(reading: Reading) -> None:
    """Look at the thermometer."""
    print(f"{reading.sensor}: {reading.celsius} degrees")


@app.channel("lines", decode=parse_line)
async def on_line(fields: list[str]) -> None:
    """Read a line."""
    print("line:", fields)


async def publish(client: Redis[str]) -> None:
    """Publish one message of each kind, one after another."""
    await client.publish("orders", Order(id=1, item="tea"))
    await client.publish("orders", {"id": 2, "item": "cake", "count": 3})
    await client.publish("orders", {"id": 3, "item": "cake", "count": 0})
    await client.publish("readings", Reading("cellar", 12.5))
    await client.publish("lines", "a;b;c")


async def main(url: str) -> None:
    """Publish to the worker, which handles all messages before it stops."""
    async with app.at(url), Redis.from_url(url, decode_responses=True) as client:
        await publish(client)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(main(sys.argv[1]))
    else:
        with EmbeddedServer() as server:
            asyncio.run(main(server.url))
