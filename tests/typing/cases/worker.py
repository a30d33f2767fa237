"""A worker needs no annotation, and knows its context."""

from __future__ import annotations

from typing import assert_type

from actors import Worker
from actors.worker import Drained


class Shop:
    name = "shop"


plain = Worker()
assert_type(plain, Worker[None])
assert_type(plain.context, None)
assert_type(Worker("valkey://localhost", name="shop"), Worker[None])
assert_type(Worker(["a:6379", ("b", 6379)], decode_responses=False), Worker[None])

given = Worker("redis://localhost", context=Shop())
assert_type(given, Worker[Shop])
assert_type(given.context, Shop)

later = Worker(context_type=Shop)
assert_type(later, Worker[Shop])
assert_type(later.at("redis://localhost"), Worker[Shop])
later.context = Shop()
later.context = 5  # type: ignore[assignment]
plain.context = Shop()  # type: ignore[assignment]


@later.on_startup
def open_shop(worker: Worker[Shop]) -> None:
    worker.context = Shop()


@later.channel("orders")
async def on_order(order: dict[str, int], shop: Shop) -> None:
    assert_type(shop.name, str)


def ping(worker: Worker) -> str:
    """Without an argument, a worker is one that has no context."""
    return worker.name


async def main() -> None:
    assert_type(await later.run(), Drained)
    async with plain as running:
        assert_type(running, Worker[None])


open_shop(later)
ping(plain)
ping(later)  # type: ignore[arg-type]
