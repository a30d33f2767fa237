"""What can be published, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypedDict, assert_type

import attrs
import msgspec
from pydantic import BaseModel

from actors import History, Redis, RedisCluster, Worker


class Struct(msgspec.Struct):
    id: int


@dataclass
class Data:
    id: int


@attrs.define
class Attrs:
    id: int


class Typed(TypedDict):
    id: int


class Model(BaseModel):
    id: int


async def publish(client: Redis[str]) -> None:
    assert_type(await client.publish("a", "text"), int)
    assert_type(await client.publish("a", b"bytes", history=History()), str)
    await client.publish("a", 1)
    await client.publish("a", 0.5)
    await client.publish("a", Struct(1))
    await client.publish("a", Data(1))
    await client.publish("a", Attrs(1))
    await client.publish("a", Typed(id=1))
    await client.publish("a", Model(id=1))
    await client.publish("a", {"id": 1})
    await client.spublish("a", [1, 2])
    await client.spublish("a", (1, "b"))
    orders = [Struct(1), Struct(2)]
    assert_type(await client.publish_many(("a", order) for order in orders), list[int])
    async with client.pipeline() as pipe:
        sent = pipe.publish("a", Model(id=1))
        kept = pipe.publish("a", Model(id=1), history=History())
    assert_type(await sent, int)
    assert_type(await kept, str)

    await client.publish("a", None)  # type: ignore[call-overload]
    await client.publish("a", datetime(2025, 1, 1, tzinfo=UTC))  # type: ignore[call-overload]
    await client.publish("a", {1, 2})  # type: ignore[call-overload]
    await client.publish("a", object())  # type: ignore[call-overload]
    await client.publish("a", Struct)  # type: ignore[call-overload]


def clients(decode: bool) -> None:
    assert_type(Redis(), Redis[bytes])
    assert_type(Redis("localhost", decode_responses=True), Redis[str])
    assert_type(Redis(decode_responses=decode), Redis[Any])
    assert_type(Redis.from_url("valkey://localhost"), Redis[bytes])
    assert_type(RedisCluster.from_url("valkeys://h", decode_responses=True), RedisCluster[str])


app = Worker("valkey://localhost:6379")


@app.channel("orders")
async def on_order(order: Struct) -> None:
    assert_type(app.client, Redis[Any] | RedisCluster[Any])
    assert_type(await app.client.publish("done", order), int)
    await app.client.publish_many([("done", order), ("done", {"id": order.id})])
    await app.client.execute_command("SET", "last", order.id)
    async with app.client.pipeline() as pipe:
        pipe.publish("done", order)
    if isinstance(app.client, RedisCluster):
        app.client.sharded_pubsub()
    app.client.sharded_pubsub()  # type: ignore[union-attr]
