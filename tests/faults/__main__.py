"""``make faults``: plays the faults one after another and prints a row for each.

Also writes the figures as JSON (``--json``), and ends with 1 if one of them is not what it must be.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec

from actors.testing.binary import ServerBinary, path_binary, wheel_binary
from actors.testing.cluster import EmbeddedCluster
from tests.faults.mass import mass
from tests.faults.results import HEADER, Result, complaints, result_of
from tests.faults.scenarios import FAULTS, Fault, runs_on
from tests.faults.stage import Stage

RATE = 3000.0


def main() -> int:
    """Play what the command line says."""
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("faults", nargs="*", help=f"of {', '.join([*FAULTS, 'mass'])}; all")
    parser.add_argument("--rate", type=float, default=RATE, help="messages a second (%(default)g)")
    parser.add_argument("--server", choices=("valkey", "redis"), default="valkey")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--repeat", type=int, default=1, help="how often each is played")
    options = parser.parse_args()
    unknown = set(options.faults) - {*FAULTS, "mass"}
    if unknown:
        parser.error(f"no such fault: {', '.join(sorted(unknown))}")
    binary = _binary(options.server)
    if binary is None:
        parser.error("no redis-server on PATH" if options.server == "redis" else "no valkey-server")
    names = options.faults or [*FAULTS, "mass"]
    results = asyncio.run(play(names, binary, options.rate, options.repeat))
    if options.json is not None:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1))
    failed = [result for result in results if result.complaints]
    for result in failed:
        print(f"\n{result.title}:", *result.complaints, sep="\n  - ")
    return 1 if failed else 0


def _binary(name: str) -> ServerBinary | None:
    found = path_binary() if name == "redis" else wheel_binary()
    return found if found is not None and found.flavour == name else None


async def play(names: list[str], binary: ServerBinary, rate: float, repeat: int) -> list[Result]:
    """Play faults, on one cluster as long as they leave it in shape."""
    print(f"{binary}, cluster-node-timeout 1500, 60 shard channels, {rate:g} messages a second\n")
    print(HEADER)
    results: list[Result] = []
    async with AsyncExitStack() as stack:
        cluster: EmbeddedCluster | None = None
        shape: tuple[int, int] | None = None
        for fault in [FAULTS[name] for name in names if name != "mass" for _ in range(repeat)]:
            if cluster is None or shape != fault.shape:
                await stack.aclose()
                shape = fault.shape
                cluster = await stack.enter_async_context(EmbeddedCluster(*shape, binary=binary))
            if not runs_on(fault, cluster.nodes[0]):
                print(f"{fault.title:36} not on {binary.flavour}: it has no CLUSTER MIGRATESLOTS")
                continue
            result = await _play_one(fault, cluster, rate)
            results.append(result)
            print(result.row(), flush=True)
            if fault.spoils:
                cluster = None
            else:
                await cluster.settled()
        await stack.aclose()
    if "mass" in names:
        results.append(await mass(binary))
        print(results[-1].row(), flush=True)
    return results


async def _play_one(fault: Fault, cluster: EmbeddedCluster, rate: float) -> Result:
    async with Stage(
        cluster, rate, read_from_replicas=fault.replicas, proxied=fault.proxied
    ) as stage:
        await stage.play(fault.play)
        return result_of(fault, stage, complaints(fault, stage))


if __name__ == "__main__":
    sys.exit(main())
