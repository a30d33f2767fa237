"""``make soak``: two workers under random faults for ten minutes, a row for each fault.

Ends with 1 if something was violated: a message twice, out of order, or lost outside of a gap; a
channel that is not live again; memory, tasks or file descriptors that grow. What the columns mean:
docs/reliability.md.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

from actors.testing.servers.binary import ServerBinary, path_binary, wheel_binary
from tests.faults.journal import Journal
from tests.soak.cluster_side import ClusterSide
from tests.soak.results import HEADER, Round
from tests.soak.server_side import ServerSide
from tests.soak.vitals import Vitals, growth, read_vitals

__all__ = ["main", "soak"]

# Seconds for a round, which has a fault on each side, and its end.
_ROUND_LIMIT = 180.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as the command line says; return the process's exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=1000.0, help="messages a second, cluster")
    parser.add_argument("--server", choices=("valkey", "redis"), default="valkey")
    parser.add_argument("--log", type=Path, help="write what the library logs to this file")
    options = parser.parse_args(arguments)
    binary = path_binary() if options.server == "redis" else wheel_binary()
    if binary is None or binary.flavour != options.server:
        parser.error(f"no {options.server} server here")
    print(f"{binary}, seed {options.seed}, {options.seconds:g} s\n{HEADER}", flush=True)
    with Journal(options.log) as journal:
        wrongs = asyncio.run(soak(binary, options.seed, options.seconds, options.rate, journal))
    for wrong in wrongs:
        print(f"VIOLATED: {wrong}")
    if wrongs:
        print(f"again: python -m tests.soak --seed {options.seed} --seconds {options.seconds:g}")
    return 1 if wrongs else 0


async def soak(
    binary: ServerBinary, seed: int, seconds: float, rate: float, journal: Journal
) -> list[str]:
    """Play rounds until the time is up; return what was violated."""
    rng = Random(seed)
    readings: list[Vitals] = []
    wrongs: list[str] = []
    rounds: list[Round] = []
    async with ClusterSide(binary, rate) as cluster, ServerSide(binary, rate / 4) as server:
        sides = (cluster, server)
        until = time.monotonic() + seconds
        while not readings or time.monotonic() < until:
            number = len(readings) + 1
            journal.begin(f"round {number}")
            async with asyncio.timeout(_ROUND_LIMIT):
                played = await asyncio.gather(*(side.play(Random(rng.random())) for side in sides))
            for one in played:
                print(one.row(number), flush=True)
                wrongs += [f"round {number}, {one.worker}, {one.fault}: {w}" for w in one.wrongs]
            rounds += played
            readings.append(read_vitals())
    _sum_up(rounds, readings)
    return wrongs + growth(readings)


def _sum_up(rounds: Sequence[Round], readings: Sequence[Vitals]) -> None:
    verdicts = [one.verdict for one in rounds]
    accepted, lost = (sum(v.accepted for v in verdicts), sum(len(v.lost) for v in verdicts))
    print(
        f"\n{len(readings)} rounds: {accepted} messages accepted, {lost} lost, all in gaps:", end=""
    )
    print(f" {'no' if any(v.unreported for v in verdicts) else 'yes'}")
    for what, one in (("first", readings[0]), ("last", readings[-1])):
        memory = one.memory / 2**20
        print(f"{what} round: {one.tasks} tasks, {one.files} descriptors, {memory:.0f} MiB")


if __name__ == "__main__":
    sys.exit(main())
