"""Members in one process: what a worker sees of its fleet, hooks, single actors, the command."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from actors import Actor, History, Recover, Redis
from actors.worker.fleet.calls import call_arguments
from actors.worker.fleet.script import SCRIPT
from actors.worker.observe.health import is_ready
from supervisor import SpecError
from tests.support import eventually
from tests.worker.helpers import make_worker
from tests.worker.program import Program, mailslot

pytestmark = pytest.mark.embedded_only

NAMES = [f"name-{number}" for number in range(16)]


def member(server: Any, heard: list[Any], **options: Any) -> Any:
    """Return a worker that notes which member hears what."""
    app = make_worker(server, fleet="shop", **options)

    async def on_message(message: Any) -> None:
        heard.append((message["channel"], message["data"]))

    for name in NAMES:
        app.channel(name)(on_message)
    return app


def owned(app: Any) -> set[str]:
    state = app.snapshot().fleet
    return set() if state is None else set(state.owns)


async def all_owned(*apps: Any) -> None:
    """Wait until the members are in one view, in which each name has one owner."""

    def is_so() -> bool:
        states = [app.snapshot().fleet for app in apps]
        shares = [owned(app) for app in apps]
        return (
            all(is_ready(app.worker_snapshot()).ok for app in apps)
            and len({state.view for state in states}) == 1
            and len(states[0].members) == len(apps)
            and sum(map(len, shares)) == len(NAMES) == len(set().union(*shares))
        )

    await eventually(is_so, 20)


async def test_f1_each_name_has_one_owner_and_owns_follows_the_view(server):
    heard: list[Any] = []
    gaps: list[Any] = []
    one, two = (member(server, heard, on_gap=gaps.append) for _ in range(2))
    assert not one.owns("name-1")
    async with one:
        await all_owned(one)
        assert owned(one) == set(NAMES)
        assert one.owns("anything")
        async with two:
            await all_owned(one, two)
            for name in [*NAMES, "report", "invoices"]:
                assert one.owns(name) is not two.owns(name)
            async with Redis(server.host, server.port) as client:
                for name in NAMES:
                    await client.publish(name, "x")
            await eventually(lambda: len(heard) == len(NAMES))
            assert {name for name, _ in heard} == set(NAMES)
        await all_owned(one)
    assert not one.owns("name-1")
    assert gaps == []


class Single(Actor[None]):
    """Must not run twice at a time."""

    def __init__(self, running: list[str], name: str) -> None:
        self.running, self.name = running, name

    async def on_start(self) -> None:
        assert self.name not in self.running
        self.running.append(self.name)

    async def on_stop(self, reason: Any) -> None:
        self.running.remove(self.name)


async def test_f1_hooks_and_single_actors_follow_the_view(server):
    running: list[str] = []
    gained: dict[str, list[str]] = {"one": [], "two": []}
    lost: dict[str, list[str]] = {"one": [], "two": []}

    def with_actors(label: str) -> Any:
        app = member(server, [])
        for number in range(6):
            app.actor(Single, running, f"single-{number}", once=True, name=f"single-{number}")
        app.on_gain(gained[label].append)
        app.on_lose(lost[label].append)
        return app

    one, two = with_actors("one"), with_actors("two")
    singles = {f"single-{number}" for number in range(6)}
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(one)
        await eventually(lambda: set(running) == singles)
        await eventually(lambda: set(gained["one"]) == {*NAMES, *singles})
        async with two:
            await eventually(lambda: gained["two"] and sorted(running) == sorted(singles))
            await eventually(lambda: sorted(lost["one"]) == sorted(gained["two"]))
        await eventually(lambda: sorted(running) == sorted(singles))
        await eventually(lambda: sorted(gained["one"][len(NAMES) + 6 :]) == sorted(lost["one"]))
    assert running == []


async def test_a_fleet_and_a_partition_exclude_each_other(server):
    app = member(server, [])
    app.partition = app.partition.parse("0/2")
    with pytest.raises(SpecError, match="leave the partition out"):
        app.validate()
    app = make_worker(server, fleet="no spaces please")
    app.channel("a")(print)
    with pytest.raises(SpecError, match="fleet must be 1 to 64 characters"):
        app.validate()


async def test_a_user_without_rights_to_the_fleets_keys_is_told_at_the_start(server):
    async with Redis(server.host, server.port) as client:
        await client.execute_command(
            *("ACL", "SETUSER", "poor", "on", ">secret", "+@all", "~other:*", "allchannels")
        )
    app = member(server, [], username="poor", password="secret")
    with pytest.raises(Exception, match=r"NOPERM|[Nn]o permissions"):
        async with app:
            pass


async def test_f3_a_member_without_rights_to_end_connections_says_so_and_works(server, capsys):
    async with Redis(server.host, server.port) as client:
        await client.execute_command(
            *("ACL", "SETUSER", "meek", "on", ">secret", "+@all", "allkeys", "allchannels"),
            *("-client|kill",),
        )
    app = member(server, [], username="meek", password="secret")
    async with app:
        await all_owned(app)
        state = app._run.components.fleet.membership
        assert not state.settings.may_kill


async def ran(*args: Any) -> Program:
    """Run the command to its end; on a busy machine it takes long to start."""
    async with mailslot(*args) as program:
        await program.ends(90)
    return program


async def test_the_command_shows_a_fleet_and_drains_a_member(server):
    one, two = member(server, []), member(server, [])
    async with one, two:
        await all_owned(one, two)
        shown = await ran("fleet", server.url, "shop", "--names")
        assert shown.process.returncode == 0
        text = "\n".join(shown.out)
        assert "of 2 members" in text
        for name in NAMES:
            assert name in text
        me = one.snapshot().fleet.member
        drained = await ran("fleet", server.url, "shop", "--drain", me)
        assert drained.process.returncode == 0, drained.err
        await all_owned(two)
        assert owned(one) == set()
        assert not is_ready(one.worker_snapshot()).ok
        wrong = await ran("fleet", server.url, "shop", "--drain", "nobody")
        assert wrong.process.returncode == 2
    wrong = await ran("fleet", server.url, "nothing")
    assert wrong.process.returncode == 2
    assert "no record of a fleet 'nothing'" in wrong.err[-1]


async def test_patterns_have_one_owner(server):
    heard: list[str] = []
    apps = []
    for _ in range(3):
        app = make_worker(server, fleet="patterns")

        def on_message(message: Any) -> None:
            heard.append(message["pattern"])

        for number in range(8):
            app.pattern(f"p{number}.*")(on_message)
        apps.append(app)
    async with AsyncExitStack() as stack:
        for app in apps:
            await stack.enter_async_context(app)

        def is_shared() -> bool:
            states = [app.snapshot().fleet for app in apps]
            return all(state is not None and len(state.members) == 3 for state in states)

        await eventually(is_shared, 20)
        async with Redis(server.host, server.port) as client:
            for number in range(8):
                await client.publish(f"p{number}.x", "y")
        await eventually(lambda: len(heard) >= 8)
        await asyncio.sleep(0.05)
        assert sorted(heard) == [f"p{number}.*" for number in range(8)]


async def test_f3_a_healthy_member_asks_the_server_for_less_than_six_commands_a_second(server):
    apps = [member(server, []) for _ in range(3)]
    async with AsyncExitStack() as stack:
        for app in apps:
            await stack.enter_async_context(app)
        await all_owned(*apps)
        async with Redis(server.host, server.port) as client:

            async def commands() -> int:
                info = await client.execute_command("INFO", "commandstats")
                text = info.decode() if isinstance(info, bytes) else info
                return sum(
                    int(line.split("calls=")[1].split(",")[0])
                    for line in text.splitlines()
                    if line.startswith(("cmdstat_evalsha", "cmdstat_pubsub", "cmdstat_publish:"))
                )

            before = await commands()
            begun = asyncio.get_running_loop().time()
            await asyncio.sleep(3)
            asked = await commands() - before
            seconds = asyncio.get_running_loop().time() - begun
    assert asked / seconds / len(apps) < 6


async def test_what_others_publish_on_the_control_channel_changes_nothing(server):
    heard: list[Any] = []
    app = member(server, heard)
    async with app, Redis(server.host, server.port) as client:
        await all_owned(app)
        for payload in ("hello", "{}", '{"type":"commit"}', '{"type":"drain","member":"b/2"}'):
            await client.publish("fleet:{shop}:control", payload)
        await client.publish(NAMES[0], "x")
        await eventually(lambda: heard == [(NAMES[0], "x")])
        await all_owned(app)


async def test_f2_members_whose_connections_are_killed_tell_a_gap_and_go_on(server):
    heard: list[Any] = []
    gaps: list[Any] = []
    one, two = (member(server, heard, on_gap=gaps.append) for _ in range(2))
    async with one, two, Redis(server.host, server.port) as client:
        await all_owned(one, two)
        await client.execute_command("CLIENT", "KILL", "TYPE", "PUBSUB")
        await eventually(lambda: {gap.name for gap in gaps} == set(NAMES), 20)
        await all_owned(one, two)
        for name in NAMES:
            await client.publish(name, "x")
        await eventually(lambda: len(heard) >= len(NAMES))
        await all_owned(one, two)
        assert sorted(heard) == sorted((name, "x") for name in NAMES)


async def test_f3_r4_a_member_that_lives_and_is_taken_for_dead_finishes_what_is_in_hand(server):
    heard: list[tuple[Any, str]] = []
    free = asyncio.Event()

    def build() -> Any:
        app = make_worker(server, fleet="shop")

        async def on_message(message: Any) -> None:
            if app is one:
                await free.wait()
            heard.append((app, message["data"]))

        for name in NAMES:
            app.channel(name, recover=Recover(resume="shop"))(on_message)
        return app

    one, two = build(), build()
    async with one, two, Redis(server.host, server.port) as client:
        await all_owned(one, two)
        name = min(owned(one))
        for number in range(5):
            await client.publish(name, str(number), history=History())
        await eventually(lambda: one.snapshot().received >= 5)
        of_one, of_two = (app._run.components.fleet.membership for app in (one, two))
        before = of_one.view.number
        args = call_arguments("shop", of_two.me, of_two.settings, "suspect", str(of_one.me))
        await client.execute_command("EVAL", SCRIPT, *args)
        await eventually(lambda: len(heard) == 5)
        await eventually(lambda: of_one.view is not None and of_one.view.number > before)
        free.set()
        await all_owned(one, two)
    both = [(two, str(number)) for number in range(5)]
    assert heard == [*both, (one, "0")]


async def test_f2_r4_a_member_reads_a_history_to_its_end_before_it_hands_the_channel_over(server):
    heard: list[tuple[str, str]] = []
    gaps: list[Any] = []
    free = asyncio.Event()

    def build() -> Any:
        app = make_worker(server, fleet="shop", on_gap=gaps.append)

        async def on_message(message: Any) -> None:
            if app is one:
                await free.wait()
            heard.append((message["channel"], message["data"]))

        recover = Recover(resume="shop", since="all")
        for name in NAMES:
            app.channel(name, recover=recover, mailbox=16)(on_message)
        return app

    one, two = build(), build()
    async with Redis(server.host, server.port) as client:
        published = [(name, str(number)) for name in NAMES for number in range(20)]
        for name, payload in published:
            await client.publish(name, payload, history=History())
        async with one:
            await eventually(lambda: owned(one) == set(NAMES))
            of_one = one._run.components.fleet.membership
            [source] = of_one.sources
            await eventually(lambda: all(source.are_behind([name]) for name in NAMES))
            async with asyncio.TaskGroup() as tasks, AsyncExitStack() as stack:
                tasks.create_task(stack.enter_async_context(two))
                await eventually(lambda: of_one.member.announced is not None, 20)
                free.set()
                await all_owned(one, two)
                await eventually(lambda: len(heard) >= len(published))
    assert sorted(heard) == sorted(published)
    assert gaps == []


async def test_f1_the_rights_that_the_documentation_names_are_enough(server):
    rights = (
        "+eval +evalsha +time +hgetall +hmget +hset +hdel +sadd +sismember +del +pexpire +publish"
        " +subscribe +unsubscribe +pubsub|numsub +client|setname +client|list +client|kill"
        " +ping +hello +auth"
    )
    async with Redis(server.host, server.port) as client:
        await client.execute_command(
            *("ACL", "SETUSER", "just", "on", ">secret", "-@all", *rights.split()),
            *("~fleet:{shop}*", "resetchannels", "&fleet:{shop}*", "&name-*"),
        )
    one, two = (member(server, [], username="just", password="secret") for _ in range(2))
    async with one, two:
        await all_owned(one, two)
        assert one._run.components.fleet.membership.settings.may_kill
