"""What a row measured, as rates. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tests.footprint.consumer import Sample
from tests.footprint.readings import Cost
from tests.footprint.rows import Row

__all__ = ["Figures", "NodeFigures", "figures"]


class NodeFigures(msgspec.Struct, frozen=True):
    """What a consumer costs one node.

    Attributes:
        primary: whether the node is one.
        commands: a second, by name.
        channels: shard channels subscribed there.
        connections: there.
    """

    primary: bool
    commands: dict[str, float]
    channels: int
    connections: int

    @property
    def rate(self) -> float:
        """Commands a second."""
        return sum(self.commands.values())


class Figures(msgspec.Struct, frozen=True):
    """What a row measured, a second where nothing else is said.

    Attributes:
        row: the row.
        seconds: how long it was measured.
        nodes: what each node counted.
        bytes_in: that all nodes read from the consumer.
        bytes_out: that all nodes wrote to it.
        cpu_ms: milliseconds of processor time of the consumer.
        published: messages.
        received: messages that the consumer's client delivered.
        missing: why there are no figures.
    """

    row: Row
    seconds: float = 0.0
    nodes: list[NodeFigures] = []
    bytes_in: float = 0.0
    bytes_out: float = 0.0
    cpu_ms: float = 0.0
    published: float = 0.0
    received: float = 0.0
    missing: str = ""

    @property
    def rate(self) -> float:
        """Commands a second to all nodes."""
        return sum(node.rate for node in self.nodes)

    @property
    def commands(self) -> dict[str, float]:
        """Commands a second by name, to all nodes, the most frequent first."""
        found: dict[str, float] = {}
        for node in self.nodes:
            for name, rate in node.commands.items():
                found[name] = found.get(name, 0.0) + rate
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    @property
    def connections(self) -> int:
        """Connections to all nodes."""
        return sum(node.connections for node in self.nodes)


def figures(
    row: Row, costs: Sequence[Cost], first: Sample, last: Sample, seconds: float
) -> Figures:
    """Return the figures of a row: what the nodes counted, as rates.

    Args:
        row: what was measured.
        costs: of each node, the primaries first.
        first: of the consumer.
        last: of the consumer.
        seconds: between the readings of the nodes.
    """
    own = last.at - first.at
    return Figures(
        row=row,
        seconds=seconds,
        nodes=[
            NodeFigures(
                primary=number < len(costs) // 2,
                commands={name: count / seconds for name, count in one.commands.items()},
                channels=one.channels,
                connections=one.connections,
            )
            for number, one in enumerate(costs)
        ],
        bytes_in=sum(one.bytes_in for one in costs) / seconds,
        bytes_out=sum(one.bytes_out for one in costs) / seconds,
        cpu_ms=(last.cpu - first.cpu) / own * 1000,
        published=sum(one.published for one in costs) / seconds,
        received=(last.messages - first.messages) / own,
    )
