"""A consumer leaves its servers in peace (P6b): ``make footprint`` measures all else."""

from __future__ import annotations

import pytest

from tests.footprint.measure import cluster_of, measure
from tests.footprint.rows import MAILSLOT, Row
from tests.footprint.verdict import most_commands

pytestmark = pytest.mark.alone

# A second's worth more may fall into so short a window.
_TOLERANCE = 1.0


async def test_six_nodes_get_at_most_six_commands_a_second_from_one_consumer():
    row = Row(MAILSLOT, nodes=6, channels=60, rate=10)
    async with cluster_of(row.nodes) as cluster:
        found = await measure(row, cluster, seconds=4.0, warm=1.0)
    assert not found.missing, found.missing
    assert found.received > 0
    commands = found.rate * found.seconds
    assert commands <= most_commands(row.nodes) * (found.seconds + _TOLERANCE), found.commands
