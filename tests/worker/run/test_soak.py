"""A thousand handlers that raise at random: nothing is lost but what they raised on.

A few seconds in every run of the suite; ``MAILSLOT_SOAK_SECONDS=60`` for the whole minute.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import sys
from pathlib import Path

import pytest

from actors import HandlerFailure, Redis
from tests.support import eventually
from tests.worker.helpers import make_worker

pytestmark = [pytest.mark.alone, pytest.mark.embedded_only]

SECONDS = float(os.environ.get("MAILSLOT_SOAK_SECONDS", "3"))
HANDLERS = 1000
BATCH = 500
# What one process may grow by while it does the same all the time, in bytes.
GROWTH = 12 * 1024 * 1024


def resident() -> int:
    """The memory of this process that is in RAM, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.timeout(SECONDS * 2 + 120)
async def test_a_thousand_handlers_that_raise_at_random(server):
    rng = random.Random(1)
    done = [0] * HANDLERS
    handled = failed = 0

    def on_failure(failure: HandlerFailure) -> None:
        nonlocal failed
        assert isinstance(failure.error, ZeroDivisionError)
        failed += 1

    app = make_worker(server, on_failure=on_failure, drain_timeout=30.0, subscription_timeout=30.0)

    def declare(number: int) -> None:
        @app.channel(f"c{number}")
        async def handler(sequence: int) -> None:
            nonlocal handled
            assert sequence == done[number], "lost or out of order"
            done[number] += 1
            if rng.random() < 0.1:
                await asyncio.sleep(0)
            if rng.random() < 0.3:
                raise ZeroDivisionError
            handled += 1

    for number in range(HANDLERS):
        declare(number)
    sent = [0] * HANDLERS
    loop = asyncio.get_running_loop()
    async with app, Redis(server.host, server.port) as client:

        async def publish_batch() -> None:
            for number in rng.choices(range(HANDLERS), k=BATCH):
                await client.publish(f"c{number}", str(sent[number]))
                sent[number] += 1

        warm = loop.time() + min(SECONDS / 3, 10)
        while loop.time() < warm:
            await publish_batch()
        gc.collect()
        before = resident()
        end = loop.time() + SECONDS
        while loop.time() < end:
            await publish_batch()
        await eventually(lambda: handled + failed == sum(sent), 30)
        gc.collect()
        grown = resident() - before
        snapshot = app.snapshot()
    assert done == sent
    assert failed == snapshot.failed
    assert 0.25 < failed / sum(sent) < 0.35
    assert snapshot.restarts == 0
    assert grown < GROWTH, f"grew by {grown} bytes in {SECONDS} s"
