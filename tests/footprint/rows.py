"""What is measured: which client, on how many nodes, with how many channels and messages."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from typing import Final

import msgspec

__all__ = ["CLIENTS", "MAILSLOT", "ROWS", "Row", "chosen", "quick_rows", "refusal"]

MAILSLOT: Final = "mailslot"
COREDIS: Final = "coredis"
REDIS_PY: Final = "redis-py"
GLIDE: Final = "valkey-glide"

#: Clients, and their modules in ``contestants``.
CLIENTS: Final = {
    MAILSLOT: "mailslot",
    COREDIS: "coredis_pubsub",
    REDIS_PY: "redispy",
    GLIDE: "glide_pubsub",
}

CHANNELS: Final = (0, 1, 60, 1000)
RATES: Final = (0, 10, 1000, 3000)


class Row(msgspec.Struct, frozen=True):
    """A row of the table.

    Attributes:
        client: who consumes.
        nodes: of the cluster, half of them replicas.
        channels: shard channels that it subscribes to.
        rate: messages a second in all.
        replicas: whether it reads from replicas.
    """

    client: str
    nodes: int
    channels: int
    rate: int
    replicas: bool = False

    @property
    def place(self) -> str:
        """What all clients of one comparison have in common: ``6/60/1000`` or ``6/60/10/r``."""
        return f"{self.nodes}/{self.channels}/{self.rate}" + "/r" * self.replicas

    @property
    def seconds(self) -> float:
        """How long to measure: longer where a consumer sends few commands."""
        return 12.0 if self.rate <= 10 else 5.0


def refusal(row: Row) -> str:
    """Return why a client cannot do a row, or nothing."""
    if row.replicas and row.client == REDIS_PY:
        return "redis-py subscribes to shard channels on primaries only"
    return ""


def _rows(
    nodes: int, places: Sequence[tuple[int, int]], *who: str, replicas: bool = False
) -> list[Row]:
    return [Row(client, nodes, *place, replicas) for place in places for client in who]


def _all_rows() -> list[Row]:
    """Return the rows, those of one cluster and one place together."""
    everyone = (MAILSLOT, COREDIS, REDIS_PY, GLIDE)
    rows = [
        *_rows(6, [(channels, rate) for channels in CHANNELS for rate in RATES], MAILSLOT),
        *_rows(6, [(0, 0), (1, 0), (1, 10), (1000, 10)], COREDIS),
        *_rows(6, [(60, rate) for rate in RATES], COREDIS, REDIS_PY, GLIDE),
        *_rows(6, [(1000, 0), (1000, 3000)], COREDIS, REDIS_PY, GLIDE),
        *_rows(6, [(0, 0), (1, 0), (1, 10), (1000, 0), (1000, 3000)], MAILSLOT, replicas=True),
        *_rows(6, [(1, 10)], COREDIS, replicas=True),
        *_rows(6, [(60, rate) for rate in RATES], MAILSLOT, COREDIS, GLIDE, replicas=True),
        *_rows(6, [(60, 10)], REDIS_PY, replicas=True),
        *_rows(24, [(0, 0), (0, 1000), (1000, 0), (1000, 1000)], MAILSLOT),
        *_rows(24, [(60, 0), (60, 1000)], *everyone),
        *_rows(24, [(60, 0), (60, 1000)], MAILSLOT, COREDIS, replicas=True),
    ]
    order = {client: number for number, client in enumerate(everyone)}
    return sorted(
        rows, key=lambda row: (row.nodes, row.replicas, row.channels, row.rate, order[row.client])
    )


ROWS: Final = _all_rows()

_QUICK: Final = [
    *_rows(6, [(0, 0), (60, 0), (60, 3000)], MAILSLOT),
    *_rows(6, [(60, 10)], MAILSLOT, COREDIS, REDIS_PY, GLIDE),
    *_rows(6, [(60, 10)], MAILSLOT, replicas=True),
    *_rows(24, [(60, 1000)], MAILSLOT),
]


def quick_rows() -> list[Row]:
    """Return the rows of the quick form."""
    return [row for row in ROWS if row in _QUICK]


def chosen(rows: Sequence[Row], places: Sequence[str], clients: Sequence[str]) -> list[Row]:
    """Return the rows at these places (``*`` matches anything) and of these clients; none: all."""
    return [
        row
        for row in rows
        if (not places or any(fnmatch.fnmatch(row.place, place) for place in places))
        and (not clients or row.client in clients)
    ]
