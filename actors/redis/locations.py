"""Where a server listens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["Location", "TCPLocation", "UnixDomainSocketLocation"]


@dataclass(frozen=True, slots=True, order=True)
class TCPLocation:
    """A server on a TCP port."""

    #: Name or address of the host.
    host: str
    #: The port.
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True, order=True)
class UnixDomainSocketLocation:
    """A server on a unix domain socket."""

    #: Absolute path of the socket.
    path: str

    def __str__(self) -> str:
        return self.path


Location: TypeAlias = TCPLocation | UnixDomainSocketLocation
