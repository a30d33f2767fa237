"""The parent's side of the publisher, and the channels that it publishes to."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from actors.redis.config.locations import TCPLocation
from actors.redis.history.script import SCRIPT
from actors.redis.topology.slots import SLOTS, key_slot

__all__ = ["Accepted", "Load", "Report", "Unknown", "even_channels", "part", "word_of"]

_PUBLISHER = Path(__file__).with_name("publisher.py")
_PATIENCE = 10.0


class Accepted(NamedTuple):
    """A message that a server answered with an integer; times are Unix seconds."""

    channel: int
    number: int
    sent: float
    answered: float
    port: int


class Unknown(NamedTuple):
    """A message that was sent and not answered."""

    channel: int
    number: int
    sent: float


class Report(msgspec.Struct, frozen=True):
    """What became of all messages.

    Attributes:
        accepted: in the order of the answers.
        unknown: may have been accepted or not.
        errors: how often what was answered instead of an integer, or happened to a connection.
    """

    accepted: list[Accepted]
    unknown: list[Unknown]
    errors: dict[str, int]


def part(report: Report, start: int, end: int) -> Report:
    """Return what became of the messages of the channels from ``start`` to ``end``, as from 0."""
    return Report(
        [
            m._replace(channel=m.channel - start)
            for m in report.accepted
            if start <= m.channel < end
        ],
        [m._replace(channel=m.channel - start) for m in report.unknown if start <= m.channel < end],
        report.errors,
    )


def even_channels(count: int) -> list[str]:
    """Return channels in pairs that share a slot, with the pairs spread evenly over all slots."""
    pairs = count // 2
    width = SLOTS // pairs
    names: list[str] = []
    for pair in range(pairs):
        wanted = range(pair * width, (pair + 1) * width)
        tag = next(f"t{i}" for i in range(10**6) if key_slot(b"t%d" % i) in wanted)
        names += [f"{{{tag}}}a", f"{{{tag}}}b"]
    return names


def word_of(number: int) -> str:
    """Return the word that the publisher sends for a number, where it sends words."""
    return ("tick", "tock")[(number * 2654435761 >> 16) & 1]


class Load:
    """A publisher that runs from :meth:`start` to :meth:`stop`.

    Args:
        nodes: where it learns of the cluster; the real addresses, not those of proxies.
        channels: to publish to, in turn.
        rate: messages a second, over all channels.
        words: so many of the channels, the last ones before those with a history, have one of two
            words as payloads instead of numbers.
        strays: so many of the channels, the first ones, are published at replicas and at primaries
            that were demoted; see ``publisher``.
        histories: so many of the channels, the last ones, have a history.
        history_rate: messages a second over these, beside ``rate`` over the others.
    """

    def __init__(
        self,
        nodes: Sequence[TCPLocation],
        channels: Sequence[str],
        rate: float,
        *,
        words: int = 0,
        strays: int = 0,
        histories: int = 0,
        history_rate: float = 0.0,
    ) -> None:
        self._plan = {
            "nodes": [(node.host, node.port) for node in nodes],
            "channels": list(channels),
            "rate": rate,
            "words": words,
            "strays": strays,
            "script": SCRIPT,
            "histories": histories,
            "history_rate": history_rate,
        }
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Begin to publish."""
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, str(_PUBLISHER), stdin=pipe, stdout=pipe
        )
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(self._plan).encode() + b"\n")
        await self._process.stdin.drain()

    async def stop(self) -> Report:
        """End it and return what became of its messages."""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        process.stdin.close()
        async with asyncio.timeout(_PATIENCE):
            text, _ = await process.communicate()
        self._process = None
        assert process.returncode == 0, f"the publisher ended with {process.returncode}"
        return msgspec.json.decode(text, type=Report)

    async def close(self) -> None:
        """End it, if it still runs, whatever it was doing."""
        process, self._process = self._process, None
        if process is not None:
            if process.returncode is None:
                process.kill()
            await process.communicate()


def now() -> float:
    """Return the time as publisher and gaps have it."""
    return time.time()
