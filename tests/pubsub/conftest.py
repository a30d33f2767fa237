from __future__ import annotations

import asyncio
import gc
import inspect
from collections.abc import AsyncIterator

import pytest

from tests.redis.helpers import Certificates


@pytest.fixture(autouse=True)
async def nothing_left(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """Every test runs in asyncio's debug mode and leaves no task; what else it leaves, warns."""
    loop = asyncio.get_running_loop()
    loop.set_debug("full_speed" not in request.fixturenames)
    loop.slow_callback_duration = 1.0
    before = asyncio.all_tasks()
    yield
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    assert not left
    if inspect.iscoroutinefunction(request.function):
        # So that a warning about what was not closed comes while the test is still to blame.
        gc.collect()


@pytest.fixture
def full_speed() -> None:
    """For tests of throughput and latency: no debug mode of asyncio, and no test beside them."""


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("tls"))
