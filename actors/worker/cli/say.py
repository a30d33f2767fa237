"""What the command says beside its output: sentences to stderr."""

from __future__ import annotations

import sys

from supervisor.log import printable


def say(sentence: str) -> None:
    """Write one line to stderr, control characters escaped.

    The line is one write: lines of several processes that share stderr stay whole.
    """
    sys.stderr.write(f"mailslot: {printable(sentence)}\n")
    sys.stderr.flush()
