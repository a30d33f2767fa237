"""F1-F3 with real processes: names have one owner while members join, leave, die, stand still."""

from __future__ import annotations

import asyncio
import signal

import pytest

from actors.worker.fleet.calls import record_keys
from tests.fleet.app import Play
from tests.fleet.results import Record, ToldGap
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

    await eventually(is_handled, 30, 0.05)


async def kill_one(members: Fleet, which: int = 0) -> None:
    victim = members.members[which]
    victim.kill()
    await members.gone(victim)
    await members.settled()


async def test_f2_f3_members_join_leave_and_die(play):
    async with fleet(play, 1) as members:
        async with load(play, RATE) as publisher:
            first = members.members[0]
            await members.start(2)
            await members.stop(first)
            await members.client.execute_command("DEL", *record_keys("test"))
            await members.settled()
            await members.start(1)
        await caught_up(members, publisher.published)
        found = await verdict(play, publisher.published)
        assert (found.lost, found.twice) == ([], 0)
        async with load(play, RATE, after=publisher) as publisher:
            await kill_one(members)
            await asyncio.sleep(0.5)
        found = await verdict(play, publisher.published)
        assert (found.untold, found.twice) == ([], 0)
        gaps = Record.read(members.folder).gaps
        assert {gap.name for gap in gaps} < set(NAMES)


async def test_f3_r4_a_member_stands_still_and_wakes_up_and_one_is_killed(play):
    play.ttl, play.resume, play.seconds = 1.0, True, 0.1
    async with fleet(play, 2) as members:
        async with load(play, RATE) as publisher:
            await asyncio.sleep(1)
            sleeper = members.members.pop(0)
            sleeper.send_signal(signal.SIGSTOP)
            await members.settled()
            await asyncio.sleep(0.3)
        await caught_up(members, publisher.published)
        before = Record.read(members.folder).by(sleeper.pid)
        sleeper.send_signal(signal.SIGCONT)
        members.members.append(sleeper)
        await members.settled()
        await asyncio.sleep(0.5)
        # What waited for the sleeper is handled by its successor. What it had in hand, one message
        # for each of its names at the most, it has finished.
        again = Record.read(members.folder)
        finished = again.by(sleeper.pid) - before
        both = [key for key in finished if again.handled[key] > 1]
        assert len(both) <= len(NAMES)
        # All was handled long ago, and the one that was woken has not set a position back.
        await kill_one(members, -1)
        await asyncio.sleep(1)
        assert Record.read(members.folder).handled == again.handled
    assert "connections=1" in (members.folder / "errors").read_text()


def handed_over(members: Fleet) -> list[ToldGap]:
    """Return the gaps that were told of what a member had handed over, and not handled."""
    return [gap for gap in Record.read(members.folder).gaps if "handed" in gap.reason]


@pytest.mark.parametrize("resume", [False, True])
async def test_f3_what_a_member_handed_over_and_did_not_handle_is_told_when_it_is_killed(
    play, resume
):
    """Handlers take longer than messages need to come: a mailbox is never empty."""
    play.ttl, play.seconds, play.resume = 1.0, 0.05, resume
    async with fleet(play, 2) as members:
        leaving, giving = members.members
        async with load(play, 1.5 * RATE) as publisher:
            await asyncio.sleep(1)
            leaving.send_signal(signal.SIGTERM)

            async def has_left() -> bool:
                return len(await members.view()) == 1

            await eventually(has_left, 30, 0.02)
            leaving.kill()
            await members.gone(leaving)
            # What the next one is told waits in its mailboxes, and would die with it.
            await eventually(lambda: handed_over(members), 30, 0.02)
            await members.start(1)
            giving.kill()
            await members.gone(giving)
            await members.settled()
        found = await verdict(play, publisher.published)
    assert found.untold == []
    assert resume or (found.lost and not found.twice)
