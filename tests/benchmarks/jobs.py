"""What a contestant's process is told."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["Job", "channel_names", "target_names"]


class Job(msgspec.Struct, frozen=True):
    """What to do, as JSON on the command line of ``child.py``.

    Attributes:
        module: of ``contestants``.
        play: the function there.
        mode: how it is driven and measured: bursts, stream, pace, turns, publish, alone or
            resubscribe.
        url: of the server.
        nodes: where it is a cluster: which channels, by number, are on the primary of that URL.
        player: who of the round it is: each has channels of its own.
        channels: how many.
        by: channel, pattern or shard.
        size: bytes of a payload.
        payload: the payload itself, in place of one of ``size``.
        burst: messages, or operations, between two calls of ``done()``.
        bursts: how many bursts are measured.
        warm: how many come before those.
        history: whether messages are published as those of channels with a history.
        decode: whether payloads become str.
        sync: whether handlers are plain functions.
        collections: whether the longest garbage collection of each burst is measured.
        rate: messages a second in the mode ``pace``.
        loop: asyncio or uvloop.
    """

    module: str
    play: str
    mode: str = "bursts"
    url: str = ""
    nodes: dict[str, list[int]] = {}
    player: int = 0
    channels: int = 1
    by: str = "channel"
    size: int = 64
    payload: str = ""
    burst: int = 10_000
    bursts: int = 10
    warm: int = 1
    history: bool = False
    decode: bool = False
    sync: bool = False
    collections: bool = False
    rate: float = 1000.0
    loop: str = "asyncio"

    def with_(self, **changes: Any) -> Job:
        """Return it with ``changes``."""
        return msgspec.structs.replace(self, **changes)


def channel_names(job: Job) -> list[str]:
    """Return names of one length, so that a message of one is as long as of another."""
    return [f"bench{job.player}:{number:05}" for number in range(job.channels)]


def target_names(job: Job) -> list[str]:
    """Return what to subscribe to: the channels, or a pattern for all of them."""
    return [f"bench{job.player}:*"] if job.by == "pattern" else channel_names(job)
