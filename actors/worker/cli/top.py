"""``mailslot top``: shows a running worker, through its HTTP port (extra ``cli``)."""

from __future__ import annotations

import http.client
import os
import select
import sys
import termios
import time
import tty
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
from rich.console import Console
from rich.live import Live

from actors.worker.cli.top_state import Look, View, keys_of, pressed, tree_lines
from actors.worker.cli.top_view import rendered
from actors.worker.http.endpoints import Stats
from actors.worker.run.exit_codes import ConnectFailedError, ExitCode

_decoder = msgspec.json.Decoder(Stats)


def run_top(address: tuple[str, int], interval: float) -> int:
    """Show the worker at ``address`` until the user quits; without a terminal print one view.

    Raises:
        ConnectFailedError: no worker answers at the start.
    """
    look = _look(address, None)
    if isinstance(look, str):
        raise ConnectFailedError(f"no worker answers at {address[0]}:{address[1]}: {look}")
    console = Console()
    if not (sys.stdin.isatty() and console.is_terminal):
        console.print(rendered(look, View(), height=10_000, problem=""))
        return ExitCode.DRAINED
    with _single_keys(), Live(console=console, screen=True, auto_refresh=False) as live:
        _watch(address, interval, look, live)
    return ExitCode.DRAINED


def _watch(address: tuple[str, int], interval: float, look: Look, live: Live) -> None:
    view, problem = View(), ""
    due = time.monotonic() + interval
    while not view.done:
        height = live.console.size.height
        live.update(rendered(look, view, height=height, problem=problem), refresh=True)
        for key in _read_keys(max(0.0, due - time.monotonic())):
            view = pressed(view, key, _choices(look, view))
        if time.monotonic() >= due:
            due = time.monotonic() + interval
            seen = _look(address, look)
            problem = seen if isinstance(seen, str) else ""
            look = look if isinstance(seen, str) else seen


def _choices(look: Look, view: View) -> Sequence[Any]:
    if view.tree:  # by number: the trees of several processes have the same paths
        return range(sum(1 for _ in tree_lines(look.stats.worker.tree)))
    return [row.key for row in look.sorted(view.sort)]


def _look(address: tuple[str, int], before: Look | None) -> Look | str:
    """Ask for /stats once; return the answer, or in words why there is none."""
    connection = http.client.HTTPConnection(*address, timeout=5)
    try:
        connection.request("GET", "/stats")
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    finally:
        connection.close()
    if response.status != 200:
        return f"it answers {response.status}"
    try:
        return Look.of(_decoder.decode(body), before)
    except msgspec.DecodeError as error:
        return f"it is no worker: {error}"


def _read_keys(timeout: float) -> list[str]:
    ready, _, _ = select.select([sys.stdin], [], [], timeout)
    if not ready:
        return []
    text = os.read(sys.stdin.fileno(), 1024).decode(errors="ignore")
    return keys_of(text) or ["q"]  # an empty read: the terminal is closed


@contextmanager
def _single_keys() -> Iterator[None]:
    """Have the terminal pass on each key at once."""
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    tty.setcbreak(fd)
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
