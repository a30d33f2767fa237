"""What handlers raise (P12), and what a call that fails makes of the handlers that were there."""

from __future__ import annotations

import asyncio
import sys

import pytest

from actors import Actor, ActorSystem, Handler, exceptions
from tests.pubsub.helpers import Heard, client_of, message, take, within
from tests.servers import AnyServer, ask
from tests.support import eventually

# Nothing here depends on whose server it is.
pytestmark = pytest.mark.embedded_only


class Bare(BaseException):
    """No Exception: pytest's own failures are such, for instance."""


async def _cancel_itself() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


async def _raise(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    "fail",
    [
        lambda: _raise(Bare()),
        lambda: _raise(GeneratorExit()),
        lambda: _raise(asyncio.CancelledError()),
        lambda: _raise(BaseExceptionGroup("several", [Bare()])),
        _cancel_itself,
    ],
    ids=["bare", "generator-exit", "cancelled", "group", "cancels itself"],
)
async def test_p12_whatever_a_handler_raises_costs_its_own_message_only(
    shared_server: AnyServer, fail
):
    """More often than any restart intensity allows; and the others never hear of it."""
    good, other, failures = [], Heard(), []

    async def handler(heard) -> None:
        if heard["data"] == "bad":
            await fail()
        good.append(heard["data"])

    async with (
        client_of(shared_server) as client,
        client.pubsub(channel_handlers={"a": handler, "b": other}, on_failure=failures.append) as p,
    ):
        for turn in range(8):
            await client.publish("a", "bad")
            await client.publish("a", str(turn))
            await client.publish("b", str(turn))
        await eventually(lambda: len(good) == 8, 10)
        await other.wait(8)
        assert good == other == [str(turn) for turn in range(8)]
        assert [failure.message["data"] for failure in failures] == ["bad"] * 8
        assert p.channels == {"a": handler, "b": other}
    assert not [task for task in asyncio.all_tasks() if "handlers" in task.get_name()]


async def test_s2_a_system_exit_of_a_handler_surfaces_from_the_body(shared_server: AnyServer):
    def leave(_) -> None:
        sys.exit(3)

    async with client_of(shared_server) as client:
        with pytest.raises(SystemExit) as caught, within(2):
            async with client.pubsub(channels=["b"], channel_handlers={"a": leave}) as p:
                reader = asyncio.ensure_future(_read(p))
                await client.publish("a", "1")
                await asyncio.Event().wait()
        assert caught.value.code == 3
        # Who reads in another task is told, and is not what ends the loop.
        with pytest.raises(exceptions.ConnectionError, match=r"SystemExit\(3\)"):
            await reader


async def _read(p) -> None:
    async for one in p:
        assert "subscribe" in one["type"]


async def test_a5_what_comes_for_a_handler_that_ended_is_a_dead_letter(shared_server: AnyServer):
    class Once(Actor[object]):
        async def receive(self, message: object) -> None:
            self.context.stop()

    letters = []
    async with (
        ActorSystem(on_dead_letter=letters.append),
        client_of(shared_server) as client,
        client.pubsub(channel_handlers={"a": Handler(Once)}) as p,
    ):
        for turn in range(3):
            await client.publish("a", str(turn))
            await eventually(lambda n=turn: p.stats().received == n + 1 and len(letters) == n)
    assert [letter.message for letter in letters] == [message("a", "1"), message("a", "2")]


# -- calls that fail -------------------------------------------------------------------------------


async def test_p2_a_refused_call_leaves_the_handlers_that_were_there(server: AnyServer):
    heard, new = Heard(), Heard()
    ask(server, "ACL", "SETUSER", "limited", "on", ">secret", "+@all", "&ok*")
    async with (
        client_of(server, username="limited", password="secret") as client,
        client.pubsub(channel_handlers={"ok": heard}, channels=["ok2"]) as p,
    ):
        for call in (p.subscribe("ok", "denied"), p.subscribe(ok=new, denied=new)):
            with pytest.raises(exceptions.AuthorizationError):
                await call
            assert p.channels == {"ok": heard, "ok2": None}
        await client.publish("ok", "1")
        await heard.wait(1)
        assert new == []
        await p.subscribe(ok=new)
        await client.publish("ok", "2")
        await new.wait(1)
        assert (heard, new) == (["1"], ["2"])
        assert len(p._session.require_open()._handlers) == 1  # type: ignore[arg-type]


async def test_p2_a_call_that_times_out_leaves_the_handlers_that_were_there(server: AnyServer):
    heard, new = Heard(), Heard()
    async with (
        client_of(server) as client,
        client.pubsub(channel_handlers={"a": heard}, subscription_timeout=0.1) as p,
    ):
        server.pause()
        with pytest.raises(TimeoutError):
            await p.subscribe(a=new, b=new)
        server.resume()
        assert p.channels == {"a": heard}
        await client.publish("a", "1")
        await heard.wait(1)
        assert new == []


async def test_p1_of_two_calls_for_one_name_the_second_is_not_ended_by_the_first(
    server: AnyServer,
):
    first, second = Heard(), Heard()
    async with client_of(server) as client, client.pubsub(subscription_timeout=5) as p:
        await p.subscribe("before")
        server.pause()
        call = asyncio.ensure_future(p.subscribe(a=first))
        await asyncio.sleep(0)
        other = asyncio.ensure_future(p.subscribe(a=second))
        await asyncio.sleep(0.02)
        call.cancel()
        await asyncio.wait([call])
        server.resume()
        await other
        assert p.channels == {"before": None, "a": second}
        await client.publish("a", "1")
        await second.wait(1)
        assert first == []


async def test_contract_an_unsubscribe_of_nothing_counts_what_is_left(shared_server: AnyServer):
    async with client_of(shared_server) as client, client.pubsub(patterns=["p*", "q*"]) as p:
        assert len(await take(p, 2)) == 2
        await p.unsubscribe()
        (nothing,) = await take(p, 1)
        assert nothing == message(None, 2, type="unsubscribe")
