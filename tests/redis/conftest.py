from __future__ import annotations

import asyncio
import gc
import inspect
from collections.abc import AsyncIterator

import pytest

from tests.redis.helpers import Certificates


@pytest.fixture(autouse=True)
async def nothing_left(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """Run the test in asyncio's debug mode and fail if it leaves a task behind."""
    asyncio.get_running_loop().set_debug(True)
    before = asyncio.all_tasks()
    yield
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    assert not left
    if inspect.iscoroutinefunction(request.function):
        # Collect now: a warning about something unclosed then fails this test, not a later one.
        gc.collect()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("tls"))
