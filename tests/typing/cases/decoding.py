"""Handlers keep their types, whatever their payloads are decoded to."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypedDict, assert_type

import attrs
import msgspec
from pydantic import BaseModel

from actors import Actor, ActorSpec, Batch, Handler, PubSubMessage, Worker


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


def parse(line: str) -> list[str]:
    return line.split(";")


app = Worker()


@app.channel("a", concurrency=2, key=lambda order: order.id)
async def on_struct(order: Struct) -> None: ...


@app.channel("b", batch=Batch(max=10))
async def on_models(orders: list[Model], messages: list[PubSubMessage]) -> None: ...


@app.pattern("c*", decode=parse)
def on_lines(fields: list[str]) -> None: ...


@app.channels(["d", "e"], decode=Struct | Data)
async def on_either(order: Struct | Data) -> None: ...


@app.shard_channel("f")
class Orders(Actor[Typed]):
    async def receive(self, order: Typed) -> None: ...


@app.actor(once=True, name="ledger")
class Ledger(Actor[Attrs]):
    async def receive(self, entry: Attrs) -> None: ...


@app.actor
class Audit(Actor[Attrs]):
    async def receive(self, entry: Attrs) -> None: ...


kept: Callable[[Struct], Coroutine[Any, Any, None]] = on_struct
also: Callable[[list[str]], None] = app.channels(["g"], on_lines)
other: Callable[[Data], None] = on_lines  # type: ignore[assignment]
assert_type(Orders(), Orders)
assert_type(Ledger(), Ledger)
assert_type(Audit(), Audit)
assert_type(app.actor(ActorSpec(Ledger)), ActorSpec)

app.channel("h")(5)  # type: ignore[type-var]
app.channel("h", tiemout=5)  # type: ignore[call-arg]
app.channel("h", timeout="5")  # type: ignore[arg-type]
app.actor(5)  # type: ignore[call-overload]

handlers = [
    Handler(on_struct, decode=Struct),
    Handler(on_lines, decode=parse),
    Handler(print, decode=Data),
    Handler(print, decode=Typed),
    Handler(print, decode=Attrs),
    Handler(print, decode=Model),
    Handler(print, decode=list[Model] | None),
    Handler(print, decode=json.loads),
    Handler(Orders, decode=Typed, key=None),
]
