"""A supervised consumer inside another asyncio program, in a lifespan as web frameworks have it.

    python -m examples.background_consumer           # starts a server
    python -m examples.background_consumer redis://...

``main`` stands for the other program: all that it has to do is to enter ``lifespan``.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from actors import ActorSystem, Gap, PubSubMessage, Redis
from actors.testing.servers.server import EmbeddedServer


@dataclass
class Application:
    """The state of the program, which the consumer keeps up to date."""

    url: str
    prices: dict[str, str] = field(default_factory=dict[str, str])
    stale: bool = False
    system: ActorSystem | None = None

    def on_price(self, message: PubSubMessage) -> None:
        """Store a new price."""
        name, _, price = message["data"].partition("=")
        self.prices[name] = price
        self.stale = False

    def on_gap(self, gap: Gap) -> None:
        """Mark the prices as stale until the next one arrives: some may have been missed."""
        self.stale = True
        print(f"gap of {gap.seconds:.2f} s on {gap.name}: {gap.reason}")


@asynccontextmanager
async def lifespan(app: Application) -> AsyncGenerator[None, None]:
    """Consume in the background while the application runs."""
    async with (
        ActorSystem("app") as app.system,
        Redis.from_url(app.url, decode_responses=True) as client,
        client.pubsub(channel_handlers={"prices": app.on_price}, on_gap=app.on_gap),
    ):
        yield


async def until(condition: object) -> None:
    """Wait until ``condition()`` holds."""
    assert callable(condition)
    while not condition():
        await asyncio.sleep(0.01)


async def main(url: str) -> None:
    """Receive a price, lose the connection, receive the next price."""
    app = Application(url)
    async with lifespan(app), Redis.from_url(url) as client:
        assert app.system is not None
        await client.publish("prices", "tea=3")
        await until(lambda: app.prices.get("tea") == "3")
        print("tea costs", app.prices["tea"])

        await client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        while not await client.publish("prices", "tea=4"):
            await asyncio.sleep(0.01)
        await until(lambda: app.prices.get("tea") == "4")
        print("tea costs", app.prices["tea"], "after a lost connection")
        print(app.system.tree())


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(main(sys.argv[1]))
    else:
        with EmbeddedServer() as server:
            asyncio.run(main(server.url))
