"""From the replies of servers to what the clients' methods return."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def given(argument: str | bytes | None) -> tuple[str | bytes, ...]:
    """Return an optional argument of a command: none, or one."""
    return () if argument is None else (argument,)


def count(reply: Any) -> int:
    """Return a number; a client with noreply gets None instead of a reply."""
    return 0 if reply is None else int(reply)


def names(reply: Any) -> set[Any]:
    """Return the names in a list."""
    return set(reply or ())


def pairs(reply: Any) -> dict[Any, int]:
    """Return the names and counts in a reply to NUMSUB: a map, or a flat list of pairs."""
    if isinstance(reply, Mapping):
        return dict(reply)
    flat = iter(reply or ())
    return dict(zip(flat, flat, strict=True))
