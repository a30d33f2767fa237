"""The AsyncAPI document of a worker says what it consumes, and is valid by AsyncAPI's schema."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, TypedDict

import jsonschema
import msgspec
import pytest
import yaml

from actors import Actor, Batch, Worker
from actors.worker.asyncapi.document import document
from tests.worker.program import run_mailslot, write_app

SCHEMA = json.loads((Path(__file__).parent / "schema/asyncapi-3.0.0.json").read_text())

APP = '''
"""Takes the orders of a shop.

Nothing else does.
"""
import msgspec
from actors import Worker

__version__ = "4.2"

class Order(msgspec.Struct):
    id: int
    item: str = "tea"

app = Worker("redis://:secret@db.example:7000/2", name="shop")

@app.channel("orders")
async def on_order(order: Order) -> None:
    """Ship an order."""

@app.pattern("audit.*")
async def on_audit(message) -> None: ...
'''


def checked(made: Any) -> dict[str, Any]:
    """``made`` as JSON has it, once it is valid and all of its references lead somewhere."""
    plain: dict[str, Any] = json.loads(msgspec.json.encode(made))
    jsonschema.Draft7Validator(SCHEMA).validate(plain)
    for reference in references(plain):
        follow(plain, reference)
    return plain


def references(part: Any) -> list[str]:
    if isinstance(part, list):
        return [found for one in part for found in references(one)]
    if not isinstance(part, dict):
        return []
    own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
    return own + [found for one in part.values() for found in references(one)]


def follow(whole: dict[str, Any], reference: str) -> Any:
    """The part that a reference names, followed to what is no reference itself."""
    part: Any = whole
    for step in reference.removeprefix("#/").split("/"):
        part = part[step.replace("~1", "/").replace("~0", "~")]
    if isinstance(part, dict) and isinstance(part.get("$ref"), str):
        return follow(whole, part["$ref"])
    return part


def payload_of(whole: dict[str, Any], address: str) -> Any:
    """The schema of the payload on the channel of that address; None: there is none."""
    (channel,) = [one for one in whole["channels"].values() if one["address"] == address]
    (message,) = [follow(whole, one["$ref"]) for one in channel["messages"].values()]
    schema = message.get("payload")
    if isinstance(schema, dict) and "$ref" in schema:
        return follow(whole, schema["$ref"])
    return schema


class Order(msgspec.Struct):
    """An order."""

    id: int
    items: list[Item]


class Item(msgspec.Struct):
    name: str


@dataclasses.dataclass
class Refund:
    order: int
    reason: str | None = None


class Visit(TypedDict):
    page: str


class Bought(msgspec.Struct, tag=True):
    item: str


class Sold(msgspec.Struct, tag=True):
    item: str


def shop(where: Any = "redis://user:secret@db.example/3", **options: Any) -> Worker[Any]:
    return Worker(where, name="shop", **options)


def test_handlers_are_channels_and_receive_operations():
    app = shop(cluster=True)

    @app.channel("orders")
    async def on_order(order: Order) -> None:
        """Ship an order.

        Twice if need be.
        """

    @app.shard_channel("orders")
    async def on_shard(order: Order) -> None: ...

    @app.pattern("audit.*.[ab]")
    async def on_audit(message: Any) -> None: ...

    made = checked(document(app))
    by_kind = {one["x-mailslot-kind"]: one for one in made["channels"].values()}
    assert by_kind["channel"]["address"] == by_kind["shard_channel"]["address"] == "orders"
    assert by_kind["pattern"]["address"] == "audit.{part1}.{part2}"
    assert "'audit.*.[ab]'" in by_kind["pattern"]["description"]
    assert [one["action"] for one in made["operations"].values()] == ["receive"] * 3
    first = made["operations"]["receive_orders"]
    assert first["title"].endswith("on_order")
    assert first["description"] == "Ship an order.\n\nTwice if need be."
    assert follow(made, first["channel"]["$ref"])["address"] == "orders"
    assert len(made["components"]["messages"]) == 2  # both kinds of orders are one message


@pytest.mark.parametrize(
    ("wanted", "fields"),
    [(Order, {"id", "items"}), (Refund, {"order", "reason"}), (Visit, {"page"})],
)
def test_payloads_have_the_schema_of_what_they_are_decoded_to(wanted, fields):
    app = shop()
    app.channel("a", decode=wanted)(lambda payload: None)
    made = checked(document(app))
    assert set(payload_of(made, "a")["properties"]) == fields


def test_a_model_that_knows_its_schema_is_asked_for_it():
    pydantic = pytest.importorskip("pydantic", reason="pydantic is not installed")
    inner = pydantic.create_model("Inner", street=(str, ...))
    outer = pydantic.create_model("Outer", at=(inner, ...))
    app = shop()
    app.channel("a", decode=outer)(lambda payload: None)
    app.channel("b", decode=list[outer])(lambda payload: None)  # type: ignore[valid-type]
    made = checked(document(app))
    assert set(follow(made, payload_of(made, "b")["items"]["$ref"])["properties"]) == {"at"}
    at = payload_of(made, "a")["properties"]["at"]
    assert set(follow(made, at["$ref"])["properties"]) == {"street"}


def test_unions_batches_text_and_what_is_not_decoded():
    app = shop()
    app.channel("union", decode=Bought | Sold)(lambda payload: None)

    @app.channel("batch", batch=Batch(10))
    async def on_batch(orders: list[Order]) -> None: ...

    @app.channel("text")
    async def on_text(text: str) -> None: ...

    @app.channel("bytes")
    async def on_bytes(data: bytes) -> None: ...

    @app.channel("message")
    async def on_message(message: Any) -> None: ...

    @app.channel("packed", decode=Refund, format="msgpack")
    async def on_packed(refund: Any) -> None: ...

    @app.channel("actor")
    class Keeper(Actor[Order]):
        async def receive(self, order: Order) -> None: ...

    made = checked(document(app))
    assert len(payload_of(made, "union")["anyOf"]) == 2
    assert set(payload_of(made, "batch")["properties"]) == {"id", "items"}
    assert payload_of(made, "text") == {"type": "string"}
    assert payload_of(made, "bytes") is payload_of(made, "message") is None
    assert set(payload_of(made, "actor")["properties"]) == {"id", "items"}
    kinds = {one["contentType"] for one in made["components"]["messages"].values()}
    assert {"text/plain", "application/octet-stream", "application/msgpack"} < kinds


def test_types_of_one_name_keep_their_schemas():
    def other(field: str) -> type:
        return msgspec.defstruct("Item", [(field, float)], module=__name__)

    app = shop()
    app.channel("a", decode=Item)(lambda payload: None)
    app.channel("b", decode=other("weight"))(lambda payload: None)
    app.channel("d", decode=other("length"))(lambda payload: None)
    app.channel("c", decode=Order)(lambda payload: None)
    made = checked(document(app))
    assert set(payload_of(made, "a")["properties"]) == {"name"}
    assert set(payload_of(made, "b")["properties"]) == {"weight"}
    assert set(payload_of(made, "d")["properties"]) == {"length"}
    items = payload_of(made, "c")["properties"]["items"]["items"]
    assert set(follow(made, items["$ref"])["properties"]) == {"name"}


def test_a_type_without_a_schema_is_said_to_have_none():
    class Odd:
        pass

    app = shop()
    app.channel("odd", decode=Odd)(lambda payload: None)
    made = checked(document(app))
    assert payload_of(made, "odd") is None
    (message,) = made["components"]["messages"].values()
    assert message["description"].startswith("No JSON schema describes the payload: ")


def test_groups_are_one_channel_with_the_names_as_a_parameter():
    app = shop()
    app.channels([f"user.{number}" for number in range(1000)], lambda message: None)
    app.channels(lambda: ["x"], lambda message: None)
    listed, found = checked(document(app))["channels"].values()
    assert listed["parameters"]["name"]["enum"][-1] == "user.999"
    assert "when the worker starts" in found["parameters"]["name"]["description"]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("redis://user:se@cret@db.example/3", [("db.example:6379", "redis", "/3")]),
        ("rediss://:secret@db.example:7000", [("db.example:7000", "rediss", None)]),
        ("redis://[::1]:7000/0?password=secret", [("[::1]:7000", "redis", "/0")]),
        ("redis://[::1]", [("[::1]:6379", "redis", None)]),
        ("unix:///run/redis.sock?password=secret", [("localhost", "redis", "/run/redis.sock")]),
        (
            ["redis://u:secret@a:1", "b:2", ("c", 3)],
            [("a:1", "redis", None), ("b:2", "redis", None), ("c:3", "redis", None)],
        ),
    ],
)
def test_servers_are_named_without_credentials(where, expected):
    app = shop(where)
    app.channel("a")(lambda message: None)
    text = msgspec.json.encode(document(app)).decode()
    assert "secret" not in text
    assert "user" not in text.replace("username", "")
    found = checked(document(app))["servers"].values()
    assert [(one["host"], one["protocol"], one.get("pathname")) for one in found] == expected


@pytest.mark.parametrize("format", ["yaml", "json"])
async def test_mailslot_docs_prints_the_document(tmp_path, format):
    (tmp_path / "shop.py").write_text(APP)
    program = await run_mailslot("docs", "shop:app", "--format", format, cwd=tmp_path)
    assert (program.process.returncode, program.err) == (0, [])
    out = "\n".join(program.out)
    made = checked(yaml.safe_load(out) if format == "yaml" else json.loads(out))
    assert made["info"] == {
        "title": "shop",
        "version": "4.2",
        "description": "Takes the orders of a shop.\n\nNothing else does.",
    }
    assert made["servers"]["broker"]["host"] == "db.example:7000"
    assert "secret" not in out
    assert payload_of(made, "orders")["properties"]["item"]["default"] == "tea"


async def test_mailslot_docs_says_what_is_wrong(tmp_path):
    write_app(tmp_path, 'app = Worker()\n@app.channel("a")\nasync def nothing(): ...\n')
    for args, says in ((["shop:app"], "no argument"), (["shop:app", "--format", "xml"], "yaml or")):
        program = await run_mailslot("docs", *args, cwd=tmp_path)
        assert (program.process.returncode, program.out) == (2, [])
        assert says in program.err[-1]
