"""The terminal: a live tree below the story, or plain lines where there is no terminal."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from examples.demo_parts.story import Line
from examples.demo_parts.view import Row
from supervisor.log import printable

if TYPE_CHECKING:
    from rich.console import JustifyMethod, RenderableType

__all__ = ["Display", "Fate", "Status", "make_display"]


@dataclass(frozen=True, slots=True)
class Status:
    """The state of the demo at one moment."""

    title: str
    seconds: float
    rows: list[Row]
    published: int
    rate: float
    delivered: int
    restarts: int
    gaps: int
    failures: int

    def totals(self) -> str:
        """Return the counters as one line."""
        return (
            f"published {self.published:,} ({self.rate:,.0f}/s)   delivered {self.delivered:,}   "
            f"restarts {self.restarts}   gaps {self.gaps}   failures {self.failures}"
        )


@dataclass(frozen=True, slots=True)
class Fate:
    """The result of one fault, a row of the table at the end."""

    fault: str
    what: str
    back: float
    gaps: int
    restarts: int
    lost: int
    recovering: int

    HEAD = (
        "fault",
        "back after",
        "gaps",
        "restarts",
        "lost",
        "with recovery",
        "what was done",
    )

    def cells(self) -> tuple[str, ...]:
        """Return the row as text."""
        back = f"{self.back:.2f} s"
        counts = (self.gaps, self.restarts, self.lost, self.recovering)
        return (self.fault, back, *map(str, counts), self.what)


#: From this many columns on there is room for why an actor last ended.
WIDE = 100


class Display(Protocol):
    """Shows the story."""

    def show(self, line: Line) -> None:
        """Show one line of the story."""

    def update(self, status: Status) -> None:
        """Show the state; called a few times a second."""

    def finish(self, status: Status, fates: list[Fate]) -> None:
        """Show the final state; after this only :func:`print` is used."""

    def close(self) -> None:
        """Restore the terminal."""


def make_display(*, plain: bool) -> Display:
    """Return the display for stdout: plain lines if it is no terminal or rich is missing."""
    if plain or not sys.stdout.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        return PlainDisplay()
    try:
        return RichDisplay()
    except ImportError:
        return PlainDisplay()


class PlainDisplay:
    """Lines, with a line of totals every other second."""

    EVERY = 2.0

    def __init__(self) -> None:
        self._next = self.EVERY

    def show(self, line: Line) -> None:
        """Print it."""
        gap = "\n" if line.sort == "fault" else ""
        _print(gap + printable(f"{line.seconds:5.1f} s  {_INDENTS.get(line.sort, '')}{line.text}"))

    def update(self, status: Status) -> None:
        """Print the totals, now and then."""
        if status.seconds >= self._next:
            self._next = status.seconds + self.EVERY
            _print(f"{status.seconds:5.1f} s  . {status.totals()}")

    def finish(self, status: Status, fates: list[Fate]) -> None:
        """Print the tree and the results of the faults."""
        _print(f"\nThe tree, {status.seconds:.0f} s after the start:\n")
        width = max(len(row.name) for row in status.rows)
        for row in status.rows:
            rate = "" if row.rate is None else f"{row.rate:,.0f}/s"
            restarts = f"restarts {row.restarts}" if row.restarts else ""
            line = f"  {row.name:<{width}}  {row.status:<10} {rate:>8}  {restarts}"
            _print(printable(line.rstrip()))
        _print("")
        _print_table([Fate.HEAD, *(fate.cells() for fate in fates)])
        _print("")

    def close(self) -> None:
        """Do nothing: plain lines change no terminal state."""


_INDENTS = {"fault": "FAULT ", "event": "  ", "good": "  ", "log": "  log: ", "bad": "  !! "}


def _print_table(rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        first, *numbers, what = row
        cells = [first.ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(numbers, widths[1:-1], strict=True)]
        _print("  " + "   ".join([*cells, what]))


def _print(text: str) -> None:
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # The reader of stdout, `head` for instance, has ended: discard the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class RichDisplay:
    """A live tree, with the story scrolling above it."""

    STYLES = {  # noqa: RUF012 - a table
        "title": "bold",
        "fault": "bold yellow",
        "good": "green",
        "bad": "bold red",
        "event": "",
        "log": "dim",
    }

    def __init__(self) -> None:
        from rich.console import Console  # noqa: PLC0415 - an extra
        from rich.live import Live  # noqa: PLC0415

        self._console = Console(highlight=False)
        self._live = Live(
            console=self._console, auto_refresh=False, vertical_overflow="crop", transient=True
        )
        self._live.start()

    def show(self, line: Line) -> None:
        """Print it above the tree."""
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        # Two columns, so that a long line continues below its own beginning.
        row = Table.grid(padding=(0, 2, 0, 0))
        row.add_column(no_wrap=True)
        row.add_column()
        style = self.STYLES[line.sort]
        text = Text(printable(_INDENTS.get(line.sort, "") + line.text), style=style)
        row.add_row(Text(f"{line.seconds:5.1f} s", style=style or "dim"), text)
        self._console.print(row)

    def update(self, status: Status) -> None:
        """Draw the tree anew."""
        self._live.update(_frame(status, self._console.width), refresh=True)

    def finish(self, status: Status, fates: list[Fate]) -> None:
        """Leave the last tree and the table of faults behind."""
        from rich.table import Table  # noqa: PLC0415

        self._live.stop()
        self._console.print(_frame(status, self._console.width))
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        *heads, what = Fate.HEAD
        for position, head in enumerate(heads):
            width = max(len(row[position]) for row in [Fate.HEAD, *(f.cells() for f in fates)])
            justify: JustifyMethod = "right" if position else "left"
            table.add_column(head, justify=justify, no_wrap=True, min_width=width)
        table.add_column(what)
        for fate in fates:
            table.add_row(*fate.cells())
        self._console.print("")
        self._console.print(table)
        self._console.print("")

    def close(self) -> None:
        """Stop drawing; the cursor is back."""
        self._live.stop()


def _frame(status: Status, width: int) -> RenderableType:
    from rich.console import Group  # noqa: PLC0415
    from rich.rule import Rule  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(
        box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", expand=width >= WIDE
    )
    table.add_column("actor", no_wrap=True, min_width=24)
    table.add_column("state", no_wrap=True, min_width=12)
    for name in ("msgs/s", "waiting", "restarts"):
        table.add_column(name, justify="right", no_wrap=True, min_width=8)
    noted = width >= WIDE
    if noted:
        table.add_column("", no_wrap=True, overflow="ellipsis", style="dim", ratio=1)
    for row in status.rows:
        style = "" if row.status == "running" else "bold red"
        cells: list[str | Text] = [
            Text(printable(row.name)),
            Text(row.status, style=style or "green"),
            "" if row.rate is None else f"{row.rate:,.0f}",
            str(row.mailbox or ""),
            Text(str(row.restarts or ""), style="yellow"),
        ]
        if noted:
            cells.append(Text(printable(row.note)))
        table.add_row(*cells)
    title = f"{status.title}  {status.seconds:.1f} s"
    return Group(Rule(title, style="dim"), table, Text(status.totals(), style="bold"))
