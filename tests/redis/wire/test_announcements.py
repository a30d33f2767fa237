"""Headers that announce more than a server ever sends do not come to the parser."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors import Redis
from actors.redis.config.locations import TCPLocation
from actors.redis.config.settings import ConnectionSettings
from actors.redis.exceptions import ConnectionError, ProtocolError  # noqa: A004
from actors.redis.wire import protocol
from actors.redis.wire.connection import Connection
from actors.redis.wire.pending_reply import FuturePending
from tests.redis.helpers import HELLO, peer

MESSAGE = b">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n"
HUGE = b">2147483647\r\n"

TOO_MUCH = {
    "a push": HUGE,
    "a smaller push": b">10000\r\n",
    "a push with leading zeros": b">00000000003\r\n",
    "a push behind a message": MESSAGE + HUGE,
    "a push behind many messages": MESSAGE * 400 + HUGE,
    "a push with something behind it": HUGE + MESSAGE * 9,
    "a push in an array": b"*2\r\n" + HUGE,
    "a push in a message": b">3\r\n$7\r\nmessage\r\n" + HUGE,
}
TOO_MUCH_OF_A_REPLY = {
    "an array": b"*2147483647\r\n",
    "a set": b"~2147483647\r\n",
    "a map": b"%1073741823\r\n",
    "an attribute": b"|1073741823\r\n",
    "an array in an array": b"*2\r\n*2147483647\r\n",
    "an array behind a reply": b"+OK\r\n*2147483647\r\n",
}


def run(*reads: bytes, asked: int = 0) -> tuple[list[Any], BaseException | None]:
    """Return the replies that a connection makes of ``reads``, and the reason for its end."""

    async def read() -> tuple[list[Any], BaseException | None]:
        connection = Connection(ConnectionSettings())
        replies: list[Any] = []
        connection.on_push = replies.append
        for _ in range(asked):
            future = asyncio.get_running_loop().create_future()
            future.add_done_callback(lambda done: replies.append(done.result()))
            connection.pending.append(FuturePending(future))
        for data in reads:
            while data and connection.lost is None:
                size = min(len(data), len(connection.get_buffer(-1)))
                connection.get_buffer(-1)[:size] = data[:size]
                connection.buffer_updated(size)
                data = data[size:]
        await asyncio.sleep(0)
        return replies, connection.lost

    return asyncio.run(read())


@pytest.mark.parametrize("name", TOO_MUCH)
def test_it_ends_the_connection(name):
    _, lost = run(TOO_MUCH[name])
    assert isinstance(lost, ProtocolError)
    assert "announces a reply of" in str(lost)


@pytest.mark.parametrize("name", TOO_MUCH_OF_A_REPLY)
def test_replies_that_were_asked_for(name):
    _, lost = run(TOO_MUCH_OF_A_REPLY[name], asked=3)
    assert isinstance(lost, ProtocolError)
    assert "announces a reply of" in str(lost)


@pytest.mark.parametrize("at", range(1, len(MESSAGE + HUGE)))
def test_a_header_in_two_reads(at):
    data = MESSAGE + HUGE
    replies, lost = run(data[:at], data[at:])
    assert isinstance(lost, ProtocolError)
    assert replies == [[b"message", b"a", b"hi"]]


def test_a_header_of_single_bytes():
    replies, lost = run(*(bytes([byte]) for byte in MESSAGE + HUGE))
    assert isinstance(lost, ProtocolError)
    assert replies == [[b"message", b"a", b"hi"]]


def message(payload: bytes) -> bytes:
    return b">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$%d\r\n%s\r\n" % (len(payload), payload)


@pytest.mark.parametrize("at", range(1, len(message(HUGE))))
def test_a_payload_may_look_like_it(at):
    data = message(HUGE)
    replies, lost = run(data[:at], data[at:])
    assert lost is None
    assert replies == [[b"message", b"a", HUGE]]


ODD = st.sampled_from(
    [HUGE, b">", b"*", b">12345", b"*999999999", b"|1", b"\r\n>1", b"<b>12345</b>"]
)
PAYLOADS = st.lists(ODD | st.binary(max_size=12), max_size=8).map(b"".join)


@settings(max_examples=300, deadline=None)
@given(st.lists(PAYLOADS, min_size=1, max_size=8), st.lists(st.integers(0, 400), max_size=12))
def test_reads_may_end_anywhere(payloads, ends):
    data = b"".join(map(message, payloads))
    cuts = [0, *sorted(min(end, len(data)) for end in ends), len(data)]
    reads = [data[start:end] for start, end in pairwise(cuts)]
    replies, lost = run(*reads)
    assert lost is None
    assert [reply[2] for reply in replies] == payloads


@settings(max_examples=100, deadline=None)
@given(PAYLOADS, st.integers(1, 400), st.sampled_from([*TOO_MUCH_OF_A_REPLY.values(), HUGE]))
def test_whatever_comes_before_it(payload, cut, header):
    data = message(payload) + header
    replies, lost = run(data[:cut], data[cut:], asked=2)
    assert isinstance(lost, ProtocolError)
    assert [reply[2] for reply in replies if isinstance(reply, list)] == [payload]


def test_long_replies_are_read():
    many = b"*100000\r\n" + b":1\r\n" * 100_000
    replies, lost = run(many, many, asked=2)
    assert lost is None
    assert [len(reply) for reply in replies] == [100_000] * 2


def test_a_string_without_end_is_not_kept(monkeypatch):
    monkeypatch.setattr(protocol, "LONGEST_STRING", 300_000)
    _, lost = run(b">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2147483647\r\n", *[b"x" * 20_000] * 20)
    assert isinstance(lost, ProtocolError)
    assert "a string of more than 300000 bytes" in str(lost)


def test_nested_without_end():
    _, lost = run(b"*1\r\n" * 60_000, asked=1)
    assert isinstance(lost, ProtocolError)


@pytest.mark.parametrize("name", [*TOO_MUCH, "an array", "a map", "an array in an array"])
async def test_a_client_of_such_a_server_goes_on(name):
    """The connection ends, with an error that says why; the next one works."""
    answers = [{**TOO_MUCH, **TOO_MUCH_OF_A_REPLY}[name], b"+PONG\r\n"]

    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(HELLO)
        await reader.read(65536)
        writer.write(answers.pop(0))
        await asyncio.Event().wait()

    async with peer(server) as port, Redis("127.0.0.1", port, retry_policy=None) as client:
        with pytest.raises(ConnectionError, match=f"127.0.0.1:{port} .*announces a reply of"):
            await client.execute_command("ECHO", "x")
        assert await client.ping() == b"PONG"


async def test_it_may_come_instead_of_a_greeting():
    async with peer(_huge) as port:
        with pytest.raises(ProtocolError, match="announces a reply of"):
            await Connection.open(ConnectionSettings(location=TCPLocation("127.0.0.1", port)))


async def _huge(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(65536)
    writer.write(HUGE)
    await asyncio.Event().wait()
