"""What look-alike servers answer to HELLO: used where they speak RESP3, told in words where not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors import Redis
from actors.redis.config.locations import TCPLocation
from actors.redis.config.settings import ConnectionSettings
from actors.redis.exceptions import (
    BusyLoadingError,
    CommandNotSupportedError,
    ConnectionError,  # noqa: A004
    RedisError,
    ResponseError,
)
from actors.redis.wire.connection import Connection
from tests.redis.helpers import peer, says

WHOLE = {"server": "redis", "version": "7.4.0", "proto": 3, "id": 5, "mode": "standalone"}


def bulk(value: Any) -> bytes:
    match value:
        case None:
            return b"_\r\n"
        case int():
            return b":%d\r\n" % value
        case list():
            return b"*%d\r\n" % len(value) + b"".join(map(bulk, value))
    return b"$%d\r\n%s\r\n" % (len(value), value.encode())


def as_map(fields: dict[str, Any]) -> bytes:
    return b"%%%d\r\n" % len(fields) + b"".join(bulk(x) for pair in fields.items() for x in pair)


def as_array(fields: dict[str, Any]) -> bytes:
    return bulk([word for pair in fields.items() for word in pair])


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in WHOLE.items() if name not in names}


SPEAKS_RESP3 = {
    "all fields": (as_map(WHOLE), 5, "7.4.0"),
    "no version": (as_map(without("version")), 5, None),
    "no id": (as_map(without("id")), None, "7.4.0"),
    "nothing but the protocol": (as_map({"proto": 3}), None, None),
    "no protocol": (as_map(without("proto")), 5, "7.4.0"),
    "an empty map": (as_map({}), None, None),
    "id null": (as_map(WHOLE | {"id": None}), None, "7.4.0"),
    "id and protocol as text": (as_map(WHOLE | {"id": "63", "proto": "3"}), 63, "7.4.0"),
    "id that is no number": (as_map(WHOLE | {"id": "node-a"}), None, "7.4.0"),
    "version as a number": (as_map(WHOLE | {"version": 7}), 5, None),
    "modules and unknown fields": (as_map(WHOLE | {"modules": [["a"]], "x": None}), 5, "7.4.0"),
    "an array that says 3": (as_array(WHOLE), 5, "7.4.0"),
}


@pytest.mark.parametrize("name", SPEAKS_RESP3)
async def test_it_is_used(name):
    answer, number, version = SPEAKS_RESP3[name]
    async with peer(says(answer)) as port:
        connection = await Connection.open(at(port))
        assert (connection.client_id, connection.server_version) == (number, version)
        connection.abort()
        await connection.wait_closed()


SPEAKS_RESP2 = {
    "an array that says 2": as_array(WHOLE | {"proto": 2}),
    "a map that says 2": as_map(WHOLE | {"proto": 2}),
    "a map that says it in text": as_map(WHOLE | {"proto": "2"}),
    "an array without protocol": as_array(without("proto")),
    "an array of an odd length": b"*3\r\n+proto\r\n:3\r\n+id\r\n".replace(b":3", b":2"),
    "an array of arrays": b"*2\r\n*1\r\n:1\r\n*1\r\n:1\r\n",
    "OK": b"+OK\r\n",
    "nothing": b"$-1\r\n",
    "a number": b":3\r\n",
    "unknown command": b"-ERR unknown command 'HELLO'\r\n",
    "NOPROTO": b"-NOPROTO unsupported protocol version\r\n",
    "a proxy's words": b"-ERR unsupported command\r\n",
    "another proxy's words": b"-ERR HELLO is not allowed here\r\n",
    "an older proxy's words": b"-ERR Protocol version is not an integer or out of range\r\n",
}


@pytest.mark.parametrize("name", SPEAKS_RESP2)
async def test_it_is_told_that_resp3_is_missing(name):
    async with peer(says(SPEAKS_RESP2[name])) as port:
        with pytest.raises(CommandNotSupportedError, match="does not speak RESP3") as caught:
            await Connection.open(at(port))
    assert str(caught.value).startswith(f"127.0.0.1:{port} ")
    assert "Redis 6.0 or newer, or any Valkey" in str(caught.value)


@pytest.mark.parametrize("client_options", [{}, {"db": 1}, {"noevict": True}], ids=str)
@pytest.mark.parametrize("word", [b"MOVED", b"ASK"])
async def test_a_redirection_is_told_in_words(word, client_options):
    answers = (b"-%s 866 10.0.0.7:6380\r\n" % word) * (1 + len(client_options))
    async with peer(says(answers)) as port:
        with pytest.raises(ResponseError, match=r"no answer to HELLO.*RedisCluster") as caught:
            await Connection.open(at(port, **client_options))
    assert f"{word.decode()} 866 10.0.0.7:6380" in str(caught.value)


async def test_a_redirection_of_a_later_command_is_told_in_words():
    async with peer(says(as_map(WHOLE) + b"-MOVED 1 10.0.0.7:6380\r\n")) as port:
        with pytest.raises(ResponseError, match=r"refused SELECT 1: MOVED 1 .* answer to SELECT"):
            await Connection.open(at(port, db=1))


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"-LOADING wait\r\n", BusyLoadingError),
        (b"-ERR max number of clients reached\r\n", ConnectionError),
        (b"-BUSY a script runs\r\n", ResponseError),
        (b"-MASTERDOWN no primary\r\n", ResponseError),
        (b"-CLUSTERDOWN no\r\n", ResponseError),
        (b"-NOPERM no\r\n", ResponseError),
        (b"-DENIED protected mode\r\n", ResponseError),
    ],
)
async def test_other_refusals_keep_their_class(answer, kind):
    async with peer(says(answer)) as port:
        with pytest.raises(kind, match="refused HELLO 3") as caught:
            await Connection.open(at(port))
    assert not isinstance(caught.value, CommandNotSupportedError)


@pytest.mark.parametrize(
    "answer",
    [
        b"*1\r\n" * 3000 + b":1\r\n",
        b"%1\r\n*1\r\n:1\r\n:1\r\n",
        b"-MOVED\r\n",
        b"-\r\n",
        b"$100000\r\n" + b"x" * 100_000 + b"\r\n",
    ],
    ids=["nested", "a list for a name", "half a redirection", "an empty error", "long"],
)
async def test_strange_answers_are_errors_of_this_library(answer):
    async with peer(says(answer)) as port:
        with pytest.raises(RedisError) as caught:
            await Connection.open(at(port))
    assert len(str(caught.value)) < 1000


def at(port: int, **options: Any) -> ConnectionSettings:
    return ConnectionSettings(location=TCPLocation("127.0.0.1", port), **options)


async def test_a_pubsub_object_of_such_a_server():
    async def look_alike(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers = {
            b"HELLO": as_map({"proto": "3"}),
            b"SUBSCRIBE": b">3\r\n+subscribe\r\n+a\r\n:1\r\n",
        }
        while data := await reader.read(65536):
            for word, answer in answers.items():
                if word in data:
                    writer.write(answer)

    async with (
        peer(look_alike) as port,
        Redis("127.0.0.1", port) as client,
        client.pubsub(channels=["a"]) as pubsub,
    ):
        assert pubsub.subscribed
