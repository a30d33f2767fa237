"""The screen of ``mailslot top``, as something that rich prints."""

from __future__ import annotations

import time

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from actors.worker.cli.top_state import Look, Row, Sort, View, tree_lines
from actors.worker.observe.snapshot import FailureNote, FleetState
from supervisor.log import printable

_HELP = (
    "q quit  ↑↓ choose  enter detail  t tree  sort by: n name  r rate  d waiting  a oldest"
    "  f failed  s restarts"
)
# Lines that are not rows: header, column names, gaps and failures, help.
_AROUND = 16
_RECENT = 4


def rendered(look: Look, view: View, *, height: int, problem: str) -> RenderableType:
    """Return the screen for a terminal of ``height`` lines.

    ``problem`` says why the worker did not answer just now; it is empty if the worker did.
    """
    room = max(3, height - _AROUND)
    if view.tree:
        body: RenderableType = _tree(look, view, room)
    elif view.detail and (row := look.row(view.chosen)) is not None:
        body = _detail(look, row)
    else:
        body = _handlers(look, view, room)
    return Group(
        _head(look, problem), body, _recent(look), Text(_HELP, style="dim", overflow="ellipsis")
    )


def _head(look: Look, problem: str) -> Text:
    stats, snapshots = look.stats, look.stats.worker.snapshots
    text = _text(f"{stats.worker.name}  ", "bold")
    if problem:
        text.append(_text(f"no answer: {problem}", "bold red"))
        return text
    good = stats.live.ok and stats.ready.ok
    degraded = stats.ready.degraded
    word = "degraded" if degraded else "ready"
    if not good:
        word = "not ready" if stats.live.ok else "not live"
    style = "bold red" if not good else "bold yellow" if degraded else "bold green"
    text.append(word, style=style)
    rate = sum(row.rate for row in look.rows)
    counts = {
        name: sum(getattr(one, name) for one in snapshots)
        for name in ("received", "failed", "gaps", "restarts", "reconnects")
    }
    shown = "  ".join(f"{name} {count}" for name, count in counts.items())
    recoveries = [of for one in snapshots for of in one.recoveries]
    if recoveries:
        for name in ("recovered", "lost", "unknown", "behind"):
            shown += f"  {name} {sum(getattr(one, name) for one in recoveries)}"
    text.append(f"  {rate:.0f}/s  {shown}", style="not bold")
    for one in snapshots:
        if one.fleet is not None:
            text.append("\n  ").append(_text(_fleet_line(one.fleet)))
    if stats.worker.processes:
        up = sum(process.pid is not None for process in stats.worker.processes)
        text.append(f"  processes {up}/{stats.worker.expected}")
    # What makes a degraded worker unready is in both lists.
    for reason in list(dict.fromkeys([*stats.live.reasons, *stats.ready.reasons, *degraded]))[:3]:
        text.append("\n  ").append(_text(reason, "red"))
    for warning in stats.ready.warnings[:3]:
        text.append("\n  ").append(_text(warning, "yellow"))
    return text


def _fleet_line(of: FleetState) -> str:
    place = "in the view" if of.is_in_view else f"not in the view ({of.phase})"
    return (
        f"fleet {of.fleet}: {place} {of.view} of {len(of.members)} members,"
        f" owns {len(of.owns)} of {of.names}"
    )


def _handlers(look: Look, view: View, room: int) -> Table:
    table = Table(expand=True, box=None, pad_edge=False)
    heads = {
        "handler": Sort.NAME,
        "per second": Sort.RATE,
        "handled": None,
        "failed": Sort.FAILED,
        "waiting": Sort.DEPTH,
        "oldest": Sort.AGE,
        "shed": None,
        "restarts": Sort.RESTARTS,
        "breaker": None,
    }
    for name, sort in heads.items():
        chosen = "bold underline" if sort is view.sort else "bold"
        table.add_column(
            name, header_style=chosen, justify="left" if sort is Sort.NAME else "right"
        )
    several = len(look.stats.worker.snapshots) > 1
    rows = look.sorted(view.sort)
    cursor = view.at([row.key for row in rows])
    first = _first(cursor, room)
    for number, row in enumerate(rows[first : first + room], first):
        style = "reverse" if number == cursor else ""
        table.add_row(*map(_text, _cells(row, several)), style=style)
    return table


def _cells(row: Row, several: bool) -> list[str]:
    handler = row.handler
    return [
        f"{row.process}: {handler.name}" if several else handler.name,
        f"{row.rate:.1f}",
        str(handler.handled),
        str(handler.failed),
        str(handler.depth),
        f"{handler.age:.1f} s" if handler.depth else "",
        str(handler.shed),
        str(handler.restarts),
        # Empty while it is closed, so that an open one stands out.
        "paused" if handler.paused else "" if handler.breaker == "closed" else handler.breaker,
    ]


def _first(cursor: int, room: int) -> int:
    return max(0, cursor - room + 1)


def _tree(look: Look, view: View, room: int) -> Text:
    text = Text(no_wrap=True, overflow="ellipsis")
    lines = list(tree_lines(look.stats.worker.tree))
    cursor = view.at(range(len(lines)))
    first = _first(cursor, room)
    for number, (indent, node) in enumerate(lines[first : first + room], first):
        detail = " ".join(f"{key}={value}" for key, value in node.detail.items())
        restarts = f" restarts={node.restarts}" if node.restarts else ""
        style = "reverse" if number == cursor else ""
        line = f"{indent}{node.id} {node.status}{restarts} {detail}"
        text.append(_text(line, style)).append("\n")
    return text


def _detail(look: Look, row: Row) -> Panel:
    handler = row.handler
    lines = [
        f"path       {handler.path}",
        f"process    {row.process}",
        f"status     {handler.status}, {handler.restarts} restarts",
        f"handled    {handler.handled}, {row.rate:.1f} per second",
        f"waiting    {handler.depth}, the oldest for {handler.age:.1f} s; {handler.shed} shed",
        f"failed     {handler.failed}",
        f"breaker    {handler.breaker}",
    ]
    if (failures := handler.failures) is not None:
        first, last = _clock(failures.first_at), _clock(failures.last_at)
        lines += [
            f"first      {first} {failures.first_error}",
            f"last       {last} {failures.last_error}, {failures.count} in all",
        ]
    lines += [
        f"gap        {gap.until - gap.since:.2f} s until {_clock(gap.until)}: {gap.reason}"
        for gap in look.gaps(row)[:_RECENT]
    ]
    lines += [
        f"failure    {_clock(note.at)} {_failure(note)}" for note in look.failures(row)[:_RECENT]
    ]
    text = Text("\n".join(map(printable, lines)), overflow="fold")
    return Panel(text, title=_text(handler.name))


def _recent(look: Look) -> Text:
    text = Text(no_wrap=True, overflow="ellipsis")
    for gap in look.gaps()[:_RECENT]:
        seconds = gap.until - gap.since
        line = f"gap {_clock(gap.until)} {gap.name}: {seconds:.2f} s, {gap.reason}"
        text.append(_text(line, "yellow")).append("\n")
    for note in look.failures()[:_RECENT]:
        line = f"failure {_clock(note.at)} {note.handler}: {_failure(note)}"
        text.append(_text(line, "red")).append("\n")
    return text


def _failure(note: FailureNote) -> str:
    if note.count == 1:
        return note.error
    return f"{note.count} times since {_clock(note.first_at)}, {note.error}"


def _text(text: str, style: str = "") -> Text:
    """Return ``text`` for the screen as it is: its control characters and its markup do nothing."""
    return Text(printable(text), style=style)


def _clock(unix: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(unix))
