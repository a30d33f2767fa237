"""P1: a call that is cancelled leaves nothing of itself, at whichever moment that happens.

Each test cancels the same call after 0, 1, 2 ... turns of the event loop, until the call is done
before that. Afterwards the user's view, the server and the consumers must agree.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
import pytest_asyncio

from actors import ActorSystem, Redis, RedisCluster
from actors.pubsub.api.base import BasePubSub
from actors.testing import EmbeddedServer
from actors.testing.clusters.cluster import EmbeddedCluster
from tests.clusters.lending import NODE_TIMEOUT
from tests.clusters.lending import client_of as cluster_client
from tests.pubsub.helpers import data_of, drain
from tests.support import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: More turns than any of these calls takes on a server that answers.
MOST_TURNS = 400


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster() -> AsyncIterator[EmbeddedCluster]:
    """What differs between servers is tested elsewhere."""
    async with EmbeddedCluster(node_timeout=NODE_TIMEOUT) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[EmbeddedServer]:
    async with EmbeddedServer() as running:
        yield running


class Case:
    """One kind of subscriptions: how to make them, and what the server says of them."""

    def __init__(self, kind: str, client: Redis[Any] | RedisCluster[Any]) -> None:
        self.kind = kind
        self.client: Any = client

    def pubsub(self, **options: Any) -> BasePubSub[Any]:
        options = {"ignore_subscribe_messages": True, "subscription_timeout": 10, **options}
        options.setdefault("unsubscription_timeout", 10)
        make = self.client.sharded_pubsub if self.kind == "shard" else self.client.pubsub
        made: BasePubSub[Any] = make(**options)
        return made

    def subscribe(self, p: Any, *names: str, **handlers: Any) -> Coroutine[Any, Any, None]:
        call = p.psubscribe if self.kind == "pattern" else p.subscribe
        made: Coroutine[Any, Any, None] = call(*names, **handlers)
        return made

    def unsubscribe(self, p: Any, *names: str) -> Coroutine[Any, Any, None]:
        call = p.punsubscribe if self.kind == "pattern" else p.unsubscribe
        made: Coroutine[Any, Any, None] = call(*names)
        return made

    def shown(self, p: Any) -> dict[Any, Any]:
        shown: dict[Any, Any] = p.patterns if self.kind == "pattern" else p.channels
        return shown

    async def at_server(self) -> int:
        """How many targets the servers have."""
        if self.kind == "pattern":
            return int(await self.client.pubsub_numpat())
        if self.kind == "shard":
            return len(await self.client.pubsub_shardchannels())
        return len(await self.client.pubsub_channels())

    async def publish(self, name: str, payload: str) -> None:
        await (self.client.spublish if self.kind == "shard" else self.client.publish)(name, payload)

    async def check(self, p: BasePubSub[Any], *got: list[Any]) -> None:
        """Everything agrees, and each message has one consumer: the one that the user sees.

        ``got`` are the lists that handlers append messages to.
        """
        calls = p._session.require_open().reconciler.calls

        async def agree() -> bool:
            return await self.at_server() == len(self.shown(p))

        await eventually(lambda: not (calls.subscribing or calls.unsubscribing or calls._unsettled))
        await eventually(agree)
        assert p.subscribed is bool(self.shown(p))
        handlers = [one for one in self.shown(p).values() if one is not None]
        await eventually(lambda: _handlers(p) == len(handlers))
        for one in got:
            one.clear()
        await drain(p)
        for name, handler in self.shown(p).items():
            await self.publish(name, "m")
            if handler is None:
                assert await data_of(p, 1) == ["m"]
            else:
                await eventually(lambda: sum(map(len, got)) == 1)
                assert [len(one) for one in got if handler == one.append] == [1]
                for one in got:
                    one.clear()


def _handlers(p: BasePubSub[Any]) -> int:
    tree = p._session.require_open()
    assert tree._handlers is not None
    return len(tree._handlers)


@pytest_asyncio.fixture(params=["channel", "pattern", "shard", "cluster"], loop_scope="module")
async def case(request, server, cluster) -> AsyncIterator[Case]:
    plain = request.param in ("channel", "pattern")
    made = Redis.from_url(server.url, decode_responses=True) if plain else cluster_client(cluster)
    async with made as client:
        yield Case(request.param, client)


async def every_moment(
    try_once: Callable[[int], Coroutine[Any, Any, asyncio.Task[Any]]],
) -> Counter[str]:
    """Call ``try_once`` with 0, 1, 2 ... turns until its task was done before it was cancelled."""
    outcomes: Counter[str] = Counter()
    for turns in range(MOST_TURNS):
        task = await try_once(turns)
        outcomes["cancelled" if task.cancelled() else "done"] += 1
        if not task.cancelled():
            task.result()
            break
    assert outcomes["cancelled"] > 0
    assert outcomes["done"] == 1
    return outcomes


async def cancel_after(turns: int, call: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    task = asyncio.ensure_future(call)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    return task


@pytest.mark.parametrize("with_handler", [False, True])
async def test_p1_subscribe(case: Case, with_handler: bool):
    got: list[Any] = []
    async with case.pubsub() as p:
        await case.subscribe(p, "keep")

        async def once(turns: int) -> asyncio.Task[Any]:
            handlers = {"x": got.append} if with_handler else {"x": None}
            task = await cancel_after(turns, case.subscribe(p, **handlers))
            assert ("x" in case.shown(p)) is not task.cancelled()
            await case.check(p, got)
            return task

        await every_moment(once)


@pytest.mark.parametrize("new", ["handler", "iterator"])
async def test_p1_subscribe_again_keeps_the_consumer_that_was_there(case: Case, new: str):
    first: list[Any] = []
    second: list[Any] = []
    async with case.pubsub() as p:
        await case.subscribe(p, x=first.append)

        async def once(turns: int) -> asyncio.Task[Any]:
            handlers = {"x": second.append} if new == "handler" else {"x": None}
            task = await cancel_after(turns, case.subscribe(p, **handlers))
            expected = first.append if task.cancelled() else handlers["x"]
            assert case.shown(p) == {"x": expected}
            await case.check(p, first, second)
            return task

        await every_moment(once)


@pytest.mark.parametrize("all_of_them", [False, True])
@pytest.mark.parametrize("with_handler", [False, True])
async def test_p1_unsubscribe_takes_effect_or_has_not_begun(
    case: Case, with_handler: bool, all_of_them: bool
):
    got: list[Any] = []
    async with case.pubsub() as p:

        async def once(turns: int) -> asyncio.Task[Any]:
            await case.subscribe(p, "keep", x=got.append if with_handler else None)
            names = () if all_of_them else ("x",)
            task = await cancel_after(turns, case.unsubscribe(p, *names))
            await case.check(p, got)
            if turns > 0:
                left = set() if all_of_them else {"keep"}
                await eventually(lambda: set(case.shown(p)) == left)
            await case.unsubscribe(p)
            await case.check(p, got)
            return task

        await every_moment(once)


@pytest.mark.parametrize("earlier", [0, 1, 2, 3])
@pytest.mark.parametrize("cancelled", ["first", "second"])
async def test_p1_a_cancelled_subscribe_disturbs_no_other_one(
    case: Case, cancelled: str, earlier: int
):
    """Two tasks ask for one name; the one that is not cancelled succeeds and has the messages."""
    first: list[Any] = []
    second: list[Any] = []
    async with case.pubsub() as p:
        await case.subscribe(p, "keep")

        async def once(turns: int) -> asyncio.Task[Any]:
            tasks = [asyncio.ensure_future(case.subscribe(p, x=first.append))]
            for _ in range(earlier):
                await asyncio.sleep(0)
            tasks.append(asyncio.ensure_future(case.subscribe(p, x=second.append)))
            victim, other = tasks if cancelled == "first" else reversed(tasks)
            for _ in range(turns):
                await asyncio.sleep(0)
            victim.cancel()
            await asyncio.wait([victim])
            await other
            # The later call wins where both succeed.
            won = first if victim.cancelled() and victim is tasks[1] else second
            assert case.shown(p) == {"keep": None, "x": won.append}
            await case.check(p, first, second)
            await case.unsubscribe(p, "x")
            return victim

        await every_moment(once)


@pytest.mark.parametrize("earlier", [0, 1, 2])
async def test_p1_a_cancelled_unsubscribe_ends_no_later_subscription(case: Case, earlier: int):
    got: list[Any] = []
    async with case.pubsub() as p:
        await case.subscribe(p, "keep")

        async def once(turns: int) -> asyncio.Task[Any]:
            await case.subscribe(p, "x")
            task = asyncio.ensure_future(case.unsubscribe(p, "x"))
            for _ in range(earlier):
                await asyncio.sleep(0)
            later = asyncio.ensure_future(case.subscribe(p, x=got.append))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            await later
            assert case.shown(p) == {"keep": None, "x": got.append}
            await case.check(p, got)
            return task

        await every_moment(once)


async def test_p1_an_unsubscribe_between_two_subscribes_of_one_name_keeps_the_order(case: Case):
    """The first call's consumer does not come back over the one of the call after the end."""
    lists: list[list[Any]] = [[], [], []]
    async with case.pubsub() as p:
        await case.subscribe(p, "keep")
        for turns in range(30):
            calls = [
                case.subscribe(p, x=lists[0].append),
                case.subscribe(p, x=lists[1].append),
                case.unsubscribe(p, "x"),
                case.subscribe(p, x=lists[2].append),
            ]
            tasks = [asyncio.ensure_future(call) for call in calls]
            for _ in range(turns):
                await asyncio.sleep(0)
            tasks[turns % 2].cancel()
            await asyncio.wait(tasks)
            assert case.shown(p) == {"keep": None, "x": lists[2].append}
            await case.check(p, *lists)
            await case.unsubscribe(p, "x")


async def test_p1_drain(case: Case):
    got: list[Any] = []
    async with case.pubsub() as p:

        async def once(turns: int) -> asyncio.Task[Any]:
            await case.subscribe(p, "keep", x=got.append)
            task = await cancel_after(turns, p.drain(10))
            if turns > 0:
                assert not p.subscribed or task.cancelled()
                await eventually(lambda: not p.subscribed)
            await case.check(p, got)
            await case.unsubscribe(p)
            return task

        await every_moment(once)


async def test_p1_calls_at_a_server_that_does_not_answer(server: EmbeddedServer):
    """What was sent before the cancellation is taken back once the server goes on."""
    got: list[Any] = []
    async with (
        Redis.from_url(server.url, decode_responses=True, stream_timeout=10) as client,
        Case("channel", client).pubsub(max_idle_seconds=30) as p,
    ):
        case = Case("channel", client)
        await case.subscribe(p, "keep", "gone")
        server.pause()
        calls = [
            case.subscribe(p, "a"),
            case.subscribe(p, b=got.append),
            case.unsubscribe(p, "gone"),
        ]
        try:
            tasks = [asyncio.ensure_future(call) for call in calls]
            for _ in range(10):
                await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            assert all(task.cancelled() for task in tasks)
            assert p.channels == {"keep": None}
        finally:
            server.resume()
        await case.check(p, got)


async def test_p1_iteration_ends_though_the_unsubscribe_was_cancelled(case: Case):
    """With several iterators, all of them end."""
    for turns in range(1, 12):
        async with case.pubsub(ignore_subscribe_messages=turns % 2 == 0) as p:
            await case.subscribe(p, "x")
            await drain(p)
            readers = [asyncio.ensure_future(_read(p)) for _ in range(3)]
            await asyncio.sleep(0)
            await cancel_after(turns, case.unsubscribe(p))
            await asyncio.wait_for(asyncio.gather(*readers), 10)


async def _read(p: BasePubSub[Any]) -> list[Any]:
    return [one async for one in p]


@pytest.mark.parametrize("system", ["its own", "given"])
async def test_p13_entering_and_leaving(case: Case, system: str):
    """No connection stays in use, no subscription at the server, and no task."""
    async with ActorSystem("mine") as mine:
        options = {"system": mine} if system == "given" else {}
        before = asyncio.all_tasks()

        async def once(turns: int, leave: bool) -> asyncio.Task[Any]:
            p = case.pubsub(channels=["a"], channel_handlers={"b": print}, **options)
            if leave:
                await p.__aenter__()
                task = await cancel_after(turns + 1, p.__aexit__(None, None, None))
            else:
                task = await cancel_after(turns, p.__aenter__())
                if not task.cancelled():
                    await p.__aexit__(None, None, None)
            assert not p.subscribed

            async def nothing_left() -> bool:
                in_use = case.client.connection_pool.in_use
                return in_use == 0 and await case.at_server() == 0

            await eventually(nothing_left)
            await eventually(lambda: asyncio.all_tasks() <= before | {asyncio.current_task()})
            return task

        await every_moment(lambda turns: once(turns, leave=False))
        await every_moment(lambda turns: once(turns, leave=True))


async def test_a3_a_cancelled_reader_takes_no_message(case: Case):
    async with case.pubsub() as p:
        await case.subscribe(p, "x")
        await drain(p)
        for number in range(40):
            name = "x"
            reader = asyncio.ensure_future(anext(p) if number % 2 else p.get_message())
            await asyncio.sleep(0)
            publishing = asyncio.ensure_future(case.publish(name, str(number)))
            for _ in range(number):
                await asyncio.sleep(0)
            reader.cancel()
            await asyncio.wait([reader])
            await publishing
            one = await p.get_message(timeout=10) if reader.cancelled() else reader.result()
            assert one is not None
            assert one["data"] == str(number)
