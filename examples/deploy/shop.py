"""The application that the files in this folder deploy: orders of sixteen branches, each a channel.

A fleet, or machines with partitions, share out the channels: each has one consumer.
"""

import os

import msgspec

from actors import Worker


class Order(msgspec.Struct):
    id: int
    item: str


# The URL may hold a password, and everybody on a machine may read the arguments of its processes:
# so the URL comes from the environment.
app = Worker(os.environ.get("SHOP_URL", "redis://localhost:6379"), name="shop")


@app.channels([f"orders.{branch}" for branch in range(16)])
async def on_order(order: Order) -> None:
    print(f"order {order.id}: {order.item}", flush=True)
