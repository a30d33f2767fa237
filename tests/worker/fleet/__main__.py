"""Run simulated worlds: ``--seed 17`` shows every step of one, ``--runs 1000`` runs many."""

from __future__ import annotations

import argparse
import time

from tests.worker.fleet.faults import run_with_faults
from tests.worker.fleet.world import Broken


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.worker.fleet", description=__doc__)
    parser.add_argument("--seed", type=int, help="show every step of this run")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default: 0)")
    parser.add_argument("--runs", type=int, default=200, help="how many seeds (default: 200)")
    options = parser.parse_args()
    if options.seed is not None:
        run_with_faults(options.seed, on_trace=print)
        return 0
    began, broken = time.monotonic(), 0
    for seed in range(options.first, options.first + options.runs):
        try:
            run_with_faults(seed)
        except Broken as error:
            broken += 1
            print(error)
    print(f"{options.runs} runs, {broken} broken, {time.monotonic() - began:.0f} s")
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
