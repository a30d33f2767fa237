"""What can be published besides text and numbers, as what, and what is refused unsent."""

from __future__ import annotations

import enum
from collections import OrderedDict, UserDict, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

import attrs
import msgspec
import pydantic
import pydantic.dataclasses
import pytest

from actors import History, Redis, exceptions
from actors.redis.clients.message_batches import in_batches
from actors.redis.clients.payloads import encoded


class Struct(msgspec.Struct):
    id: int


class Renamed(msgspec.Struct, rename="camel", tag="sold", omit_defaults=True):
    order_id: int
    at: datetime | None = None


@dataclass
class Data:
    id: int


@attrs.define
class Attrs:
    id: int


class Model(pydantic.BaseModel):
    id: int
    at: datetime | None = None


class Written(pydantic.BaseModel):
    id: int

    @pydantic.field_serializer("id")
    def in_words(self, id: int) -> str:
        return f"number {id}"


@pydantic.dataclasses.dataclass
class Checked:
    id: int


class Tuple(NamedTuple):
    id: int


class Number(enum.IntEnum):
    ONE = 1


class Word(enum.StrEnum):
    ONE = "one"


class Colour(enum.Enum):
    RED = "red"


class Text(str):
    __slots__ = ()


class Plain: ...


NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)

#: Messages, and their payloads; None: what msgspec makes of them.
ENCODED: list[tuple[Any, bytes | None]] = [
    ("é", "é".encode()),
    (b"\xff", b"\xff"),
    (bytearray(b"\xff"), b"\xff"),
    (memoryview(b"\xff"), b"\xff"),
    (7, b"7"),
    (0.5, b"0.5"),
    (Number.ONE, b"1"),
    (Word.ONE, b"one"),
    (Text("text"), b"text"),
    ({"id": 1, "é": [None, True, 0.5]}, '{"id":1,"é":[null,true,0.5]}'.encode()),
    ({}, b"{}"),
    (OrderedDict(id=1), b'{"id":1}'),
    (defaultdict(int, id=1), b'{"id":1}'),
    (UserDict(id=1), b'{"id":1}'),
    (MappingProxyType({"id": 1}), b'{"id":1}'),
    ([1, "a"], b'[1,"a"]'),
    ((1, "a"), b'[1,"a"]'),
    ([], b"[]"),
    (Struct(1), b'{"id":1}'),
    (Renamed(1), b'{"type":"sold","orderId":1}'),
    (Data(1), b'{"id":1}'),
    (Attrs(1), b'{"id":1}'),
    (Tuple(1), b"[1]"),
    (Model(id=1, at=NOON), b'{"id":1,"at":"2025-01-01T12:00:00Z"}'),
    (Written(id=1), b'{"id":"number 1"}'),
    (Checked(1), b'{"id":1}'),
    (pydantic.RootModel[list[int]]([1]), b"[1]"),
    ({"at": NOON, "of": UUID(int=0)}, None),
    (
        {"models": [Model(id=1)], "sum": Decimal("1.5")},
        b'{"models":[{"id":1,"at":null}],"sum":"1.5"}',
    ),
    ([Written(id=1)], b'[{"id":"number 1"}]'),
    ([MappingProxyType({"id": 1})], b'[{"id":1}]'),
]


@pytest.fixture
async def client(shared_server):
    async with Redis.from_url(shared_server.url) as client:
        yield client


async def test_what_arrives_of_what_is_published(client):
    """By each of the methods, on its way to a subscriber."""
    async with client.pubsub(channels=["a"], ignore_subscribe_messages=True) as pubsub:

        async def arrived() -> bytes:
            return (await anext(pubsub))["data"]

        for message, payload in ENCODED:
            assert await client.publish("a", message) == 1
            first = await arrived()
            assert first == (payload if payload is not None else msgspec.json.encode(message))
            assert await client.publish_many([("a", message)]) == [1]
            await client.publish("a", message, history=History())
            await client.publish_many([("a", message)], history=History())
            async with client.pipeline() as pipe:
                pipe.publish("a", message)
                pipe.publish("a", message, history=History())
            assert [await arrived() for _ in range(5)] == [first] * 5


async def test_shard_channels_take_the_same(client):
    await client.spublish("a", Struct(1))
    await client.spublish("a", {"id": 1}, history=History())
    await client.publish_many([("a", Model(id=1))], sharded=True)
    async with client.pipeline() as pipe:
        pipe.spublish("a", [Data(1)])
        pipe.spublish("a", (Attrs(1),), history=History())
    entries = await client.execute_command("XRANGE", "{a}:history", "-", "+")
    assert [fields[1] for _, fields in entries] == [b'{"id":1}', b'[{"id":1}]']


REFUSED: list[tuple[Any, str]] = [
    (None, "message of type NoneType: convert it"),
    (True, "type bool: convert it"),
    ({1, 2}, "message of type set"),
    (NOON, "message of type datetime"),
    (Decimal("1.5"), "message of type Decimal"),
    (Colour.RED, "message of type Colour"),
    (Plain(), "message of type Plain"),
    (Struct, "message of type StructMeta"),
    (Data, "message of type type"),
    (object(), "message of type object"),
    (lambda: 1, "message of type function"),
    ({"a": [Plain()]}, "type dict as JSON: it contains a value of type Plain"),
    ([Data(1), Plain()], "type list as JSON: it contains a value of type Plain"),
    ({(1, 2): 3}, "type dict as JSON"),
    (["\ud800"], "type list as JSON"),
    (Model.model_construct(id=Plain()), "type Model as JSON"),
]


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
@pytest.mark.parametrize(("message", "says"), REFUSED)
async def test_what_has_no_form_is_refused_before_anything_is_sent(client, message, says):
    async with client.pubsub(channels=["a"], ignore_subscribe_messages=True) as pubsub:
        for attempt in (
            client.publish("a", message),
            client.spublish("a", message),
            client.publish("a", message, history=History()),
            client.publish_many([("a", "first"), ("a", message)]),
            client.publish_many([("a", "first"), ("a", message)], history=History()),
        ):
            with pytest.raises(exceptions.DataError, match=says):
                await attempt
        with pytest.raises(exceptions.DataError, match=says):
            async with client.pipeline() as pipe:
                pipe.publish("a", "first")
                pipe.publish("a", message)
        await client.publish("a", "the only one")
        assert (await anext(pubsub))["data"] == b"the only one"


def test_a_list_that_contains_itself_is_refused():
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(exceptions.DataError, match="type list as JSON"):
        encoded(endless)


def test_json_is_utf_8_whatever_the_encoding_of_the_client_is():
    client = Redis.from_url("redis://h?encoding=latin-1")
    assert client.encoding == "latin-1"
    assert encoded({"é": 1}) == '{"é":1}'.encode()


def test_a_batch_is_bounded_by_what_its_messages_are_as_json():
    big = {"text": "x" * 1_000_000}
    batches = list(in_batches(("a", big) for _ in range(40)))
    assert [len(batch) for batch in batches] == [20, 20]
    assert {type(message) for batch in batches for _, message in batch} == {bytes}


async def test_commands_take_what_they_took(client):
    """``execute_command`` sends no JSON: which argument would be the message?"""
    for argument in ({"id": 1}, Struct(1), [1], Model(id=1)):
        with pytest.raises(exceptions.DataError, match="cannot send an argument of type"):
            await client.execute_command("SET", "a", argument)
