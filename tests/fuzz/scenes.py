"""What is cancelled: each scene makes a call that may be cut, and checks what the call leaves.

After a cut the object either did what the call asks for or did not, and says which; it goes on
working; and nothing is lost that was not asked to go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from actors import Actor, ActorSystem
from tests.fuzz.judge import Judge
from tests.fuzz.limits import LIMIT, Fault
from tests.fuzz.places import Place
from tests.fuzz.rounds import Cut
from tests.worker.helpers import make_worker

__all__ = ["SCENES", "Scene"]

#: Plays one scene: the judge, where, and what cuts.
Scene = Callable[[Judge, Place, Cut], Awaitable[None]]


async def _until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    end = asyncio.get_running_loop().time() + LIMIT
    while not await condition():
        if asyncio.get_running_loop().time() > end:
            raise Fault(f"not within {LIMIT} s: {what}")
        await asyncio.sleep(0.005)


async def _goes_on(place: Place, pubsub: Any) -> None:
    """Subscribe to one more channel, and receive from it."""
    await pubsub.subscribe("later")
    await place.publish("later", "hello")

    async def heard() -> bool:
        message = await pubsub.get_message(timeout=0.05)
        return message is not None and message["data"] == "hello"

    await _until(heard, "a message on another channel after the cut")


async def _agrees(place: Place, pubsub: Any, name: str) -> None:
    """Wait until ``channels`` and the server say the same of ``name``."""

    async def agree() -> bool:
        return (name in pubsub.channels) == (await place.subscribers(name) > 0)

    await _until(agree, f"channels and server agree on {name!r}; channels: {list(pubsub.channels)}")


async def _nobody(place: Place) -> bool:
    return await place.subscribers("a") == 0


async def _free(client: Any) -> None:
    # A reply that is still on its way may hold its place until it comes.
    await _until(
        lambda: _true(not client.connection_pool.in_use), "all places of the pool are free"
    )


# -- clients and subscriptions ---------------------------------------------------------------------


async def connect(judge: Judge, place: Place, cut: Cut) -> None:
    client = place.client()
    if await cut(client.__aenter__()):
        await client.__aexit__(None, None, None)
    async with place.client() as fresh:
        await fresh.ping()


async def command(judge: Judge, place: Place, cut: Cut) -> None:
    async with place.client() as client:
        await cut(client.execute_command("GET", "k"))
        await _free(client)
        await client.execute_command("GET", "k")


async def enter(judge: Judge, place: Place, cut: Cut) -> None:
    async with place.client() as client:
        pubsub = place.pubsub(client, channels=["a"])
        if await cut(pubsub.__aenter__()):
            await pubsub.__aexit__(None, None, None)
        await _free(client)
        await _until(lambda: _nobody(place), "the server has no subscriber")


async def subscribe(judge: Judge, place: Place, cut: Cut) -> None:
    async with place.client() as client, place.pubsub(client, channels=["a"]) as pubsub:
        await cut(pubsub.subscribe("x", "y"))
        await _agrees(place, pubsub, "x")
        await _agrees(place, pubsub, "y")
        await _goes_on(place, pubsub)


async def subscribe_handler(judge: Judge, place: Place, cut: Cut) -> None:
    heard: list[Any] = []
    async with place.client() as client, place.pubsub(client, channels=["a"]) as pubsub:
        if await cut(pubsub.subscribe(x=heard.append)):
            await place.publish("x", "1")
            await _until(lambda: _true(heard), "the handler is called")
        await _agrees(place, pubsub, "x")
        await _goes_on(place, pubsub)


async def subscribe_twice(judge: Judge, place: Place, cut: Cut) -> None:
    """Cut a plain subscription while another task makes one with a handler of the same channel."""
    heard: list[Any] = []
    async with place.client() as client, place.pubsub(client, channels=["a"]) as pubsub:
        other = asyncio.create_task(pubsub.subscribe(x=heard.append))
        await cut(pubsub.subscribe("x"))
        await other

        async def handled() -> bool:
            await place.publish("x", "1")
            return bool(heard) or (await pubsub.get_message(timeout=0.01) or {}).get("data") == "1"

        await _until(handled, "a message on a channel that another task subscribed to")
        await _agrees(place, pubsub, "x")


async def unsubscribe(judge: Judge, place: Place, cut: Cut) -> None:
    async with place.client() as client, place.pubsub(client, channels=["a", "x"]) as pubsub:
        await cut(pubsub.unsubscribe("x"))
        await _agrees(place, pubsub, "x")
        await _goes_on(place, pubsub)


async def drain(judge: Judge, place: Place, cut: Cut) -> None:
    async with place.client() as client:
        async with place.pubsub(client, channel_handlers={"a": _ignore}) as pubsub:
            await cut(pubsub.drain())
            await _agrees(place, pubsub, "a")
            await _goes_on(place, pubsub)
        await _free(client)


async def get_message(judge: Judge, place: Place, cut: Cut) -> None:
    async with place.client() as client, place.pubsub(client, channels=["a"]) as pubsub:
        got: list[Any] = []

        async def call() -> None:
            got.append(await pubsub.get_message(timeout=1))

        await place.publish("a", "1")
        await cut(call())
        await _all_there(place, pubsub, got)


async def iterate(judge: Judge, place: Place, cut: Cut) -> None:
    async with place.client() as client, place.pubsub(client, channels=["a"]) as pubsub:
        got: list[Any] = []

        async def call() -> None:
            got.append(await anext(pubsub))

        await place.publish("a", "1")
        await cut(call())
        await _all_there(place, pubsub, got)


async def _all_there(place: Place, pubsub: Any, got: list[Any]) -> None:
    """Wait until both messages have come, once: a cut read takes none with it."""
    await place.publish("a", "2")

    async def both() -> bool:
        got.append(await pubsub.get_message(timeout=0.05))
        return [one["data"] for one in got if one is not None] == ["1", "2"]

    await _until(both, f"both messages, once, in order; there are {got}")


async def leave(judge: Judge, place: Place, cut: Cut) -> None:
    async with place.client() as client:
        pubsub = place.pubsub(client, channels=["a"], channel_handlers={"b": _ignore})
        await pubsub.__aenter__()
        await cut(pubsub.__aexit__(None, None, None))
        await _free(client)
        await _until(lambda: _nobody(place), "the server has no subscriber")
        await client.execute_command("GET", "k")


async def leave_client(judge: Judge, place: Place, cut: Cut) -> None:
    client = place.client()
    await client.__aenter__()
    await client.execute_command("GET", "k")
    await cut(client.__aexit__(None, None, None))


def _ignore(message: Any) -> None:
    """Handle a message."""


async def _true(value: Any) -> bool:
    return bool(value)


# -- actors ----------------------------------------------------------------------------------------


class _Echo(Actor[Any]):
    async def on_start(self) -> None:
        await asyncio.sleep(0.001)

    async def receive(self, message: Any) -> Any:
        await asyncio.sleep(0.001)
        return message


async def ask(judge: Judge, place: Place, cut: Cut) -> None:
    async with ActorSystem(sink=judge.sink) as system:
        echo = system.spawn(_Echo)
        await cut(echo.ask(1, timeout=5))
        if (answer := await echo.ask(2, timeout=5)) != 2:
            raise Fault(f"the ask after the cut is answered with {answer!r}, not 2")


async def spawn(judge: Judge, place: Place, cut: Cut) -> None:
    async def call() -> None:
        await system.spawn(_Echo, name="echo").started()

    async with ActorSystem(sink=judge.sink) as system:
        await cut(call())
        if (echo := system.lookup("echo")) is not None:
            await echo.ask(1, timeout=5)
        await system.spawn(_Echo).ask(2, timeout=5)


async def stop(judge: Judge, place: Place, cut: Cut) -> None:
    async with ActorSystem(sink=judge.sink) as system:
        echo = system.spawn(_Echo, name="echo")
        echo.tell(1)
        await cut(echo.stop())
        await echo.stop()
        await system.spawn(_Echo, name="echo").ask(2, timeout=5)


async def stop_system(judge: Judge, place: Place, cut: Cut) -> None:
    system = ActorSystem(sink=judge.sink)
    await system.__aenter__()
    for _ in range(3):
        system.spawn(_Echo).tell(1)
    await cut(system.__aexit__(None, None, None))


# -- workers ---------------------------------------------------------------------------------------


def _worker(judge: Judge, place: Place, hooks: list[str]) -> Any:
    app = make_worker(place.where, cluster=place.is_cluster, sink=judge.sink)
    declare = app.shard_channel if place.is_cluster else app.channel
    declare("a")(_ignore_data)
    app.on_startup(lambda: hooks.append("start"))
    app.on_shutdown(lambda: hooks.append("stop"))
    return app


async def _ignore_data(data: Any) -> None:
    """Handle a message."""


async def start_worker(judge: Judge, place: Place, cut: Cut) -> None:
    hooks: list[str] = []
    app = _worker(judge, place, hooks)
    if await cut(app.__aenter__()):
        await app.__aexit__(None, None, None)
    judge.complain_if(hooks not in ([], ["start", "stop"]), f"hooks that ran: {hooks}")
    await _until(lambda: _nobody(place), "the server has no subscriber")
    async with app:
        pass


async def stop_worker(judge: Judge, place: Place, cut: Cut) -> None:
    hooks: list[str] = []
    app = _worker(judge, place, hooks)
    await app.__aenter__()
    await cut(app.__aexit__(None, None, None))
    judge.complain_if(hooks != ["start", "stop"], f"hooks that ran: {hooks}")
    await _until(lambda: _nobody(place), "the server has no subscriber")


#: All scenes, by name.
SCENES: dict[str, Scene] = {
    scene.__name__: scene
    for scene in (
        *(connect, command, enter, subscribe, subscribe_handler, subscribe_twice, unsubscribe),
        *(drain, get_message, iterate, leave, leave_client),
        *(ask, spawn, stop, stop_system),
        *(start_worker, stop_worker),
    )
}
