"""Typed orders: mailslot run examples.worker:app --embedded."""

from itertools import count

import msgspec

from actors import Actor, Worker


class Order(msgspec.Struct):
    id: int
    item: str


app = Worker("redis://localhost:6379", name="shop")


@app.channel("orders")
async def on_order(order: Order) -> None:
    print(f"order {order.id}: {order.item}", flush=True)


@app.actor(once=True)
class Customer(Actor[str]):
    async def on_start(self) -> None:
        self.ids = count(1)
        self.context.timers.every(0.5, "tea")

    async def receive(self, item: str) -> None:
        await app.client.publish("orders", Order(next(self.ids), item))
