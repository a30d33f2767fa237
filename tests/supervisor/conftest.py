"""Every test here runs in asyncio's debug mode and must leave no task behind."""

from __future__ import annotations

import asyncio
import inspect

import pytest

from actors.testing.clock import VirtualClock

from .helpers import Stage, Stubborn


@pytest.fixture
async def no_task_left():
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    # A loaded machine makes steps slow: that is not what these tests are about.
    loop.slow_callback_duration = 5.0
    unhandled = []
    loop.set_exception_handler(lambda _, context: unhandled.append(context))
    yield
    left = asyncio.all_tasks() - {asyncio.current_task()}
    Stubborn.release_all()
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
def stage(clock: VirtualClock) -> Stage:
    return Stage(clock)
