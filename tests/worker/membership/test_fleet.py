"""F1-F3 with real servers: names have one owner while members join, leave, die and stand still."""

from __future__ import annotations

import asyncio
import signal

import pytest

from actors.worker.fleet.calls import record_keys
from tests.fleet.app import Play
from tests.fleet.results import Record
from tests.fleet.stage import Fleet, fleet, load, verdict
from tests.support import eventually

pytestmark = pytest.mark.embedded_only

NAMES = [f"name-{number}" for number in range(12)]
RATE = 300


@pytest.fixture
def play(server, tmp_path) -> Play:
    return Play(server.url, str(tmp_path), NAMES)


async def caught_up(members: Fleet, published) -> None:
    """Wait until everything that was published is handled."""

    def is_handled() -> bool:
        return published.keys() <= Record.read(members.folder).handled.keys()

    await eventually(is_handled, 20, 0.05)


async def test_f2_members_that_join_and_leave_lose_nothing_and_handle_nothing_twice(play):
    async with fleet(play, 1) as members:
        async with load(play, RATE) as publisher:
            first = members.members[0]
            await members.start(2)
            await members.stop(first)
            await members.start(1)
            await members.stop(members.members[0])
        await caught_up(members, publisher.published)
        while members.members:
            await members.stop(members.members[0])
        found = await verdict(play, publisher.published)
    assert (found.lost, found.twice) == ([], 0)


async def test_f3_a_member_is_killed_and_its_successors_tell_what_was_missed(play):
    async with fleet(play, 3) as members:
        async with load(play, RATE) as publisher:
            await asyncio.sleep(0.5)
            victim = members.members[0]
            victim.kill()
            await members.gone(victim)
            await members.settled()
            await asyncio.sleep(0.5)
        found = await verdict(play, publisher.published)
        gaps = Record.read(members.folder).gaps
    assert (found.untold, found.twice) == ([], 0)
    assert gaps


async def test_r4_with_resume_a_killed_member_costs_no_message(play):
    play.resume = True
    async with fleet(play, 3) as members:
        async with load(play, RATE) as publisher:
            await asyncio.sleep(0.5)
            victim = members.members[0]
            victim.kill()
            await members.gone(victim)
            await members.settled()
            await members.start(1)
            await members.stop(members.members[0])
        await caught_up(members, publisher.published)
        found = await verdict(play, publisher.published)
    assert found.lost == []


async def test_f3_a_member_that_stood_still_goes_on_with_nothing_that_others_have(play):
    play.ttl = 1.0
    play.resume = True
    async with fleet(play, 2) as members:
        async with load(play, RATE) as publisher:
            await asyncio.sleep(0.5)
            sleeper = members.members[0]
            sleeper.send_signal(signal.SIGSTOP)
            members.members.remove(sleeper)
            await members.settled()
            await asyncio.sleep(0.5)
            before = Record.read(members.folder)
            sleeper.send_signal(signal.SIGCONT)
            members.members.append(sleeper)
            await members.settled()
            await asyncio.sleep(0.5)
        await caught_up(members, publisher.published)
        found = await verdict(play, publisher.published)
    assert found.lost == []
    again = Record.read(members.folder).handled - before.handled
    # What it had not written down as handled when it was stopped came again to its successor; what
    # waited for it when it woke up did not come twice.
    assert sum(1 for key in again if before.handled[key]) <= 1


async def test_f3_the_keys_of_the_fleet_are_deleted(play):
    async with fleet(play, 2) as members:
        async with load(play, RATE) as publisher:
            await asyncio.sleep(0.3)
            await members.client.execute_command("DEL", *record_keys("test"))
            await members.settled(10)
            await asyncio.sleep(0.3)
        found = await verdict(play, publisher.published)
    assert (found.lost, found.twice) == ([], 0)
