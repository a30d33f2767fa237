"""``make faults``: plays the faults one after another and prints a row for each.

The table goes to standard output, what the library logs meanwhile to ``--log``, the figures as JSON
to ``--json``. Ends with 1 if one of the figures is not what it must be, and says which. How to read
the table: docs/faults.md.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from actors.testing.servers.binary import ServerBinary, path_binary, wheel_binary
from tests.faults.journal import Journal
from tests.faults.mass import mass
from tests.faults.mass_recovery import mass_recovery
from tests.faults.recovery_cut import recovery_cut
from tests.faults.results import HEADER, Result, complaints, result_of
from tests.faults.scenarios import FAULTS, runs_on
from tests.faults.theatre import Theatre

RATE = 3000.0
#: Rows of other kinds: faults with recovery alone, and 10,000 channels.
OTHERS = {"recovery_cut": recovery_cut, "mass": mass, "mass_recovery": mass_recovery}


def main(arguments: Sequence[str] | None = None) -> int:
    """Play what the command line says; return the process's exit code."""
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("faults", nargs="*", help=f"of {', '.join([*FAULTS, *OTHERS])}; all")
    parser.add_argument("--rate", type=float, default=RATE, help="messages a second (%(default)g)")
    parser.add_argument(
        "--history-rate",
        type=float,
        help="messages a second over 60 channels with recovery, beside --rate (over 20 channels, as"
        " many for each as for the others)",
    )
    parser.add_argument("--server", choices=("valkey", "redis"), default="valkey")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--log", type=Path, help="write what the library logs to this file")
    parser.add_argument("--repeat", type=int, default=1, help="how often each is played")
    options = parser.parse_args(arguments)
    unknown = set(options.faults) - {*FAULTS, *OTHERS}
    if unknown:
        parser.error(f"no such fault: {', '.join(sorted(unknown))}")
    binary = _binary(options.server)
    if binary is None:
        parser.error("no redis-server on PATH" if options.server == "redis" else "no valkey-server")
    names = options.faults or [*FAULTS, *OTHERS]
    with Journal(options.log) as journal:
        results = asyncio.run(play(names, binary, options, journal))
    if options.json is not None:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1))
    return report(results)


def _binary(name: str) -> ServerBinary | None:
    found = path_binary() if name == "redis" else wheel_binary()
    return found if found is not None and found.flavour == name else None


async def play(
    names: Sequence[str], binary: ServerBinary, options: argparse.Namespace, journal: Journal
) -> list[Result]:
    """Play faults and print their rows."""
    rate, repeat = options.rate, options.repeat
    print(f"{binary}, cluster-node-timeout 1500, 60 shard channels, {rate:g} messages a second\n")
    print(HEADER)
    results: list[Result] = []

    def note(result: Result) -> None:
        if result.complaints:
            result = msgspec.structs.replace(result, logged=journal.digest())
        results.append(result)
        print(result.row(), flush=True)

    async with Theatre(binary) as theatre:
        for fault in [FAULTS[name] for name in names if name in FAULTS for _ in range(repeat)]:
            if not runs_on(fault, binary):
                print(f"{fault.title:36} not on {binary.flavour}: it has no CLUSTER MIGRATESLOTS")
                continue
            await theatre.cluster(fault.shape)  # what it logs is no part of the fault
            journal.begin(fault.title)
            stage = await theatre.play(fault, rate, options.history_rate)
            note(result_of(fault, stage, complaints(fault, stage)))
        for line in theatre.not_played:
            print(f"played once more: {line}")
    for name in [name for name in names if name in OTHERS]:
        journal.begin(name)
        note(await OTHERS[name](binary))
    return results


def report(results: Sequence[Result]) -> int:
    """Print what is wrong, and return the exit code."""
    failed = [result for result in results if result.complaints]
    for result in failed:
        print(f"\n{result.title}:", *result.complaints, sep="\n  - ")
        print(f"  logged: {result.logged or 'nothing'} (--log FILE has all of it)")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
