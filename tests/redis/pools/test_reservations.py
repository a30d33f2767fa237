"""Reservations: places outlive connections, peers hand them to each other, none is ever lost."""

from __future__ import annotations

import asyncio
import random

import pytest

from actors.redis.config.locations import TCPLocation
from actors.redis.exceptions import ConnectionError  # noqa: A004
from actors.redis.pools.connection_pool import ConnectionPool
from actors.redis.pools.permits import FairSemaphore
from actors.redis.pools.reservations import Reservation, Reservations
from tests.redis.helpers import peer, silent
from tests.support import eventually


def waits(reservation: Reservation, permits: FairSemaphore) -> asyncio.Task[None]:
    return asyncio.create_task(reservation.acquire(permits))


async def test_the_place_stays_when_the_connection_is_gone_and_ends_with_the_reservation():
    permits, reservation = FairSemaphore(1), Reservations().reservation()
    await reservation.acquire(permits)
    stranger = asyncio.create_task(permits.acquire())
    await eventually(lambda: permits.waiting == 1)
    for _ in range(3):
        reservation.release()
        await reservation.acquire(permits)
    assert reservation.holds(permits)
    assert not stranger.done()
    reservation.leave()
    await stranger
    reservation.leave()
    reservation.release()
    assert permits.free == 0
    with pytest.raises(ConnectionError):
        await reservation.acquire(permits)


async def test_a_place_elsewhere_is_given_back_first():
    one, two, reservation = FairSemaphore(1), FairSemaphore(1), Reservations().reservation()
    await reservation.acquire(one)
    await two.acquire()
    reservation.release()
    moving = waits(reservation, two)
    await eventually(lambda: two.waiting == 1)
    assert one.free == 1  # else two that wait for each other's places would wait for ever
    two.release()
    await moving
    assert reservation.holds(two)


async def test_one_whose_connection_is_lost_makes_way_for_a_peer_and_for_nobody_else():
    permits, reservations = FairSemaphore(1), Reservations()
    lost, other = reservations.reservation(), reservations.reservation()
    await lost.acquire(permits)
    stranger = asyncio.create_task(permits.acquire())
    await eventually(lambda: permits.waiting == 1)
    waiting = waits(other, permits)
    await eventually(lambda: permits.waiting == 2)
    lost.release()
    await waiting
    assert other.holds(permits)
    assert not stranger.done()
    other.release()
    await lost.acquire(permits)  # the place is free: no wait
    back = waits(other, permits)
    await eventually(lambda: permits.waiting == 2)
    lost.leave()
    await back
    other.leave()
    await stranger


async def test_a_place_that_is_free_goes_before_a_peers():
    permits, reservations = FairSemaphore(2), Reservations()
    lost, other = reservations.reservation(), reservations.reservation()
    await lost.acquire(permits)
    lost.release()
    await other.acquire(permits)
    assert lost.holds(permits)
    assert permits.free == 0


async def test_the_end_of_a_reservation_that_waits_leaves_nothing():
    permits, reservation = FairSemaphore(1), Reservations().reservation()
    await permits.acquire()
    waiting = waits(reservation, permits)
    await eventually(lambda: permits.waiting == 1)
    reservation.leave()
    permits.release()
    with pytest.raises(ConnectionError):
        await waiting
    assert permits.free == 1


async def test_closed_permits_end_the_wait():
    permits, reservation = FairSemaphore(1), Reservations().reservation()
    await permits.acquire()
    waiting = waits(reservation, permits)
    await eventually(lambda: permits.waiting == 1)
    permits.close(ConnectionError("left"))
    with pytest.raises(ConnectionError, match="left"):
        await waiting
    reservation.leave()


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_happens_no_place_is_lost_and_none_is_made(seed):
    rng = random.Random(seed)
    kinds = [FairSemaphore(2), FairSemaphore(1)]
    users = [Reservations(), Reservations()]
    sitting = 0

    async def connection(reservation: Reservation) -> None:
        nonlocal sitting
        for _ in range(rng.randrange(1, 6)):
            permits = rng.choice(kinds)
            try:
                async with asyncio.timeout(rng.choice([0.001, None])):
                    await reservation.acquire(permits)
            except (TimeoutError, ConnectionError):
                continue
            try:
                sitting += 1
                assert sitting <= 3
                for _ in range(rng.randrange(4)):
                    await asyncio.sleep(0)
            finally:
                sitting -= 1
                reservation.release()

    async def stranger() -> None:
        permits = rng.choice(kinds)
        await permits.acquire()
        try:
            await asyncio.sleep(0)
        finally:
            permits.release()

    async def reader() -> None:
        reservation = rng.choice(users).reservation()
        living = asyncio.create_task(connection(reservation))
        if rng.random() < 0.5:
            for _ in range(rng.randrange(6)):
                await asyncio.sleep(0)
            living.cancel()
        await asyncio.gather(living, return_exceptions=True)
        reservation.leave()

    for _ in range(20):
        async with asyncio.timeout(5):
            await asyncio.gather(*(rng.choice([reader, stranger])() for _ in range(6)))
        assert [permits.free for permits in kinds] == [2, 1]
        assert [permits.waiting for permits in kinds] == [0, 0]


async def test_a_pool_counts_a_reservation_as_long_as_it_is_not_left(shared_server):
    async with ConnectionPool(
        host=shared_server.host, port=shared_server.port, max_connections=1, timeout=0.05
    ) as pool:
        reservation = Reservations().reservation()
        for _ in range(3):
            connection = await pool.open_dedicated(reservation)
            pool.release(connection)
            assert not connection.usable
            with pytest.raises(TimeoutError, match="all 1 are in use"):
                await pool.acquire()
        reservation.leave()
        pool.release(await pool.acquire())


async def test_an_attempt_that_fails_keeps_the_place_and_says_what_it_waited_for():
    reservations = Reservations()
    assert reservations.timed_out("1 s") is None
    async with (
        peer(silent) as port,
        ConnectionPool(
            location=TCPLocation("127.0.0.1", port), max_connections=1, timeout=0.1
        ) as pool,
    ):
        reservation = reservations.reservation()
        with pytest.raises(TimeoutError):
            await pool.open_dedicated(reservation)
        told = reservations.timed_out("1 s")
        assert f"to 127.0.0.1:{port} within 1 s: it accepted the connection and" in str(told)
        assert isinstance(told, ConnectionError)
        with pytest.raises(TimeoutError, match="all 1 are in use"):
            await pool.open_dedicated(Reservations().reservation())
        reservation.leave()
