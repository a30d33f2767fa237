"""Only the worker's own probes are proofs of delivery."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors import Redis
from actors.testing.proxies.proxy import FaultProxy
from tests.support import eventually
from tests.worker.helpers import make_worker

pytestmark = pytest.mark.embedded_only


@pytest.mark.parametrize(
    "forged",
    ["1e300", "nan", "inf", "-1", "0", "", "x", "9" * 400, "an own one once more", "the future"],
)
async def test_a_forged_probe_neither_hides_a_silent_path_nor_fails(server, forged):
    """Who may publish on the probe's channel can hide nothing, and fills nobody's failure sink."""
    failures: list[Any] = []
    taken: list[Any] = []
    async with (
        FaultProxy(server.host, server.port) as proxy,
        Redis(server.host, server.port, decode_responses=True) as other,
        other.pubsub(patterns=["mailslot:probe:*"], ignore_subscribe_messages=True) as heard,
    ):
        url = f"redis://127.0.0.1:{proxy.port}"
        app = make_worker(url, probe_interval=1.2, on_failure=failures.append)
        app.channel("a")(taken.append)
        async with app:
            seen = await anext(heard)
            text = forged
            if forged == "an own one once more":
                text = seen["data"]
            elif forged == "the future":
                text = repr(asyncio.get_running_loop().time() + 3600)
            for _ in range(3):
                assert await other.publish(seen["channel"], text) >= 1
            await eventually(lambda: app.snapshot().paths[0].proof_age is not None, 60)
            proxy.drop_pushes = True
            await eventually(lambda: app.snapshot().paths[0].restarts > 0, 60)
            age = app.snapshot().paths[0].proof_age
            assert age is None or age >= 0
            proxy.drop_pushes = False
    assert failures == taken == []
