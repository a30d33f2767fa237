"""``make fuzz``: plays each part for a share of the time and prints a line for it.

Ends with 1 after a fault, and says how to play its step again. What is tried and how to read
the lines: docs/reliability.md.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from tests.fuzz.parts import PARTS, run


def main(arguments: Sequence[str] | None = None) -> int:
    """Play what the command line says; return the process's exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=240.0, help="for all parts together")
    parser.add_argument("--step", help="play this one step of one part")
    parser.add_argument("--verbose", action="store_true", help="show what the library logs")
    options = parser.parse_args(arguments)
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    if options.step is not None and len(options.parts) != 1:
        parser.error("--step is a step of one part: name the part")
    if not options.verbose:
        logging.getLogger("mailslot").propagate = False
        logging.getLogger("mailslot").addHandler(logging.NullHandler())
    names = options.parts or list(PARTS)
    failed = False
    for name in names:
        judge = run(name, options.seed, options.seconds / len(names), options.step)
        failed = failed or bool(judge.faults)
        print(judge.row(), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
