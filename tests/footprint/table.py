"""Figures as a table: for a terminal, and in Markdown. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tests.footprint.figures import Figures, NodeFigures

__all__ = ["HEAD", "cells", "footnotes", "markdown", "plain"]

HEAD: Final = (
    "client",
    "nodes",
    "reads from",
    "channels",
    "messages/s",
    "received/s",
    "CPU ms/s",
    "connections",
    "kB/s to nodes",
    "kB/s from nodes",
    "commands/s",
    "to a primary",
    "to a replica",
    "by name",
)
# Columns of words; all others are of numbers, and stand to the right.
_WORDS: Final = frozenset({"client", "reads from", "by name"})


def cells(one: Figures, notes: Sequence[str]) -> list[str]:
    """Return a row as text; a footnote in place of figures that there are none of."""
    row = one.row
    first = [
        row.client,
        str(row.nodes),
        "replicas" if row.replicas else "primaries",
        f"{row.channels:,}",
        f"{row.rate:,}",
    ]
    if one.missing:
        mark = f"[{notes.index(one.missing) + 1}]"
        return [*first, mark, *[""] * (len(HEAD) - len(first) - 1)]
    return [
        *first,
        f"{one.received:,.0f}",
        f"{one.cpu_ms:,.2f}",
        str(one.connections),
        f"{one.bytes_in / 1000:,.2f}",
        f"{one.bytes_out / 1000:,.1f}",
        f"{one.rate:,.1f}",
        _span([node for node in one.nodes if node.primary]),
        _span([node for node in one.nodes if not node.primary]),
        ", ".join(f"{name} {rate:,.1f}" for name, rate in one.commands.items()) or "none",
    ]


def _span(nodes: Sequence[NodeFigures]) -> str:
    """Return the least and the most that one of the nodes gets."""
    rates = [f"{node.rate:,.1f}" for node in sorted(nodes, key=lambda node: node.rate)]
    if not rates:
        return ""
    return rates[0] if rates[0] == rates[-1] else f"{rates[0]} to {rates[-1]}"


def footnotes(all_figures: Sequence[Figures]) -> list[str]:
    """Return why rows have no figures, each reason once."""
    return list(dict.fromkeys(one.missing for one in all_figures if one.missing))


def plain(all_figures: Sequence[Figures]) -> str:
    """Return the table for a terminal."""
    notes = footnotes(all_figures)
    lines = [list(HEAD), *(cells(one, notes) for one in all_figures)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    text = [
        "  ".join(
            f"{cell:{'<' if name in _WORDS else '>'}{width}}"
            for name, cell, width in zip(HEAD, line, widths, strict=True)
        ).rstrip()
        for line in lines
    ]
    return "\n".join([*text, *_notes(notes)])


def markdown(all_figures: Sequence[Figures]) -> str:
    """Return the table in Markdown."""
    notes = footnotes(all_figures)
    lines = [list(HEAD), ["---" if name in _WORDS else "--:" for name in HEAD]]
    lines += [cells(one, notes) for one in all_figures]
    # A bar would end the cell.
    text = ["| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines]
    return "\n".join([*text, *(f"\n{note}" for note in _notes(notes))]) + "\n"


def _notes(notes: Sequence[str]) -> list[str]:
    return [f"[{number}] {note}" for number, note in enumerate(notes, 1)]
