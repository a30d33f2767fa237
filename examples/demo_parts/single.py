"""The demo on one server: an embedded one, or one of your own."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

from actors import ActorSystem, Redis
from actors.redis.exceptions import RedisError, ResponseError
from actors.testing import EmbeddedServer
from examples.demo_parts.display import Display
from examples.demo_parts.recovering import HISTORY
from examples.demo_parts.stage import RETRY, DemoError, Fault, Outcome, Stage
from examples.demo_parts.story import Story

__all__ = ["on_embedded_server", "on_own_server"]

KINDS = ("orders", "payments", "quotes")
RATE = 900.0
#: The seconds that the faults below take.
FAULT_SECONDS = 8.0


async def on_embedded_server(display: Display, seconds: float) -> Outcome:
    """Play on a private server, which is killed and frozen meanwhile."""
    async with EmbeddedServer() as server:

        async def restart() -> None:
            server.kill()
            await asyncio.sleep(1.0)
            await server.start()

        async def freeze() -> None:
            server.pause()
            await asyncio.sleep(2.0)
            server.resume()

        faults = [
            Fault("kill-server", "kill -9, and started again 1 s later", restart),
            Fault("freeze-server", "SIGSTOP for 2 s: connected, and silent", freeze),
        ]
        return await _play(
            f"mailslot demo on {server.binary}, {server.url}",
            server.url,
            list(KINDS),
            faults,
            display,
            seconds,
        )


async def on_own_server(url: str, display: Display, seconds: float) -> Outcome:
    """Play on the server at ``url``; only the demo's own connection is broken."""
    prefix = f"demo-{secrets.token_hex(3)}"
    channels = [f"{prefix}:{kind}" for kind in KINDS]
    return await _play("", url, channels, [], display, seconds)


async def _play(
    title: str,
    url: str,
    channels: list[str],
    server_faults: list[Fault],
    display: Display,
    seconds: float,
) -> Outcome:
    try:
        # Two clients, so that publishers and the reader do not wait for each other.
        publisher: Any = Redis.from_url(url, connect_timeout=2, stream_timeout=2)
        consumer: Any = Redis.from_url(
            url, decode_responses=True, connect_timeout=1, stream_timeout=0.5
        )
    except ValueError as error:
        raise DemoError(f"the URL does not work: {error}") from None

    def subscribe(handlers: dict[str, Any], story: Story, system: ActorSystem) -> Any:
        return consumer.pubsub(
            channel_handlers=handlers,
            on_gap=story.gap,
            on_failure=story.handler_failed,
            retry_policy=RETRY,
            max_idle_seconds=1,
            system=system,
        )

    def recover(handlers: dict[str, Any], on_gap: Any, system: ActorSystem) -> Any:
        return consumer.pubsub(
            channel_handlers=handlers,
            recover=True,
            on_gap=on_gap,
            retry_policy=RETRY,
            max_idle_seconds=1,
            system=system,
        )

    # Not the URL itself: it may have a password in it.
    title = title or f"mailslot demo on your own server, {publisher.connection_pool.location}"
    async with publisher, consumer:
        await _check(publisher)
        stage = Stage(
            title,
            display,
            subscribe=subscribe,
            recover=recover,
            publish=partial(publisher.publish, history=HISTORY),
            channels=channels,
            rate=RATE,
            calm=0.3,
        )
        faults = [*_connection_faults(stage, publisher), *server_faults]
        stage.calm = max(0.3, (seconds - FAULT_SECONDS) / (len(faults) + 1))
        stage.story.say("title", title)
        if not server_faults:
            stage.story.say(
                "event",
                "only the demo's own connection is broken; restart the server if you like",
            )
        try:
            return await stage.play(faults)
        finally:
            await _forget(publisher, channels)


def _connection_faults(stage: Stage, client: Any) -> list[Fault]:
    async def kill() -> None:
        # The reader may still be reconnecting after the kill before: wait for its connection.
        async with asyncio.timeout(2):
            for pubsub in (stage.pubsub, stage.recovering.pubsub):
                while not await _kill_reader(stage, pubsub, client):
                    await asyncio.sleep(0.01)

    async def kill_five() -> None:
        await _spaced(kill, times=5, seconds=0.2)

    return [
        Fault("kill-connection", "CLIENT KILL of the reader's connection", kill),
        Fault("kill-five-times", "the same five times, every 0.2 s", kill_five),
    ]


async def _kill_reader(stage: Stage, pubsub: Any, client: Any) -> bool:
    connection = pubsub.connection
    if connection is None:
        return False
    try:
        killed = await client.execute_command("CLIENT", "KILL", "ID", connection.client_id)
    except ResponseError as error:
        # The user may not do this: the connection is closed from this side instead.
        stage.story.tell("refused", f"refused ({error}): closing the socket instead", most=1)
        connection.abort()
        return True
    return bool(killed)


async def _spaced(act: Callable[[], Awaitable[None]], times: int, seconds: float) -> None:
    for left in range(times - 1, -1, -1):
        await act()
        if left:
            await asyncio.sleep(seconds)


async def _forget(client: Any, channels: list[str]) -> None:
    """Delete the histories, as far as the server lets itself be asked."""
    for channel in channels:
        with suppress(RedisError, TimeoutError, OSError):
            await client.execute_command("DEL", f"{{{channel}}}:history")


async def _check(client: Any) -> None:
    """Raise one sentence now instead of a tree of exceptions later."""
    try:
        await client.ping()
    except (RedisError, TimeoutError, OSError) as error:
        raise DemoError(f"no usable server: {error}") from None
