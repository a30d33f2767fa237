"""Names: one name or several, as str or as bytes, wherever names are taken."""

from __future__ import annotations

from typing import Any

import pytest

from actors import Redis, RedisCluster, Worker
from actors.pubsub.model.names import consumers, encode_name, handlers_in, names_in
from actors.worker.run.partition import Partition, owner
from tests.pubsub.helpers import Heard, client_of, data_of
from tests.servers import AnyServer

# Nothing here depends on whose server it is.
pytestmark = pytest.mark.embedded_only


# -- the functions ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (None, []),
        ("news", ["news"]),
        (b"news", [b"news"]),
        (bytearray(b"news"), [bytearray(b"news")]),
        ("", [""]),
        ([], []),
        (["a", b"b"], ["a", b"b"]),
        (("a",), ["a"]),
        ((name for name in "ab"), ["a", "b"]),
        ({"a": None}, ["a"]),
    ],
)
def test_names_in(given: Any, names: list[Any]):
    assert names_in("channels", given) == names


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (5, "channels must be a name .* an iterable of names, or None, not 5"),
        (print, "channels must be a name"),
        ({"a": print}, "handlers by name belong into channel_handlers"),
        ([5], "channels: a name must be str or bytes, not int: 5"),
        ([None], "channels: a name must be str or bytes, not NoneType"),
        ([["a", "b"]], "channels: a name must be .* not list: .*one by one"),
    ],
)
def test_names_in_says_what_is_wrong(given: Any, problem: str):
    with pytest.raises(TypeError, match=problem):
        names_in("channels", given)


@pytest.mark.parametrize("given", ["news", b"news", [("a", print)], ["a"], 5])
def test_handlers_in_takes_a_mapping(given: Any):
    with pytest.raises(TypeError, match="channel_handlers must map names to handlers"):
        handlers_in("channel_handlers", given)


def test_handlers_in():
    assert handlers_in("channel_handlers", None) == {}
    assert handlers_in("channel_handlers", {b"a": print}) == {b"a": print}
    with pytest.raises(TypeError, match="pattern_handlers: a name must be str or bytes, not int"):
        handlers_in("pattern_handlers", {5: print})


def test_str_and_bytes_are_one_name():
    assert encode_name("ä") == encode_name("ä".encode()) == "ä".encode()
    assert encode_name("ä", "latin-1") == b"\xe4"
    assert consumers(["a", b"a", "b"], {}, encode_name) == {b"a": None, b"b": None}
    assert consumers(["a"], {b"a": print}, encode_name) == {b"a": print}
    assert consumers([b"a"], {"a": print}, encode_name) == {b"a": print}
    with pytest.raises(ValueError, match="'a' has two handlers, one as str and one as bytes"):
        consumers([], {b"a": print, "a": repr}, encode_name)


@pytest.mark.parametrize("name", ["orders", "ä", ""])
def test_a_name_has_one_owner_as_str_and_as_bytes(name: str):
    assert owner(name, 7) == owner(name.encode(), 7)
    for index in range(3):
        part = Partition(index, 3, 1, 2)
        assert part.has(name) is part.has(name.encode())
    with pytest.raises(TypeError, match="a name must be str or bytes, not list"):
        Partition().has(["orders"])  # type: ignore[arg-type]


# -- where they are taken --------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["channels", "patterns"])
@pytest.mark.parametrize("how", ["str", "bytes", "list", "iterator"])
async def test_one_name_given_by_itself(shared_server: AnyServer, option: str, how: str):
    name = "news.*"
    given = {"str": name, "bytes": name.encode(), "list": [name], "iterator": iter([name])}[how]
    async with client_of(shared_server) as client:
        options: dict[str, Any] = {option: given, "ignore_subscribe_messages": True}
        async with client.pubsub(**options) as p:
            assert {**p.channels, **p.patterns} == {"news.*": None}
            await client.publish("n", "of another channel")
            await client.publish("news.*", "1")
            assert await data_of(p, 1) == ["1"]


def test_clusters_take_one_name_too():
    client: RedisCluster[str] = RedisCluster("127.0.0.1", 1, decode_responses=True)
    for made in (client.pubsub(channels="news"), client.sharded_pubsub(channels="news")):
        (names,) = [names for _, names, _ in made._first if names]
        assert names == ["news"]
    assert client.pubsub(patterns=b"news.*")._first[1][1] == [b"news.*"]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"channels": 5}, "channels must be a name"),
        ({"patterns": [5]}, "patterns: a name must be str or bytes"),
        ({"channel_handlers": "news"}, "channel_handlers must map names"),
        ({"pattern_handlers": ["news"]}, "pattern_handlers must map names"),
    ],
)
def test_what_is_no_name_is_refused_before_anything_connects(options: dict[str, Any], problem: str):
    with pytest.raises(TypeError, match=problem):
        Redis().pubsub(**options)


async def test_calls_take_each_name_once(shared_server: AnyServer):
    heard = Heard()
    async with client_of(shared_server) as client, client.pubsub(channels=[b"x", "x"]) as p:
        await p.subscribe("a", b"a", a=heard)
        await p.psubscribe(b"p*", "p*")
        assert (p.channels, p.patterns) == ({"x": None, "a": heard}, {"p*": None})
        await client.publish("a", "1")
        await heard.wait(1)
        with pytest.raises(TypeError, match=r"not list: \['a', 'b'\]; give the names .* one by on"):
            await p.unsubscribe(["a", "b"])  # type: ignore[arg-type]
        await p.unsubscribe("a", b"x")
        await p.punsubscribe(bytearray(b"p*"))  # type: ignore[arg-type]
        assert not p.subscribed


async def test_two_handlers_of_one_name_are_an_error_of_entering(shared_server: AnyServer):
    handlers: dict[Any, Any] = {"a": print, b"a": repr}
    async with client_of(shared_server) as client:
        with pytest.raises(ExceptionGroup) as caught:
            async with client.pubsub(channel_handlers=handlers):
                pass
    assert "'a' has two handlers" in str(caught.value.exceptions[0]).replace("b'a'", "'a'")


def test_a_worker_says_which_declaration_has_no_name():
    app = Worker()
    app.channel(["a", "b"])(print)  # type: ignore[arg-type]
    with pytest.raises(Exception, match=r"the name must be a str or bytes .*\['a', 'b'\]"):
        app.validate()
