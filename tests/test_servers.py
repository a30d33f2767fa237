"""The suite's servers do what its tests rely on, on each backend."""

from __future__ import annotations

import time

import pytest

from tests.servers import BACKENDS, AnyServer, ask

pytestmark = pytest.mark.every_backend


@pytest.mark.parametrize("name", BACKENDS)
def test_each_backend_is_there(name: str):
    reason = BACKENDS[name].why_not()
    if reason is not None:
        pytest.skip(f"nothing runs on {name} servers: {reason}")
    assert BACKENDS[name].describe()


def test_a_fresh_server_answers_and_says_what_it_is(server: AnyServer):
    assert ask(server, "PING") == "+PONG"
    assert server.url == f"redis://127.0.0.1:{server.port}"
    assert f"{server.flavour}_version:" in ask(server, "INFO", "server")
    assert server.version >= (6, 0, 0)
    assert ".".join(map(str, server.version)) in ask(server, "INFO", "server")


def test_it_keeps_nothing_on_disk(server: AnyServer):
    assert "aof_enabled:0" in ask(server, "INFO", "persistence")
    ask(server, "SET", "key", "value")
    server.restart_sync()
    assert ask(server, "EXISTS", "key") == ":0"


async def test_killed_it_refuses_and_comes_back_on_the_same_port(server: AnyServer):
    port, process = server.port, run_id(server)
    server.kill()
    assert not server.running
    with pytest.raises(OSError):
        ask(server, "PING", timeout=0.5)
    await server.start()
    assert server.port == port
    assert run_id(server) != process


async def test_restart_is_another_process_on_the_same_port(server: AnyServer):
    port, process = server.port, run_id(server)
    await server.restart()
    assert server.port == port
    assert run_id(server) != process


def test_paused_it_is_silent_and_resumed_it_goes_on(server: AnyServer):
    process = run_id(server)
    server.pause()
    with pytest.raises(TimeoutError):
        ask(server, "PING", timeout=0.2)
    assert server.running
    server.resume()
    assert run_id(server) == process


async def test_a_paused_server_can_be_killed_and_started(server: AnyServer):
    server.pause()
    server.kill()
    await server.start()
    assert ask(server, "PING") == "+PONG"


def test_servers_take_configuration(make_server):
    server = make_server({"maxmemory_policy": "allkeys-lru", "requirepass": "sesame"})
    assert ask(server, "PING").startswith("-NOAUTH")


def test_servers_do_not_share_a_port(make_server):
    assert make_server().port != make_server().port


def test_the_log_tells_about_the_start(server: AnyServer):
    assert "Ready to accept connections" in server.log_tail()


@pytest.mark.parametrize("turn", [1, 2])
def test_the_shared_server_is_empty_each_time(shared_server: AnyServer, turn: int):
    assert ask(shared_server, "DBSIZE") == ":0"
    assert ask(shared_server, "SET", f"key-{turn}", str(time.time())) == "+OK"


def run_id(server: AnyServer) -> str:
    info = ask(server, "INFO", "server")
    return next(line for line in info.splitlines() if line.startswith("run_id:"))
