"""A consumer that cannot be measured says why."""

from __future__ import annotations

import pytest

from tests.footprint.jobs import Job
from tests.footprint.processes import ConsumerError, consuming


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("nobody", "not installed: No module named 'tests.footprint.contestants.nobody'"),
        ("mailslot", "NoReachableNodeError"),
    ],
)
async def test_a_consumer_that_ends_says_why(module: str, reason: str):
    nowhere = Job(module, "127.0.0.1", 1, channels=1)
    async with consuming(nowhere) as consumer:
        with pytest.raises(ConsumerError, match=reason):
            while True:
                await consumer.sample()
