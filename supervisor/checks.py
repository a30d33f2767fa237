"""Checks of what users give: each problem of an option is a sentence with the option's name."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Any


def is_number(value: Any) -> bool:
    """Return whether ``value`` is an int or a float; True and False are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_whole(value: Any) -> bool:
    """Return whether ``value`` is an int; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def problems_of_seconds(
    name: str, value: Any, *, zero: bool = False, optional: bool = False
) -> Iterator[str]:
    """Yield what is wrong with a time.

    Args:
        name: the option's.
        value: what the user gave.
        zero: whether it may be 0.
        optional: whether it may be None.
    """
    if value is None and optional:
        return
    others = ", or None" if optional else ""
    if not is_number(value):
        yield f"{name} must be a number of seconds{others}, not {value!r}"
    elif not (value >= 0 if zero else value > 0):
        least = "0 or more" if zero else "more than 0"
        yield f"{name} must be {least} seconds{others}, not {value}"


def problems_of_count(
    name: str, value: Any, *, least: int, optional: bool = False
) -> Iterator[str]:
    """Yield what is wrong with a number of things, of which there must be ``least``."""
    if value is None and optional:
        return
    others = ", or None" if optional else ""
    if not is_whole(value):
        yield f"{name} must be a whole number{others}, not {value!r}"
    elif value < least:
        yield f"{name} must be {least} or more{others}, not {value}"


def no_option(owner: str, name: str, known: Iterable[str]) -> str:
    """Return that ``owner`` has no option ``name``, and which one may be meant."""
    close = get_close_matches(name, known, 1)
    return f"{owner} has no option {name!r}" + (f": is {close[0]!r} meant?" if close else "")


def problems_of_functions(**functions: Any) -> Iterator[str]:
    """Yield what is wrong with functions of the user's, by the names of their options."""
    for name, function in functions.items():
        if function is not None and not callable(function):
            yield f"{name} must be a function, or None, not {function!r}"


def require_loop(loop: asyncio.AbstractEventLoop, what: Any) -> None:
    """Raise RuntimeError unless the caller runs in ``loop``, to which ``what`` belongs."""
    try:
        running: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
    except RuntimeError:
        running = None
    if running is not loop:
        raise RuntimeError(
            f"{what} belongs to another event loop: use it only in the loop in which it was"
            " entered; from another thread, with asyncio.run_coroutine_threadsafe(..., loop)"
        )
