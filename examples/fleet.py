"""A fleet: run `mailslot run examples.fleet:app --fleet shop` several times, and stop one."""

from itertools import count
from typing import Any

from actors import Actor, Worker

app = Worker("redis://localhost:6379", name="shop")


def on_order(message: dict[str, Any]) -> None:
    print(f"{message['channel']}: {message['data']}", flush=True)


for number in range(8):
    app.channel(f"orders.{number}")(on_order)


@app.on_gain
def on_gain(name: str) -> None:
    print(f"this process has {name} now", flush=True)


@app.on_lose
def on_lose(name: str) -> None:
    print(f"another process has {name} now", flush=True)


@app.actor(once=True)
class Customer(Actor[str]):
    """Runs in one process of the fleet."""

    async def on_start(self) -> None:
        self.ids = count(1)
        self.context.timers.every(0.5, "tea")

    async def receive(self, item: str) -> None:
        number = next(self.ids)
        await app.client.publish(f"orders.{number % 8}", f"{item} {number}")
