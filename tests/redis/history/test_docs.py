"""The script and the commands in docs/recovery.md, sent from plain sockets as they stand there."""

from __future__ import annotations

import re
import shlex
import socket
from hashlib import sha1
from pathlib import Path

from actors import History, Redis
from actors.redis.history.entries import parse_entries, parse_envelope
from actors.redis.history.script import DIGEST, SCRIPT
from tests.servers import ask

PAGE = (Path(__file__).parents[3] / "docs" / "recovery.md").read_text()
LUA = re.findall(r"```lua\n(.*?)\n```", PAGE, re.DOTALL)
COMMANDS = re.findall(r"^valkey-cli (EVAL.*)$", PAGE, re.MULTILINE)


def words_of(command: str) -> list[str]:
    """Return the arguments as a shell makes them, with the page's script as the file."""
    return [LUA[0] if word == "$(cat append.lua)" else word for word in shlex.split(command)]


def subscribe(server, *names: str) -> socket.socket:
    """Subscribe, over a plain socket, in RESP2."""
    connection = socket.create_connection((server.host, server.port), 5)
    connection.sendall(f"SUBSCRIBE {' '.join(names)}\r\n".encode())
    read(connection, len(names))
    return connection


def read(connection: socket.socket, count: int) -> list[tuple[bytes, bytes]]:
    """Read so many pushes; return the channel and the rest of each."""
    message = re.compile(rb"\*3\r\n\$\d+\r\n\w+\r\n\$\d+\r\n(.*?)\r\n(?:\$\d+\r\n|:)(.*?)\r\n")
    seen = b""
    while len(message.findall(seen)) < count:
        part = connection.recv(65536)
        assert part
        seen += part
    return message.findall(seen)


def test_the_page_has_the_script_and_both_commands():
    assert LUA == [SCRIPT]
    assert sha1(LUA[0].encode()).hexdigest() == DIGEST
    assert [command.split()[0] for command in COMMANDS] == ["EVAL", "EVALSHA"]
    assert words_of(COMMANDS[1])[1] == DIGEST
    lines = len(LUA[0].splitlines())
    assert re.search(rf"^\| {lines} \|", PAGE, re.MULTILINE), "the table explains every line"


async def test_r1_the_commands_of_the_page_do_what_a_publish_does(shared_server):
    ask(shared_server, "SCRIPT", "FLUSH")
    key = words_of(COMMANDS[0])[3]
    with subscribe(shared_server, "orders", key) as subscriber:
        ids = [ask(shared_server, *words_of(command)) for command in COMMANDS]
        async with Redis.from_url(shared_server.url, decode_responses=True) as client:
            ids.append(await client.publish("orders", "order 1", history=History()))
            connection = await client.connection_pool.acquire()
            stream = parse_entries(await connection.execute("XRANGE", key, "-", "+"))
            client.connection_pool.release(connection)
        pushes = read(subscriber, 6)
    assert [str(entry.id) for entry in stream] == ids
    assert {entry.payload for entry in stream} == {b"order 1"}
    assert [channel.decode() for channel, _ in pushes] == [key, "orders"] * 3
    envelopes = [parse_envelope(payload) for _, payload in pushes[::2]]
    assert [str(envelope.id) for envelope in envelopes if envelope] == ids
    assert [str(envelope.previous) for envelope in envelopes if envelope] == ["0-0", *ids[:-1]]
    assert {payload for _, payload in pushes[1::2]} == {b"order 1"}


def test_r1_the_short_command_is_for_servers_that_know_the_script(shared_server):
    ask(shared_server, "SCRIPT", "FLUSH")
    assert "NOSCRIPT" in ask(shared_server, *words_of(COMMANDS[1]))
