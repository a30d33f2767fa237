"""What happens to a fleet, fault by fault."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable

import msgspec

from actors.redis.topology.slots import key_slot
from actors.worker.fleet.calls import record_keys
from tests.fleet.stage import Fleet


class Fault(msgspec.Struct, frozen=True):
    """One row of the table.

    Attributes:
        play: what happens.
        members: how many processes there are at first.
        resume: whether the handlers go on after what others handled.
        ttl: seconds for which a lease holds.
        only: where it is played, server or cluster; None: on both.
        kind: what the handlers are of: channel, shard_channel or events, of keys on all primaries;
            None: shard channels on a cluster, else channels.
        persists: whether servers keep their data when they are restarted.
    """

    play: Callable[[Fleet], Awaitable[None]]
    members: int = 3
    resume: bool = False
    ttl: float = 2.0
    only: str | None = None
    kind: str | None = None
    persists: bool = False


async def joins_and_leaves(members: Fleet, times: int = 6) -> None:
    """Six members join, and six leave, in turn."""
    for _ in range(times):
        await members.start(1)
        await asyncio.sleep(0.3)
        await members.stop(members.members[0])
        await members.settled()


async def few_joins_and_leaves(members: Fleet) -> None:
    """Two members join, and two leave, in turn."""
    await joins_and_leaves(members, 2)


async def kill_one(members: Fleet) -> None:
    """One of three members is killed."""
    victim = members.members[0]
    victim.kill()
    await members.gone(victim)
    await members.settled()


async def kill_two(members: Fleet) -> None:
    """Two of three members are killed at once."""
    victims = members.members[:2]
    for victim in victims:
        victim.kill()
    for victim in victims:
        await members.gone(victim)
    await members.settled()


async def stand_still(members: Fleet) -> None:
    """A member stands still for longer than its lease, and goes on."""
    sleeper = members.members.pop(0)
    sleeper.send_signal(signal.SIGSTOP)
    await members.settled()
    await asyncio.sleep(1)
    sleeper.send_signal(signal.SIGCONT)
    members.members.append(sleeper)
    await members.settled()


async def delete_keys(members: Fleet) -> None:
    """The fleet's record is deleted."""
    for key in record_keys("test"):
        await members.client.execute_command("DEL", key)
    await members.settled()


async def rolling_restart(members: Fleet) -> None:
    """Each member is stopped, and another one is started in its place."""
    for member in list(members.members):
        await members.stop(member)
        await members.start(1)


async def restart_some(members: Fleet) -> None:
    """Four members are stopped at once, one is killed, and five are started in their place."""
    leaving, victim = members.members[:4], members.members[4]
    victim.kill()
    await asyncio.gather(*(members.stop(member) for member in leaving))
    await members.gone(victim)
    await members.start(5)


async def leave_at_once(members: Fleet) -> None:
    """All members but one leave at once."""
    leaving = members.members[1:]
    await asyncio.gather(*(members.stop(member) for member in leaving))
    await members.settled()


async def restart_server(members: Fleet) -> None:
    """The server is restarted."""
    await members.servers.restart()
    await asyncio.sleep(3)
    await members.settled()


async def kill_primary(members: Fleet) -> None:
    """The primary that has the fleet's record is killed, and its replica is promoted."""
    primary = await members.servers.primary_for(record_keys("test")[0])
    members.servers.kill(primary)
    await members.servers.successor(primary)
    await asyncio.sleep(3)
    await members.settled()


async def kill_connections(members: Fleet) -> None:
    """The connections of all members that consume are killed."""
    nodes = members.client.connection_pool.topology.nodes if members.play.cluster else [None]
    for node in nodes:
        options = {} if node is None else {"node": node}
        await members.client.execute_command("CLIENT", "KILL", "TYPE", "PUBSUB", **options)
    await asyncio.sleep(1)
    await members.settled()


async def _move_slots(members: Fleet, *, atomically: bool) -> None:
    """The slots of half of the names move to another primary, while members join and leave."""
    servers, names = members.servers, members.play.names
    source, target = (await servers.primaries())[:2]
    at_source = {key_slot(name.encode()) for name in names} & set(await servers.slots_of(source))

    async def move() -> None:
        for slot in sorted(at_source):
            if atomically:
                await servers.migrate_atomically([slot], source, target)
            else:
                await servers.move_slots([slot], source, target)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(move())
        tasks.create_task(few_joins_and_leaves(members))
    await members.settled()


async def move_slots(members: Fleet) -> None:
    """Slots move by CLUSTER SETSLOT."""
    await _move_slots(members, atomically=False)


async def migrate_slots(members: Fleet) -> None:
    """Slots move by CLUSTER MIGRATESLOTS."""
    await _move_slots(members, atomically=True)


async def nothing(members: Fleet) -> None:
    """Nothing happens for two seconds."""
    await asyncio.sleep(2)


FAULTS = {
    "nothing": Fault(nothing),
    "six-join-six-leave": Fault(joins_and_leaves),
    "rolling-restart": Fault(rolling_restart),
    "five-of-six-leave-at-once": Fault(leave_at_once, members=6),
    "kill-one-of-three": Fault(kill_one),
    "kill-one-of-three-resume": Fault(kill_one, resume=True),
    "kill-two-of-three": Fault(kill_two),
    "kill-two-of-three-resume": Fault(kill_two, resume=True),
    "stand-still": Fault(stand_still),
    "stand-still-resume": Fault(stand_still, resume=True),
    "keys-deleted": Fault(delete_keys),
    "connections-killed": Fault(kill_connections),
    "connections-killed-resume": Fault(kill_connections, resume=True),
    "server-restarted": Fault(restart_server, only="server"),
    "server-restarted-with-data": Fault(restart_server, only="server", persists=True),
    "server-restarted-with-data-resume": Fault(
        restart_server, only="server", persists=True, resume=True
    ),
    "primary-killed": Fault(kill_primary, only="cluster"),
    "primary-killed-resume": Fault(kill_primary, only="cluster", resume=True),
    "slots-move": Fault(move_slots, only="cluster"),
    "slots-move-resume": Fault(move_slots, only="cluster", resume=True),
    "slots-migrate": Fault(migrate_slots, only="cluster"),
    "plain-two-join-two-leave": Fault(few_joins_and_leaves, only="cluster", kind="channel"),
    "events-two-join-two-leave": Fault(few_joins_and_leaves, only="cluster", kind="events"),
    "events-kill-one-of-three": Fault(kill_one, only="cluster", kind="events"),
    "rolling-restart-resume": Fault(rolling_restart, resume=True),
    "twenty-members": Fault(restart_some, members=20, ttl=5.0, only="server"),
    "joins-and-leaves-resume": Fault(joins_and_leaves, resume=True),
}
