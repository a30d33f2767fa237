"""Lost connections: back within half a second, handlers and iterator as before, one Gap each."""

from __future__ import annotations

import asyncio
import threading
import time
from itertools import pairwise

import pytest

from actors import Gap, exceptions
from supervisor import ConstantRetryPolicy, NoRetryPolicy
from tests.pubsub.helpers import (
    QUICK,
    Gaps,
    Heard,
    client_of,
    data_of,
    flood,
    kill_subscribers,
    numsub,
    subscribers,
    take,
    within,
)
from tests.servers import AnyServer, ask
from tests.support import eventually


class Story(list):
    """What one consumer sees, in order: numbers, and gaps between them."""

    def __call__(self, message) -> None:
        self.append(int(message["data"]))

    @property
    def gaps(self) -> list[Gap]:
        return [event for event in self if isinstance(event, Gap)]

    def check(self) -> None:
        """Numbers rise, and wherever one is missing there was a gap before the next one."""
        last, told = -1, True
        for event in self:
            if isinstance(event, Gap):
                told = True
                continue
            assert event > last, "twice, or out of order"
            assert event == last + 1 or told, f"{last + 1} is missing and nobody said so"
            last, told = event, False


@pytest.mark.every_backend
async def test_p2_p10_killed_ten_times_in_a_row_under_load(server: AnyServer, full_speed):
    stories = {name: Story() for name in ("handled", "async", "by-pattern", "iterated")}

    async def handle_later(message) -> None:
        await asyncio.sleep(0)
        stories["async"](message)

    def on_gap(gap: Gap) -> None:
        stories[gap.name.rstrip("*")].append(gap)

    async with (
        client_of(server) as client,
        client.pubsub(
            channels=["iterated"],
            channel_handlers={"handled": stories["handled"], "async": handle_later},
            pattern_handlers={"by-pattern*": stories["by-pattern"]},
            ignore_subscribe_messages=True,
            on_gap=on_gap,
        ) as p,
    ):

        async def iterate() -> None:
            async for message in p:
                stories["iterated"](message)

        iterating = asyncio.create_task(iterate())
        async with flood(client, list(stories)) as last:
            for turn in range(1, 11):
                await asyncio.sleep(0.15)
                begun = time.monotonic()
                kill_subscribers(server)
                await eventually(lambda n=turn: all(len(s.gaps) == n for s in stories.values()))
                took = time.monotonic() - begun
                assert took < 0.5, f"reconnect {turn} took {took:.3f} s"
        for name in stories:
            await client.publish(name, str(last[name] + 1))
        await eventually(lambda: all(stories[name][-1] == last[name] + 1 for name in stories))
        assert not iterating.done()
        assert p.stats().reconnects == 10
        assert p.stats().gaps == 40
        iterating.cancel()
    for name, story in stories.items():
        story.check()
        assert len(story.gaps) == 10, name
        assert all(0 < gap.seconds < 0.5 for gap in story.gaps)
        assert all("connection lost" in gap.reason for gap in story.gaps)
        assert all(a.until < b.since + 0.001 for a, b in pairwise(story.gaps))


async def test_k4_eight_isolated_disconnections_reconnect_within_half_a_second_each(
    server: AnyServer,
):
    """The count of failures starts anew with every connection that worked."""
    async with client_of(server) as client, client.pubsub(channels=["a"]) as p:
        for turn in range(1, 9):
            await asyncio.sleep(0.12)
            with within(0.5):
                kill_subscribers(server)
                await eventually(lambda n=turn: p.stats().gaps == n and numsub(server, "a") == 1)


async def test_k4_time_outs_are_no_budget_of_a_lifetime(server: AnyServer):
    """The default policy grants two retries of a time-out in a row, not two in a life."""
    async with (
        client_of(server, stream_timeout=0.1, connect_timeout=0.2) as client,
        client.pubsub(channels=["a"], max_idle_seconds=0.1) as p,
    ):
        for turn in range(1, 5):
            server.pause()
            await eventually(lambda: not p.nodes())
            server.resume()
            await eventually(lambda n=turn: p.stats().gaps == n)
        await client.publish("a", "1")
        assert await data_of(p, 1) == ["1"]


async def test_k1_handlers_are_not_lost_on_reconnect(server: AnyServer):
    one, two = Heard(), Heard()
    async with (
        client_of(server) as client,
        client.pubsub(channel_handlers={"ch": one}, pattern_handlers={"p*": two}) as p,
    ):
        await take(p, 2)
        for turn in range(1, 3):
            kill_subscribers(server)
            # Fresh acknowledgements surface, and no message does.
            assert [ack["type"] for ack in await take(p, 2)] == ["subscribe", "psubscribe"]
            await client.publish("ch", str(turn))
            await client.publish("p1", str(turn))
            await one.wait(turn)
            await two.wait(turn)
        assert p.channels == {"ch": one}
        assert await p.get_message(ignore_subscribe_messages=True, timeout=0) is None


async def test_k2_iteration_survives_a_disconnection_while_the_body_is_busy(server: AnyServer):
    async with (
        client_of(server) as client,
        client.pubsub(channels=["a"], ignore_subscribe_messages=True) as p,
    ):
        found = []
        await client.publish("a", "0")
        async for message in p:
            found.append(int(message["data"]))
            if len(found) == 5:
                break
            # The body is busy while the connection goes and comes back.
            kill_subscribers(server)
            await eventually(lambda: p.stats().gaps == len(found))
            await client.publish("a", str(len(found)))
        assert found == [0, 1, 2, 3, 4]


async def test_contract_acks_surface_again_after_a_reconnect(server: AnyServer):
    async with client_of(server) as client, client.pubsub(channels=["a", "b"]) as p:
        first = await take(p, 2)
        kill_subscribers(server)
        assert sorted(await take(p, 2), key=str) == sorted(first, key=str)
    async with (
        client_of(server) as client,
        client.pubsub(channels=["a"], ignore_subscribe_messages=True) as p,
    ):
        kill_subscribers(server)
        await eventually(lambda: p.stats().gaps == 1)
        await client.publish("a", "1")
        async for message in p:
            assert message["data"] == "1"
            break


async def test_p10_a_gap_says_from_when_to_when(server: AnyServer):
    gaps, heard = Gaps(), Heard()
    async with (
        client_of(server) as client,
        client.pubsub(channel_handlers={"a": heard}, on_gap=gaps, retry_policy=QUICK),
    ):
        before = time.time()
        await client.publish("a", "after this one it surely lived")
        await heard.wait(1)
        between = time.time()
        await client.publish("a", "since it sent this one")
        await heard.wait(2)
        killed_at = time.time()
        kill_subscribers(server)
        await eventually(lambda: gaps)
        after = time.time()
    (gap,) = gaps
    assert (gap.kind, gap.name) == ("channel", "a")
    assert before < gap.since < between
    assert killed_at < gap.until < after
    assert gap.seconds == gap.until - gap.since
    assert gap.reason == "connection lost: the server closed it"


async def test_p10_what_was_lost_while_the_loop_was_late_lies_in_the_gap(server: AnyServer):
    """Messages wait at the socket, and then the end: it came at any time since the last look."""
    gaps, heard, lost = Gaps(), Heard(), []

    def meanwhile() -> None:
        ask(server, "PUBLISH", "a", "2")
        kill_subscribers(server)
        ask(server, "PUBLISH", "a", "3")
        lost.append(time.time())
        time.sleep(0.1)

    async with (
        client_of(server) as client,
        client.pubsub(channel_handlers={"a": heard}, on_gap=gaps, retry_policy=QUICK),
    ):
        await client.publish("a", "1")
        await heard.wait(1)
        thread = threading.Thread(target=meanwhile)
        thread.start()
        thread.join()  # nothing else runs in this loop until then
        await eventually(lambda: gaps)
    assert heard == ["1", "2"]
    assert gaps[0].since < lost[0] < gaps[0].until


async def test_p10_on_gap_may_be_a_coroutine_function_and_may_fail(server: AnyServer, caplog):
    heard, told = Heard(), []

    async def on_gap(gap: Gap) -> None:
        await asyncio.sleep(0)
        told.append((gap.name, len(heard)))
        raise ValueError("mine")

    async with (
        client_of(server) as client,
        client.pubsub(channel_handlers={"a": heard}, on_gap=on_gap, retry_policy=QUICK),
    ):
        await client.publish("a", "1")
        await heard.wait(1)
        kill_subscribers(server)
        await eventually(lambda: told)
        await client.publish("a", "2")
        await heard.wait(2)
    assert told == [("a", 1)]
    assert "hook_failed" in caplog.text


async def test_p3_two_pubsubs_of_one_client_fail_apart(server: AnyServer):
    async with (
        client_of(server) as client,
        client.pubsub(channels=["a"], retry_policy=QUICK) as a,
        client.pubsub(channels=["b"], retry_policy=QUICK) as b,
    ):
        assert a.connection is not None
        own = await a.connection.execute("CLIENT", "ID")
        (victim,) = (one for one in subscribers(server) if int(one["id"]) == own)
        ask(server, "CLIENT", "KILL", "ID", victim["id"])
        await eventually(lambda: a.stats().gaps == 1)
        assert b.stats().gaps == b.stats().reconnects == 0
        await client.publish("a", "1")
        await client.publish("b", "2")
        assert await data_of(a, 1) == ["1"]
        assert await data_of(b, 1) == ["2"]


# -- policies that end -----------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [None, NoRetryPolicy()], ids=["None", "NoRetryPolicy"])
async def test_contract_without_a_retry_policy_the_body_gets_the_error(
    server: AnyServer, policy, caplog
):
    heard = Heard()
    with pytest.raises(ExceptionGroup) as caught:
        async with (
            client_of(server) as client,
            client.pubsub(channel_handlers={"a": heard}, retry_policy=policy),
        ):
            kill_subscribers(server)
            await asyncio.sleep(5)
            pytest.fail("the body goes on")
    (error,) = caught.value.exceptions
    assert isinstance(error, exceptions.ConnectionError)
    assert "the server closed it" in str(error)
    assert str(caught.value) == "the pubsub gave up (1 sub-exception)"
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_contract_whoever_reads_gets_the_error_too(server: AnyServer):
    async with client_of(server) as client:
        with pytest.raises(ExceptionGroup):
            async with client.pubsub(channels=["a"], retry_policy=None) as p:
                await take(p, 1)

                async def iterate() -> None:
                    async for _ in p:
                        pass

                readers = [asyncio.create_task(p.get_message()), asyncio.create_task(iterate())]
                await asyncio.sleep(0)
                kill_subscribers(server)
                for result in await asyncio.gather(*readers, return_exceptions=True):
                    assert isinstance(result, exceptions.ConnectionError)
                await asyncio.sleep(5)
        with pytest.raises(exceptions.ConnectionError):
            await p.get_message()


async def test_contract_a_spent_policy_gives_up_with_the_last_error(server: AnyServer):
    policy = ConstantRetryPolicy((exceptions.ConnectionError,), retries=3, delay=0.02)
    with within(3), pytest.raises(ExceptionGroup) as caught:
        async with (
            client_of(server) as client,
            client.pubsub(channels=["a"], retry_policy=policy) as p,
        ):
            await server.stop()
            async for _ in p:
                pass
    (error,) = caught.value.exceptions
    assert isinstance(error, exceptions.ConnectionError)
    assert "refused" in str(error)


async def test_an_error_of_the_body_is_not_hidden_by_giving_up(server: AnyServer):
    async with client_of(server) as client:
        with pytest.raises(ValueError, match="mine"):
            async with client.pubsub(channels=["a"], retry_policy=None):
                try:
                    kill_subscribers(server)
                    await asyncio.sleep(5)
                finally:
                    raise ValueError("mine")
