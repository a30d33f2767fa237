from __future__ import annotations

import asyncio

import pytest

from actors.redis.pools.permits import FairSemaphore
from tests.support import eventually


async def test_first_come_first_served():
    permits = FairSemaphore(1)
    await permits.acquire()
    served = []

    async def user(number: int) -> None:
        await permits.acquire()
        served.append(number)
        permits.release()

    tasks = [asyncio.create_task(user(number)) for number in range(5)]
    await eventually(lambda: permits.waiting == 5)
    permits.release()
    await asyncio.gather(*tasks)
    assert served == [0, 1, 2, 3, 4]
    await permits.acquire()


async def test_a_released_permit_cannot_be_taken_from_who_waits():
    permits = FairSemaphore(1)
    await permits.acquire()
    waiter = asyncio.create_task(permits.acquire())
    await eventually(lambda: permits.waiting == 1)
    permits.release()
    late = asyncio.create_task(permits.acquire())
    await waiter
    assert not late.done()
    permits.release()
    await late


async def test_a_cancelled_waiter_takes_none_whenever_it_was_cancelled():
    for granted_first in (False, True):
        permits = FairSemaphore(1)
        await permits.acquire()
        waiter = asyncio.create_task(permits.acquire())
        await asyncio.sleep(0)
        assert permits.waiting == 1
        if granted_first:
            permits.release()
            waiter.cancel()
        else:
            waiter.cancel()
            await asyncio.sleep(0)
            permits.release()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        async with asyncio.timeout(1):
            await permits.acquire()


async def test_closing_fails_who_waits_and_who_comes_later():
    permits = FairSemaphore(1)
    await permits.acquire()
    waiter = asyncio.create_task(permits.acquire())
    await eventually(lambda: permits.waiting == 1)
    permits.close(RuntimeError("over"))
    with pytest.raises(RuntimeError, match="over"):
        await waiter
    with pytest.raises(RuntimeError, match="over"):
        await permits.acquire()
    permits.release()
