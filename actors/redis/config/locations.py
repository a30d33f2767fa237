"""The locations where servers listen."""

from __future__ import annotations

from typing import TypeAlias

import msgspec


class TCPLocation(msgspec.Struct, frozen=True, order=True):
    """A server on a TCP port."""

    #: The host's name or IP address.
    host: str
    #: The port.
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class UnixDomainSocketLocation(msgspec.Struct, frozen=True, order=True):
    """A server on a unix domain socket."""

    #: Absolute path of the socket.
    path: str

    def __str__(self) -> str:
        return self.path


Location: TypeAlias = TCPLocation | UnixDomainSocketLocation
