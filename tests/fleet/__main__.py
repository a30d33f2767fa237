"""Play faults on fleets of real processes, and print what became of the messages.

Each fault is played on one server and on a cluster of three primaries and three replicas, at 60
channels and 2,000 messages a second.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from actors.testing.clusters.cluster import EmbeddedCluster
from actors.testing.servers.server import EmbeddedServer
from tests.fleet.app import Play
from tests.fleet.faults import FAULTS, Fault
from tests.fleet.stage import fleet, load, verdict

_CHANNELS, _RATE = 60, 2000


@asynccontextmanager
async def stage(where: str, fault: Fault) -> AsyncIterator[tuple[Play, Any]]:
    """Yield what a fleet consumes, and the servers."""
    args = ["--notify-keyspace-events", "K$"] if fault.kind == "events" else []
    args += ["--appendonly", "yes"] if fault.persists else []
    server = EmbeddedCluster(3, 1, args=args) if where == "cluster" else EmbeddedServer(args=args)
    with tempfile.TemporaryDirectory() as folder:
        async with server:
            is_cluster = where == "cluster"
            play = Play(
                server.url,
                folder,
                [f"name-{number}" for number in range(_CHANNELS)],
                kind=fault.kind or ("shard_channel" if is_cluster else "channel"),
                cluster=is_cluster,
                resume=fault.resume,
                ttl=fault.ttl,
            )
            yield play, server


async def play_fault(where: str, name: str, rate: int) -> str:
    """Play one fault; return a row of the table."""
    fault = FAULTS[name]
    async with (
        stage(where, fault) as (play, servers),
        fleet(play, fault.members, servers) as members,
    ):
        async with load(play, rate) as publisher:
            await asyncio.sleep(1)
            begun = time.monotonic()
            await fault.play(members)
            took = time.monotonic() - begun
            await asyncio.sleep(1)
        found = await verdict(play, publisher.published)
    return (
        f"{name:<34} {where:<8} {found.published:>9} {len(found.lost):>6} {len(found.untold):>7}"
        f" {found.twice:>6} {found.longest:>8.2f} {took:>7.1f}"
    )


async def main() -> int:
    """Play what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.fleet", description=__doc__)
    parser.add_argument("faults", nargs="*", help=f"of {', '.join(FAULTS)}; none: all")
    parser.add_argument("--on", choices=["server", "cluster"], help="one of the two alone")
    parser.add_argument("--rate", type=int, default=_RATE, help="messages a second")
    options = parser.parse_args()
    if unknown := [name for name in options.faults if name not in FAULTS]:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(FAULTS)}")
    print(
        f"{'fault':<34} {'on':<8} {'published':>9} {'lost':>6} {'untold':>7} {'twice':>6}"
        f" {'pause s':>8} {'took s':>7}",
        flush=True,
    )
    for name in options.faults or FAULTS:
        places = {"server", "cluster"} & {options.on or "server", options.on or "cluster"}
        for where in sorted(places, reverse=True):
            if FAULTS[name].only not in (None, where):
                continue
            print(await play_fault(where, name, options.rate), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
