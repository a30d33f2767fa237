"""The worker that every process of a fleet runs: it writes down what it handles, and its gaps.

Its options come in the variable FLEET_TEST, as JSON. Each process appends to a file of its own,
without a buffer: what a process has handled is there whatever becomes of it.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import msgspec

from actors import Gap, Recover
from actors.worker import Worker

#: What the channels of events of keys begin with.
EVENTS = "__keyspace@0__:"


class Play(msgspec.Struct):
    """What the processes consume, and where."""

    url: str
    folder: str
    names: list[str]
    kind: str = "channel"  # channel, shard_channel, pattern, or events: of keys on all primaries
    cluster: bool = False
    resume: bool = False
    seconds: float = 0.0  # that a handler takes
    ttl: float = 2.0


def build(play: Play) -> Worker[Any]:
    """Return the worker."""
    log = os.open(f"{play.folder}/{os.getpid()}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def write(*words: Any) -> None:
        os.write(log, (" ".join(map(str, words)) + "\n").encode())

    def on_gap(gap: Gap) -> None:
        name = gap.name.removeprefix(EVENTS).removesuffix(":*")
        write("gap", name, gap.since, gap.until, gap.lost, gap.reason)

    app: Worker[Any] = Worker(
        play.url,
        cluster=play.cluster,
        fleet="test",
        fleet_ttl=play.ttl,
        on_gap=on_gap,
        probe_interval=None,
        every_primary=play.kind == "events",
    )
    options: dict[str, Any] = {"recover": Recover(resume="test")} if play.resume else {}

    async def handle(message: Any) -> None:
        if play.seconds:
            await asyncio.sleep(play.seconds)
        name, number = message["channel"], message["data"].partition(" ")[0]
        if play.kind == "events":  # the message is the key's
            name, number = name.removeprefix(EVENTS).split(":")
        write("message", name, number, time.time())

    for name in play.names:
        if play.kind == "events":
            app.handle("pattern", f"{EVENTS}{name}:*")(handle)
        else:
            app.handle(play.kind, name, **options)(handle)

    @app.on_gain
    def on_gain(name: str) -> None:
        write("gain", name, time.time())

    @app.on_lose
    def on_lose(name: str) -> None:
        write("lose", name, time.time())

    return app


if "FLEET_TEST" in os.environ:
    app = build(msgspec.json.decode(os.environ["FLEET_TEST"], type=Play))
