"""``python -m tests.benchmarks``: what ``make bench`` and ``make bench-quick`` run."""

from __future__ import annotations

import argparse
import fnmatch
import sys
import time
from pathlib import Path

import msgspec

from tests.benchmarks.figures import Figures
from tests.benchmarks.gate import TARGETS, judge
from tests.benchmarks.report import Printer, as_json, machine, table_of
from tests.benchmarks.runner import play, quick_form
from tests.benchmarks.scenarios import SCENARIOS, Scenario


def main() -> int:
    """Run what was asked for; 1 where a target was missed."""
    arguments = _parser().parse_args()
    if arguments.list:
        for scenario in SCENARIOS:
            print(f"{scenario.name:<24}{scenario.title}")
        return 0
    chosen = _chosen(arguments.scenarios)
    if arguments.quick:
        chosen = [quick_form(scenario) for scenario in chosen if scenario.quick]
    if not chosen:
        print(f"no scenario is called {arguments.scenarios}; --list shows them", file=sys.stderr)
        return 2
    begun = time.monotonic()
    printer = Printer()
    print(" ".join(f"{name}={value}" for name, value in machine().items()))
    figures: dict[str, Figures] = {}
    for scenario in chosen:
        if arguments.rounds:
            scenario = msgspec.structs.replace(scenario, rounds=arguments.rounds)
        figures[scenario.name] = play(scenario, printer.progress)
        printer.table(scenario.title, *table_of(scenario, figures[scenario.name]))
    verdicts = judge([one for one in TARGETS if one.scenario in figures], figures)
    if verdicts:
        printer.verdicts(verdicts)
    if arguments.json:
        Path(arguments.json).write_bytes(as_json(figures, verdicts))
        print(f"all values: {arguments.json}")
    print(f"{time.monotonic() - begun:.0f} s")
    return int(any(one.met is False for one in verdicts))


def _chosen(patterns: list[str]) -> list[Scenario]:
    if not patterns:
        return SCENARIOS
    return [s for s in SCENARIOS if any(fnmatch.fnmatch(s.name, one) for one in patterns)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description="Mailslot beside the bare loop and other clients, on one machine in one run.",
    )
    parser.add_argument("scenarios", nargs="*", help="names, * matches anything; default: all")
    parser.add_argument("--quick", action="store_true", help="less of everything")
    parser.add_argument("--rounds", type=int, help="rounds a scenario")
    parser.add_argument("--json", metavar="FILE", help="write all values there")
    parser.add_argument("--list", action="store_true", help="show the scenarios")
    return parser


if __name__ == "__main__":
    sys.exit(main())
