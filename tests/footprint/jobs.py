"""What a consumer's process is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec

__all__ = ["Job", "Received", "channel_names"]

#: Is called once for each message.
Received: TypeAlias = Callable[[], None]


class Job(msgspec.Struct, frozen=True):
    """What to consume, as JSON on the command line of ``consumer.py``.

    Attributes:
        module: of ``contestants``.
        host: of one node of the cluster.
        port: of the same node.
        channels: how many shard channels.
        replicas: whether to subscribe on replicas.
    """

    module: str
    host: str
    port: int
    channels: int
    replicas: bool = False

    @property
    def url(self) -> str:
        """The URL of the node."""
        return f"redis://{self.host}:{self.port}"


def channel_names(count: int) -> list[str]:
    """Return names of one length, so that a message of one is as long as of another."""
    return [f"footprint:{number:05}" for number in range(count)]
