"""``mailslot publish --history [N]``: an option whose number may be left out."""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

from typer.core import TyperCommand

from actors.redis.history.history import History

_OPTION = "--history"


class HistoryCommand(TyperCommand):
    """A command with the option: Typer has none that takes a value or no value."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments, with the number where it was left out."""
        return super().parse_args(ctx, with_number(args))


def with_number(args: list[str]) -> list[str]:
    """Return ``args``, in which each ``--history`` without a number has the default number."""
    end = args.index("--") if "--" in args else len(args)
    given = args[:end]
    return [
        f"{_OPTION}={History().maxlen}" if word == _OPTION and not after.isdecimal() else word
        for word, after in zip_longest(given, given[1:], fillvalue="")
    ] + args[end:]


def parsed_history(number: str) -> History:
    """Return the history that keeps ``number`` messages; ValueError if that is no such number."""
    if not number.isdecimal():
        raise ValueError(f"N is how many messages the history keeps, not {number!r}")
    return History(int(number))
