"""``key=``: what can be the key of a payload, and what is refused before there is one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from operator import attrgetter, itemgetter
from typing import Annotated, Any, NamedTuple, NewType, TypedDict

import attrs
import msgspec
import pydantic
import pytest

from actors import Handler
from actors.pubsub.handlers.keys import key_function
from supervisor import SpecError


class Struct(msgspec.Struct):
    id: int
    tags: list[str] = []

    @property
    def half(self):
        return self.id // 2

    def method(self): ...


class Inner(msgspec.Struct):
    id: int


class Frozen(msgspec.Struct, frozen=True):
    id: int


class Outer(msgspec.Struct):
    inner: Inner
    frozen: Frozen
    maybe: list[str] | None = None


class Other(msgspec.Struct, tag=True):
    id: int


class Another(msgspec.Struct, tag=True):
    id: int
    name: str


class Model(pydantic.BaseModel):
    id: int
    tags: list[str] = []


class Open(pydantic.BaseModel, extra="allow"):
    id: int


@dataclass
class Data:
    id: int


@attrs.define
class Attrs:
    id: int


class Typed(TypedDict, total=False):
    id: int
    tags: list[str]


class Tuple(NamedTuple):
    id: int


# Behind Any: mypy 2.4 fails on a NewType of a Struct.
new_type: Any = NewType
Order = new_type("Order", Struct)


class Key:
    def __call__(self, payload):
        return payload.id


async def coroutine(payload): ...
def nothing(): ...
def two(one, other): ...


@pytest.mark.parametrize(
    ("decode", "key"),
    [
        *((decode, "id") for decode in (Struct, Model, Data, Attrs, Typed, Tuple, Open, Order)),
        (Struct, "half"),
        (Outer, "frozen"),
        (Other | Another, "id"),
        (Struct | None, "id"),
        (Annotated[Struct, "of something"], "id"),
        (Open, "anything"),
        (dict, "anything"),
        (dict[str, int], "anything"),
        (Any, "anything"),
        (object, "anything"),
        (json.loads, "anything"),
        (None, "channel"),
        (None, "id"),
        (Struct, lambda order: order.id),
        (Struct, attrgetter("id")),
        (None, itemgetter("channel")),
        (Struct, Key()),
        (int, str),
        (int, abs),
    ],
)
def test_what_can_be_a_key(decode, key):
    Handler(lambda payload: None, decode=decode, concurrency=2, key=key)


@pytest.mark.parametrize(
    ("decode", "key", "says"),
    [
        (Struct, "customer", "key 'customer' is no field of Struct: one of id, tags"),
        (Model, "customer", "key 'customer' is no field of Model: one of id, tags"),
        (Data, "customer", "is no field of Data"),
        (Attrs, "customer", "is no field of Attrs"),
        (Typed, "keys", "is no field of Typed"),
        (Tuple, "customer", "is no field of Tuple"),
        (Order, "customer", "is no field of Struct"),
        (Other | Another, "name", "is no field of Other"),
        (Struct | None, "customer", "is no field of Struct"),
        (Annotated[Struct, "of something"], "customer", "is no field of Struct"),
        (list[Struct], "id", "is no field of list"),
        (int, "id", "is no field of int"),
        (None, "customer", "is no field of PubSubMessage: one of type, pattern, channel"),
        (Struct, "method", "key 'method' of Struct is a method"),
        (Model, "model_dump", "key 'model_dump' of Model is a method"),
        (Struct, "tags", "key 'tags' of Struct is no key: its values have no hash"),
        (Model, "tags", "its values have no hash"),
        (Typed, "tags", "its values have no hash"),
        (Outer, "inner", "its values have no hash"),
        (Outer, "maybe", "its values have no hash"),
        (Struct, 5, "key must be a function, or the name of an attribute, not 5"),
        (Struct, nothing, "nothing() does not take that"),
        (Struct, two, "two(one, other) does not take that"),
        (Struct, coroutine, "coroutine is a coroutine function"),
    ],
)
def test_what_cannot_be_a_key_is_refused(decode, key, says):
    with pytest.raises(SpecError) as caught:
        Handler(lambda payload: None, decode=decode, concurrency=2, key=key)
    (problem,) = caught.value.problems
    assert says in problem


def test_a_name_is_an_attribute_or_an_item():
    key = key_function("id")
    assert key is not None
    assert key(Struct(1)) == key(Data(1)) == key({"id": 1}) == key(Model(id=1)) == 1
    assert key_function(None) is None
