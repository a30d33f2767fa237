"""Servers, clocks and probes for testing programs that use mailslot."""

from __future__ import annotations

from actors.testing.binary import ServerBinary, ServerNotFoundError, find_binary
from actors.testing.process import ServerProcess, ServerStartError, ServerStartTimeoutError
from actors.testing.server import EmbeddedServer

__all__ = [
    "EmbeddedServer",
    "ServerBinary",
    "ServerNotFoundError",
    "ServerProcess",
    "ServerStartError",
    "ServerStartTimeoutError",
    "find_binary",
]
