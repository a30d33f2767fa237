"""The way to the servers that keep histories and positions, as the readers of them need it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from typing import Any

import msgspec

from actors.redis.wire.resp import Argument


class HistoryAccess(msgspec.Struct, frozen=True):
    """Sends commands to the servers that keep histories and positions.

    Attributes:
        send: sends each command to the node that serves its key; returns the replies, in which
            errors are values.
        group: returns one and the same value for all keys that one node serves.
    """

    send: Callable[[list[tuple[Argument, ...]]], Awaitable[list[Any]]]
    group: Callable[[bytes], Hashable]
