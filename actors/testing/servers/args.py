"""Configuration of a server as words of its command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

ServerArgs: TypeAlias = Sequence[str] | Mapping[str, object]


def as_words(args: ServerArgs) -> list[str]:
    """Return ``args`` as the words of a command line: ``{"maxclients": 10}`` is two."""
    if isinstance(args, str):
        raise TypeError(f"args is a list of words or a mapping, not the string {args!r}")
    if not isinstance(args, Mapping):
        return list(args)
    words: list[str] = []
    for name, value in args.items():
        words.append("--" + name.replace("_", "-"))
        if isinstance(value, bool):
            words.append("yes" if value else "no")
        elif isinstance(value, (list, tuple)):
            words.extend(map(str, value))
        else:
            words.append(str(value))
    return words
