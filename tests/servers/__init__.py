"""The servers that the suite runs against: embedded, found on PATH, or in containers."""

from __future__ import annotations

from tests.servers.backends import BACKENDS, Backend
from tests.servers.base import AnyServer, ask

__all__ = ["BACKENDS", "AnyServer", "Backend", "ask"]
