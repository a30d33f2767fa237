"""A fleet on a Ray cluster of two nodes: deployed, scaled, with a node that dies, drained.

The server counts what the members have handled, so that a message handled twice is seen wherever
its two handlers were.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from importlib.util import find_spec

import pytest

from actors import Redis
from actors.testing import EmbeddedServer
from tests.support import eventually
from tests.worker.ray.cluster import two_nodes
from tests.worker.ray.shop import CHANNELS, HANDLED

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(
        find_spec("ray") is None, reason="Ray is not installed: it has no wheel for this Python"
    ),
    pytest.mark.timeout(300),
    # Ray's own, of objects that it leaves to the end of the process.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),
]

APP = "tests.worker.ray.shop:app"


@pytest.fixture(scope="module")
def nodes():
    with two_nodes() as nodes:
        yield nodes


@pytest.fixture
async def server():
    async with EmbeddedServer() as server:
        yield server


@pytest.fixture
async def client(server):
    async with Redis.from_url(server.url) as client:
        yield client


async def deploy(app, members, server):
    # Imported here, as Ray itself in the fixture.
    from actors.worker.ray import deploy

    return await asyncio.to_thread(deploy, app, members, url=server.url, timeout=120)


@asynccontextmanager
async def load(client):
    """Publish numbers on every channel, some hundred a second; yields the list of what was."""
    published, go_on = [], True

    async def publish():
        number = 0
        while go_on:
            for channel in CHANNELS:
                await client.publish(channel, str(number))
                published.append(f"{channel}:{number}")
            number += 1
            await asyncio.sleep(0.03)

    task = asyncio.create_task(publish())
    try:
        yield published
    finally:
        go_on = False
        await task


async def handled(client):
    counts = await client.execute_command("HGETALL", HANDLED)
    return {entry.decode(): int(count) for entry, count in counts.items()}


async def twice(client):
    return [entry for entry, count in (await handled(client)).items() if count > 1]


async def ready(fleet, members):
    """The members, once so many of them are ready."""

    async def asked():
        found = await asyncio.to_thread(fleet.status)
        return found if sum(one.ready for one in found) == members else None

    return await eventually(asked, timeout=120, every=0.2)


async def test_scaling_and_draining_lose_nothing(nodes, server, client):
    fleet = await deploy(APP, 2, server)
    try:
        members = await ready(fleet, 2)
        assert [one.name for one in members] == fleet.members() == ["shop-0", "shop-1"]
        assert len({one.node for one in members}) == 2
        assert {one.state for one in members} == {"running"}
        async with load(client) as published:
            await eventually(lambda: len(published) > 200, timeout=60)
            await asyncio.to_thread(fleet.scale, 3)
            again = await deploy(APP, 3, server)
            assert len(await ready(again, 3)) == 3
            await asyncio.to_thread(fleet.scale, 1)
            assert fleet.members() == ["shop-0"]
            more = len(published) + 200
            await eventually(lambda: len(published) > more, timeout=60)
        drained = await asyncio.to_thread(fleet.drain)
        assert {name: one.in_time for name, one in drained.items()} == {"shop-0": True}
        counts = await handled(client)
        assert sorted(counts) == sorted(published)
        assert set(counts.values()) == {1}
    finally:
        await asyncio.to_thread(fleet.drain)
    assert fleet.members() == []


@pytest.mark.parametrize("signum", [signal.SIGSTOP, signal.SIGKILL])
async def test_a_node_that_is_gone_has_its_members_elsewhere_and_nothing_is_handled_twice(
    nodes, server, client, signum
):
    """Of a node that only stands still, the member goes on beside the one that Ray starts."""
    second = nodes.second()  # in the main thread: Ray installs signal handlers
    fleet = await deploy(APP, 2, server)
    try:
        members = await ready(fleet, 2)
        (lost,) = [one for one in members if one.node == second]
        (left,) = [one for one in members if one.node != second]
        async with load(client) as published:
            await eventually(lambda: len(published) > 200, timeout=60)
            nodes.signal_second(signum)

            async def back():
                found = {one.name: one for one in await ready(fleet, 2)}
                return found if found[lost.name].pid != lost.pid else None

            found = await eventually(back, timeout=120, every=0.2)
            assert found[left.name].pid == left.pid
            assert {one.node for one in found.values()} == {left.node}
            assert signum == signal.SIGKILL or is_running(lost.pid)
            since = len(published)
            await eventually(lambda: len(published) > since + 200, timeout=60)
        await asyncio.to_thread(fleet.drain)

        async def all_handled():
            return set(published[since:]) <= set(await handled(client))

        await eventually(all_handled, timeout=60)
        assert await twice(client) == []
    finally:
        await asyncio.to_thread(fleet.drain)
        await asyncio.to_thread(nodes.remove_second)


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_member_that_ends_by_itself_is_restarted(nodes, server, client):
    fleet = await deploy(APP, 1, server)
    try:
        (before,) = await ready(fleet, 1)
        await client.publish("end", "")

        async def restarted():
            (member,) = await asyncio.to_thread(fleet.status)
            return member.ready and member.pid != before.pid

        await eventually(restarted, timeout=120, every=0.2)
    finally:
        await asyncio.to_thread(fleet.drain)


async def test_what_a_member_cannot_start_for_is_raised_and_nothing_stays(nodes, server):
    with pytest.raises(ValueError, match="no shop today"):
        await deploy("tests.worker.ray.shop:refused", 1, server)
    names = await asyncio.to_thread(ray_names)
    assert not [name for name in names if name.startswith("refused")]


def ray_names():
    import ray

    return [one["name"] for one in ray.util.list_named_actors(all_namespaces=True)]


def test_without_ray_the_error_names_the_extra():
    program = "import sys; sys.modules['ray'] = None; import actors.worker.ray"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1
    assert "pip install 'mailslot[ray]'" in done.stderr.splitlines()[-1]
