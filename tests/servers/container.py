"""Servers in containers, through testcontainers and whatever Docker engine answers.

Each is in an image of :mod:`tests.servers.image`, on a loopback port that survives its restarts.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import time
from collections.abc import Sequence
from typing import Any

from actors.testing.servers.binary import wheel_binary
from actors.testing.servers.ports import PortReservation
from actors.testing.servers.readiness import PingProbe
from tests.servers.base import ask
from tests.servers.image import IMAGE_VARIABLE, image_for

__all__ = ["LABEL", "ContainerServer", "connect", "describe", "why_not"]

#: Containers with the number of a process that is gone are removed by the next run.
LABEL = "mailslot.tests.pid"
_SERVER_PORT = 6379
_START_TIMEOUT = 20.0
_ENGINE_TIMEOUT = 30

_STATELESS = ("--save", "", "--appendonly", "no")


# testcontainers reads these when it is imported. Its reaper is an image to pull: the label and
# _remove_leftovers do its work. Published ports are on loopback, whatever the engine's address.
os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
os.environ.setdefault("TESTCONTAINERS_HOST_OVERRIDE", "127.0.0.1")


def connect() -> Any:
    """Return the Docker SDK's client of the engine that answers."""
    import docker

    return docker.from_env(timeout=_ENGINE_TIMEOUT)


def why_not() -> str | None:
    """Return why no containers are to be had; None where they are."""
    try:
        import docker.errors
        import testcontainers.core  # noqa: F401
    except ImportError as error:
        return f"testcontainers is not installed ({error})"
    try:
        _knock()
        client = connect()
    except (docker.errors.DockerException, OSError) as error:
        return f"no Docker engine answers ({_first_line(error)})"
    try:
        if client.info().get("OSType") != "linux":
            return "the Docker engine runs no Linux containers"
        if IMAGE_VARIABLE not in os.environ and wheel_binary() is None:
            return f"no image: {IMAGE_VARIABLE} is not set and there is no wheel to build one from"
        _remove_leftovers(client)
    except (docker.errors.DockerException, OSError) as error:
        return f"the Docker engine does not answer as it should ({_first_line(error)})"
    finally:
        client.close()
    return None


def _knock() -> None:
    """Raise OSError where nothing listens: the SDK would say so too, and leave a socket open."""
    path = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
    if path.startswith("/"):
        with socket.socket(socket.AF_UNIX) as engine:
            engine.settimeout(_ENGINE_TIMEOUT)
            try:
                engine.connect(path)
            except OSError as error:
                raise OSError(f"{path}: {error.strerror or error}") from error


def describe() -> str:
    """Return what runs in the containers."""
    named = os.environ.get(IMAGE_VARIABLE)
    return named or f"{wheel_binary()} in an image built from scratch"


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:160]


def _remove_leftovers(client: Any) -> None:
    """Remove containers of test runs that were killed before they could."""
    for container in client.containers.list(all=True, filters={"label": LABEL}):
        try:
            os.kill(int(container.labels[LABEL]), 0)
        except ProcessLookupError:
            container.remove(force=True)


class ContainerServer:
    """A server in a container of its own, on a loopback port that it keeps.

    The same interface as a process; every method talks to the engine and takes up to half a second.
    """

    def __init__(self, args: Sequence[str] = ()) -> None:
        self.host = "127.0.0.1"
        self._args = tuple(args)
        self._reservation = PortReservation(self.host)
        self._container: Any = None

    @property
    def port(self) -> int:
        return self._reservation.port

    @property
    def url(self) -> str:
        return f"redis://{self.host}:{self.port}"

    @property
    def flavour(self) -> str:
        return "valkey" if "valkey_version:" in ask(self, "INFO", "server") else "redis"

    @property
    def version(self) -> tuple[int, int, int]:
        info = ask(self, "INFO", "server")
        found = re.search(r"valkey_version:(\S+)", info) or re.search(r"redis_version:(\S+)", info)
        assert found is not None, info
        major, minor, patch = (int(part) for part in found[1].split("."))
        return major, minor, patch

    @property
    def running(self) -> bool:
        if self._container is None:
            return False
        self._inner.reload()
        return self._inner.status in {"running", "paused"}

    @property
    def _inner(self) -> Any:
        """The Docker SDK's container, behind testcontainers'."""
        return self._container.get_wrapped_container()

    def log_tail(self, lines: int = 20) -> str:
        logs: bytes = self._inner.logs(tail=lines)
        return logs.decode(errors="replace")

    def kill(self) -> None:
        if self.running:
            self._inner.kill()
            self._inner.wait()

    def pause(self) -> None:
        self._inner.pause()

    def resume(self) -> None:
        self._inner.unpause()

    def close(self) -> None:
        if self._container is not None:
            self._container.stop()
            self._container = None
        self._reservation.close()

    def start_sync(self) -> None:
        if self._container is None:
            self._container = self._create()
        else:
            self._inner.start()
        self._wait_until_ready()

    def stop_sync(self, timeout: float = 5.0) -> None:
        self._inner.stop(timeout=int(timeout))

    def restart_sync(self) -> None:
        self.stop_sync()
        self.start_sync()

    async def start(self) -> None:
        await asyncio.to_thread(self.start_sync)

    async def stop(self, timeout: float = 5.0) -> None:
        await asyncio.to_thread(self.stop_sync, timeout)

    async def restart(self) -> None:
        await asyncio.to_thread(self.restart_sync)

    def _create(self) -> Any:
        client = connect()
        try:
            image = image_for(client)
            # Published ports need the engine's bridge; an engine may run without one.
            bridge = bool(client.networks.list(names=["bridge"]))
        finally:
            client.close()
        from testcontainers.core.container import DockerContainer

        container = DockerContainer(image)
        bind, port = ("0.0.0.0", _SERVER_PORT) if bridge else (self.host, self.port)
        container.with_command(
            [
                "--bind",
                bind,
                "--port",
                str(port),
                "--protected-mode",
                "no",
                *_STATELESS,
                *self._args,
            ]
        )
        container.with_kwargs(
            labels={LABEL: str(os.getpid())}, **({} if bridge else {"network_mode": "host"})
        )
        if bridge:
            published: Any = (self.host, self.port)
            container.ports[f"{_SERVER_PORT}/tcp"] = published
        try:
            return container.start()
        except BaseException:
            container.stop()
            raise

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT
        probe = PingProbe((self.host, self.port))
        try:
            while not probe.answered():
                if not self.running or time.monotonic() >= deadline:
                    raise RuntimeError(f"the container does not answer:\n{self.log_tail()}")
                time.sleep(0.01)
        finally:
            probe.close()
