"""``make footprint``: what one consumer costs its servers and itself, a row for each case.

The table goes to standard output. Ends with 1 where mailslot costs more than it may, and says
where.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import msgspec

from actors.testing import find_binary
from tests.benchmarks.report import machine
from tests.footprint.figures import Figures
from tests.footprint.measure import cluster_of, measure
from tests.footprint.rows import CLIENTS, ROWS, Row, chosen, quick_rows
from tests.footprint.table import markdown, plain
from tests.footprint.verdict import excesses

# Seconds of a window and of peace before it, in the quick form.
_QUICK_WINDOW, _QUICK_WARM = 5.0, 1.5
# Seconds of peace where no message comes: after five of them a consumer asks less often.
_IDLE_WARM = 6.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what the command line says; return the process's exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if unknown := {*options.contestants} - {*CLIENTS}:
        parser.error(f"no such client: {', '.join(sorted(unknown))}; one of {', '.join(CLIENTS)}")
    rows = quick_rows() if options.quick and not options.rows else ROWS
    rows = chosen(rows, options.rows, options.contestants)
    if not rows:
        parser.error("no such row; --list shows them")
    if options.list:
        print(*(f"{row.place:<16}{row.client}" for row in rows), sep="\n")
        return 0
    begun = time.monotonic()
    print(" ".join(f"{name}={value}" for name, value in machine().items()))
    print(f"servers: {find_binary()}", end="\n\n")
    found = asyncio.run(_measure_all(rows, quick=options.quick))
    print(plain(found))
    if options.markdown is not None:
        options.markdown.write_text(markdown(found))
    if options.json is not None:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1))
    return _report(found, time.monotonic() - begun)


async def _measure_all(rows: Sequence[Row], *, quick: bool) -> list[Figures]:
    """Measure the rows, those of one size on one cluster."""
    found = []
    for nodes, of_one_size in groupby(rows, lambda row: row.nodes):
        async with cluster_of(nodes) as cluster:
            for row in of_one_size:
                print(f"{len(found) + 1}/{len(rows)} {row.place} {row.client}", file=sys.stderr)
                options = {"seconds": _QUICK_WINDOW, "warm": _QUICK_WARM} if quick else {}
                if not row.rate:
                    options["warm"] = _IDLE_WARM
                found.append(await measure(row, cluster, **options))
    return found


def _report(found: Sequence[Figures], seconds: float) -> int:
    """Print the verdict, and return the exit code."""
    over = excesses(found)
    print(f"\n{len(found)} rows in {seconds:.0f} s; mailslot ", end="")
    if over:
        print(f"is over its budget {len(over)} times:", *over, sep="\n  - ")
        return 1
    print("is within its budget in all of its rows")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make footprint", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="few rows (or those of --rows), and shorter windows"
    )
    parser.add_argument(
        "--rows",
        nargs="+",
        default=[],
        metavar="PLACE",
        help="nodes/channels/messages a second, and /r with replicas; '6/60/*' matches several",
    )
    parser.add_argument("--contestants", nargs="+", default=[], help=f"of {', '.join(CLIENTS)}")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table there, too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--list", action="store_true", help="show the rows and measure none")
    return parser


if __name__ == "__main__":
    sys.exit(main())
