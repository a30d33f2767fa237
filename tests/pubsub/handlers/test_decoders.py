"""``decode=``: what decodes a payload, and what is refused before there is one."""

from __future__ import annotations

import asyncio
import enum
import functools
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, Optional, TypeVar

import attrs
import msgspec
import pydantic
import pydantic.dataclasses
import pytest
import typing_extensions

from actors import Actor, Handler
from actors.pubsub.handlers.decoders import make_decoder
from supervisor import SpecError
from tests.pubsub.helpers import client_of

T = TypeVar("T")


class Struct(msgspec.Struct):
    id: int


class Cat(msgspec.Struct, tag=True):
    id: int


class Dog(msgspec.Struct, tag=True):
    id: int


class Model(pydantic.BaseModel):
    id: int = pydantic.Field(gt=0)


class Box(pydantic.BaseModel, Generic[T]):
    id: T


class Left(pydantic.BaseModel):
    kind: Literal["left"]
    id: int


class Right(pydantic.BaseModel):
    kind: Literal["right"]
    id: int


@dataclass
class Data:
    id: int


@dataclass
class Holder:
    model: Model
    more: list[Model] = field(default_factory=list)


@pydantic.dataclasses.dataclass
class Strict:
    id: int = pydantic.Field(gt=0)


@dataclass
class Constrained:
    id: Annotated[int, pydantic.Field(gt=0)]


@attrs.define
class Attrs:
    id: int


class Typed(typing_extensions.TypedDict):
    id: int


class TypedHolder(typing_extensions.TypedDict):
    models: list[Model]


class Tuple(NamedTuple):
    id: int


class Colour(enum.Enum):
    RED = "red"


class Tree(msgspec.Struct):
    id: int
    below: list[Tree] = []


Id = NewType("Id", int)


class Call:
    def __call__(self, payload: bytes) -> int:
        return len(payload)


def add(number: int, payload: bytes) -> int:
    return number + int(payload)


def upper(text: str) -> str:
    return text.upper()


ONE = '{"id":1}'
DECODED: list[tuple[Any, str, Any]] = [
    (Struct, ONE, Struct(1)),
    (Data, ONE, Data(1)),
    (Attrs, ONE, Attrs(1)),
    (Typed, ONE, {"id": 1}),
    (Tuple, "[1]", Tuple(1)),
    (Colour, '"red"', Colour.RED),
    (Tree, '{"id":1,"below":[{"id":2}]}', Tree(1, [Tree(2)])),
    (Cat | Dog, '{"type":"Dog","id":1}', Dog(1)),
    (Struct | None, "null", None),
    (Optional[int], "3", 3),  # noqa: UP045
    (Id, "3", 3),
    (Annotated[int, msgspec.Meta(gt=2)], "3", 3),
    (list[Data], f"[{ONE}]", [Data(1)]),
    (dict[str, Struct], f'{{"a":{ONE}}}', {"a": Struct(1)}),
    (Mapping[str, int], ONE, {"id": 1}),
    (Decimal, '"1.5"', Decimal("1.5")),
    (datetime, '"2025-01-01T00:00:00Z"', datetime(2025, 1, 1, tzinfo=UTC)),
    (Any, ONE, {"id": 1}),
    (object, ONE, {"id": 1}),
    (Model, ONE, Model(id=1)),
    (Box[int], ONE, Box[int](id=1)),
    (Strict, ONE, Strict(1)),
    (list[Model], f"[{ONE}]", [Model(id=1)]),
    (Model | None, "null", None),
    (Left | Right, '{"kind":"right","id":1}', Right(kind="right", id=1)),
    (
        Annotated[Left | Right, pydantic.Field(discriminator="kind")],
        '{"kind":"left","id":1}',
        Left(kind="left", id=1),
    ),
    (Holder, f'{{"model":{ONE}}}', Holder(Model(id=1))),
    (TypedHolder, f'{{"models":[{ONE}]}}', {"models": [Model(id=1)]}),
    (pydantic.RootModel[int], "3", pydantic.RootModel[int](3)),
    (pydantic.PositiveInt, "3", 3),
    (pydantic.SecretStr, '"a"', pydantic.SecretStr("a")),
    (list[Annotated[int, pydantic.Field(gt=0)]], "[3]", [3]),
]


@pytest.mark.parametrize(("decode", "payload", "value"), DECODED)
@pytest.mark.parametrize("as_text", [True, False])
def test_payloads_are_decoded_to(decode, payload, value, as_text):
    decoder = make_decoder(decode, "json")
    found = decoder(payload if as_text else payload.encode())
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("decode", [Struct, Data, Attrs, Typed, Model, Strict, Box[int]])
def test_payloads_in_msgpack_are_decoded_to(decode):
    decoder = make_decoder(decode, "msgpack")
    packed = msgspec.msgpack.encode({"id": 1})
    value = decoder(packed)
    assert (value["id"] if decode is Typed else value.id) == 1


@pytest.mark.parametrize("decode", [int, Id, pydantic.RootModel[int]])
def test_msgpack_that_happens_to_be_text_is_decoded(decode):
    """A client that decodes responses makes str of it."""
    decoder = make_decoder(decode, "msgpack")
    assert decoder("\x05") == decoder(b"\x05")


@pytest.mark.parametrize(
    "decode",
    [
        *(Struct, Annotated[int, msgspec.Meta(gt=2)], Model, Strict, Constrained),
        *(Annotated[int, pydantic.Field(gt=2)], pydantic.NegativeInt),
    ],
)
@pytest.mark.parametrize("payload", ['{"id":-1.5}', "1", "", "{", "\ud800"])
def test_what_does_not_decode_is_an_error(decode, payload):
    with pytest.raises((ValueError, TypeError)):
        make_decoder(decode, "json")(payload)


@pytest.mark.parametrize(
    ("decode", "payload", "value"),
    [
        (json.loads, ONE, {"id": 1}),
        (msgspec.json.decode, ONE, {"id": 1}),
        (msgspec.json.Decoder(Struct).decode, ONE, Struct(1)),
        (Model.model_validate_json, ONE, Model(id=1)),
        (lambda payload: payload, "text", b"text"),
        (upper, "text", "TEXT"),
        (functools.partial(add, 1), "2", 3),
        (Call(), "four", 4),
        ("{}".format, "a", "b'a'"),
    ],
)
def test_a_function_decodes(decode, payload, value):
    decoder = make_decoder(decode, "json")
    assert decoder(payload) == value
    assert decoder(payload.encode()) == value


def test_a_function_gets_bytes_that_are_no_text():
    assert make_decoder(lambda payload: payload, "json")(b"\xff") == b"\xff"
    with pytest.raises(UnicodeDecodeError):
        make_decoder(upper, "json")(b"\xff")


class Plain:
    def __init__(self, id):
        self.id = id


class HasPlain(msgspec.Struct):
    inner: list[Plain]


class HasModel(msgspec.Struct):
    model: Model


class Incomplete(pydantic.BaseModel):
    other: Nowhere  # type: ignore[name-defined]  # noqa: F821


class Unresolved(msgspec.Struct):
    other: Nowhere  # type: ignore[name-defined]  # noqa: F821


class Text(str):
    __slots__ = ()


async def coroutine(payload): ...
def nothing(): ...
def two(one, other): ...
def keyword(payload, *, other): ...


REFUSED = [
    (5, "nothing can be decoded to 5"),
    ("Order", "nothing can be decoded to 'Order'"),
    (Plain, "msgspec makes no Plain: use a Struct"),
    (Plain | None, "msgspec makes no Plain"),
    (HasPlain, "msgspec makes no Plain"),
    (dict[str, list[Plain]], "msgspec makes no Plain"),
    (Text, "msgspec makes no Text"),
    (Actor, "msgspec makes no Actor"),
    (HasModel, "msgspec makes no Model"),
    (Struct | Data, "nothing can be decoded to"),
    (Incomplete, "Nowhere"),
    (list[Incomplete], "Nowhere"),
    (Unresolved, "Nowhere"),
    (Model | Plain, "nothing can be decoded to"),
    (coroutine, "coroutine is a coroutine function"),
    (nothing, "nothing() does not take that"),
    (two, "two(one, other) does not take that"),
    (keyword, "does not take that"),
]


@pytest.mark.parametrize(("decode", "says"), REFUSED)
def test_what_cannot_decode_is_refused_by_the_handler(decode, says):
    with pytest.raises(SpecError) as caught:
        Handler(lambda payload: None, decode=decode)
    (problem,) = caught.value.problems
    assert says in problem
    assert "\n" not in problem


def test_format_is_for_types():
    with pytest.raises(SpecError, match="format is for types: the function loads decodes"):
        Handler(print, decode=json.loads, format="msgpack")


def test_a_model_may_be_completed_after_it_was_defined():
    class Outer(pydantic.BaseModel):
        inner: Inner | None = None

    class Inner(pydantic.BaseModel):
        id: int

    with pytest.raises(SpecError, match="Inner"):
        Handler(print, decode=Outer)
    Outer.model_rebuild(_types_namespace={"Inner": Inner})
    decoder = Handler(print, decode=Outer).decoder
    assert decoder is not None
    assert decoder('{"inner":{"id":1}}') == Outer(inner=Inner(id=1))


def test_nothing_is_imported_for_types_that_a_program_does_not_use():
    program = (
        "import sys, msgspec, actors\n"
        "class Order(msgspec.Struct):\n    id: int\n"
        "actors.Handler(print, decode=Order)\n"
        "print({'pydantic', 'pydantic_core'} & sys.modules.keys())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "set()"


@dataclass(frozen=True)
class FrozenError(Exception):
    why: str


async def test_p12_what_a_function_raises_goes_to_the_sink_and_to_no_breaker(shared_server):
    """Also an exception that takes no attributes."""
    failures: list[Any] = []
    handled: list[Any] = []

    def decode(payload):
        if payload == b"bad":
            raise FrozenError("bad")
        return payload

    handler = Handler(handled.append, decode=decode, on_failure=failures.append)
    async with (
        client_of(shared_server) as client,
        client.pubsub(channel_handlers={"a": handler}) as pubsub,
    ):
        for message in ["bad"] * 150 + ["good"]:
            await client.publish("a", message)
        async with asyncio.timeout(20):
            await pubsub.drain()
    assert handled == [b"good"]
    assert [failure.error for failure in failures] == [FrozenError("bad")] * 150
