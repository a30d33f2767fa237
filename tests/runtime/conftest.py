"""Every test here runs in asyncio's debug mode and leaves no task behind."""

from __future__ import annotations

import asyncio
import inspect

import pytest

from actors.testing.clock import VirtualClock

from .support import Told


@pytest.fixture
def asyncio_debug() -> bool:
    """Overridden where the debug mode's own cost would drown what is measured."""
    return True


@pytest.fixture
async def no_task_left(asyncio_debug):
    loop = asyncio.get_running_loop()
    loop.set_debug(asyncio_debug)
    # A loaded machine makes steps slow: that is not what these tests are about.
    loop.slow_callback_duration = 5.0
    unhandled = []
    loop.set_exception_handler(lambda _, context: unhandled.append(context))
    yield
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left, f"tasks left behind: {left}"
    assert not unhandled, f"unhandled in the loop: {unhandled}"


@pytest.fixture(autouse=True)
def strict(request):
    if inspect.iscoroutinefunction(getattr(request, "function", None)):
        request.getfixturevalue("no_task_left")


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def told() -> Told:
    return Told()
