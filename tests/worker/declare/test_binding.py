from __future__ import annotations

from typing import Annotated, Any

import msgspec
import pydantic
import pytest

from actors import Actor, PubSubMessage
from actors.worker.declare.signature import Role, bind
from tests.worker.helpers import Customer, Order

PAYLOAD, MESSAGE, CONTEXT = Role.PAYLOAD, Role.MESSAGE, Role.CONTEXT


class Model(pydantic.BaseModel):
    id: int


async def typed(order: Order): ...
async def typed_and_message(order: Order, message: PubSubMessage): ...
async def message_first(message: PubSubMessage, order: Order): ...
async def with_context(customer: Customer, order: Order): ...
async def bare(message): ...
async def as_dict(message: dict[str, Any]): ...
async def table(counts: dict[str, int]): ...
async def union(payload: Order | int): ...
async def raw(data: bytes): ...
async def text(data: str): ...
async def optional(order: Order, retries: int = 3): ...
async def anything(*args): ...


async def model(order: Model): ...
async def checked(number: Annotated[int, msgspec.Meta(gt=0)]): ...
async def noted(data: Annotated[str, "of something"]): ...
async def noted_context(data: bytes, customer: Annotated[Customer, "of something"]): ...
async def noted_message(message: Annotated[PubSubMessage, "of something"]): ...


class Receiver(Actor[Order]):
    async def receive(self, order: Order): ...


class Callable_:
    async def __call__(self, order: Order): ...


@pytest.mark.parametrize(
    ("fn", "roles", "decode", "raw_type"),
    [
        (typed, (PAYLOAD,), Order, None),
        (typed_and_message, (PAYLOAD, MESSAGE), Order, None),
        (message_first, (MESSAGE, PAYLOAD), Order, None),
        (with_context, (CONTEXT, PAYLOAD), Order, None),
        (bare, (MESSAGE,), None, None),
        (as_dict, (MESSAGE,), None, None),
        (table, (PAYLOAD,), dict[str, int], None),
        (union, (PAYLOAD,), Order | int, None),
        (raw, (PAYLOAD,), None, bytes),
        (text, (PAYLOAD,), None, str),
        (optional, (PAYLOAD,), Order, None),
        (anything, (MESSAGE,), None, None),
        (model, (PAYLOAD,), Model, None),
        (checked, (PAYLOAD,), Annotated[int, msgspec.Meta(gt=0)], None),
        (noted, (PAYLOAD,), None, str),
        (noted_context, (PAYLOAD, CONTEXT), None, bytes),
        (noted_message, (MESSAGE,), None, None),
        (Receiver().receive, (PAYLOAD,), Order, None),
        (Callable_(), (PAYLOAD,), Order, None),
        (print, (MESSAGE,), None, None),
    ],
)
def test_what_a_signature_asks_for(fn, roles, decode, raw_type):
    binding = bind(fn, Customer)
    assert (binding.roles, binding.decode, binding.raw) == (roles, decode, raw_type)
    assert binding.problems == ()


def test_decode_goes_before_the_annotation():
    assert bind(bare, None, Order).roles == (PAYLOAD,)
    assert bind(text, None, Order).decode is Order
    assert bind(message_first, None, int).roles == (MESSAGE, PAYLOAD)


async def no_argument(): ...
async def keyword(message, *, extra): ...
async def two_payloads(order: Order, customer: Customer): ...
async def only_context(customer: Customer): ...
async def two_messages(one, two): ...
async def unknown(order: Nowhere): ...  # type: ignore[name-defined]  # noqa: F821
async def undecodable(order: Order | Customer): ...


class Plain: ...


async def plain(order: Plain): ...
async def function(order: any): ...  # type: ignore[valid-type]


@pytest.mark.parametrize(
    ("fn", "context", "says"),
    [
        (no_argument, None, "takes no argument"),
        (keyword, None, "no value for the keyword argument extra"),
        (two_payloads, None, "order and customer: only one of them can be the payload"),
        (only_context, Customer, "neither the message nor its payload"),
        (two_messages, None, "asks for the message 2 times"),
        (unknown, None, "an annotation cannot be resolved"),
        (undecodable, None, "nothing can be decoded to"),
        (plain, None, "msgspec makes no Plain"),
        (function, None, "order: nothing can be decoded to <built-in function any>"),
    ],
)
def test_what_cannot_be_called_is_said(fn, context, says):
    (problem,) = bind(fn, context).problems
    assert says in problem


def test_a_handler_of_message_or_payload_is_called_without_an_adapter():
    assert bind(typed, Customer).direct
    assert bind(typed_and_message, Customer).direct
    assert bind(bare, Customer).direct
    assert not bind(with_context, Customer).direct
    assert not bind(message_first, Customer).direct
    assert bind(raw, Customer).direct  # an Opener makes its payload, as a decoder does
    assert bind(raw, Customer).raw is bytes
