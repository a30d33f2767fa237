"""Part ``server``: one server whose replies are hostile for a while, and then sane again.

A case is a client with a pub/sub object. While the server is hostile, calls may fail; afterwards
messages must arrive again, by the same object where it has not given up, by a new one elsewhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from actors import ActorSystem, PubSub, Redis
from actors.redis.exceptions import ConnectionError, RedisError  # noqa: A004
from supervisor import CompositeRetryPolicy, ConstantRetryPolicy
from tests.fuzz.judge import Judge
from tests.fuzz.limits import LIMIT, Fault
from tests.fuzz.proxy import HostileProxy
from tests.fuzz.replies import Acts, hostile
from tests.servers import AnyServer, ask

__all__ = ["LIMITS", "PATIENT", "PUBSUB", "RETRY", "play", "recovered", "recovers"]

#: Reconnects soon, so that a case takes little time.
RETRY = CompositeRetryPolicy(
    ConstantRetryPolicy((ConnectionError, TimeoutError), retries=None, delay=0.02)
)
#: The limits of every client here.
LIMITS: dict[str, Any] = {"connect_timeout": 0.6, "stream_timeout": 0.6, "pool_timeout": 1.5}
#: Those of clients that only meet sane servers, on a machine that may be busy.
PATIENT: dict[str, Any] = {"connect_timeout": 10.0, "stream_timeout": 10.0, "pool_timeout": 10.0}
#: The options of every pub/sub object that meets hostile ones.
PUBSUB: dict[str, Any] = {
    "retry_policy": RETRY,
    "start_timeout": 1.5,
    "subscription_timeout": 0.6,
    "unsubscription_timeout": 0.1,
    "max_idle_seconds": 0.4,
}
_SIDE_BY_SIDE = 8


async def play(judge: Judge, server: AnyServer) -> None:
    """Play steps until the time is up."""
    for step in judge.steps():
        cases = [_case(judge, server, judge.random(step, i)) for i in range(_SIDE_BY_SIDE)]
        await judge.play(step, *cases)


class _Mischief:
    """Replaces some of the frames after the first few; counts of what kind."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._sane = rng.choice((0, 0, 1, 2, 3, 5, 8))
        self._share = rng.choice((0.2, 1.0))

    def __call__(self, frame: bytes) -> tuple[str, Acts] | None:
        if self._sane > 0:
            self._sane -= 1
            return None
        return hostile(self._rng, frame) if self._rng.random() < self._share else None


async def _case(judge: Judge, server: AnyServer, rng: Random) -> None:
    async with HostileProxy(server.host, server.port) as proxy:
        proxy.mischief = _Mischief(rng)
        client = Redis("127.0.0.1", proxy.port, decode_responses=rng.random() < 0.5, **LIMITS)
        async with client, ActorSystem(sink=judge.sink) as system:
            for _ in range(rng.randrange(3)):
                command = rng.choice((("PING",), ("GET", "k"), ("CLIENT", "LIST"), ("ECHO", "x")))
                await judge.attempt(" ".join(map(str, command)), client.execute_command(*command))
            pubsub = client.pubsub(channels=["a"], system=system, **PUBSUB)
            alive = await judge.attempt(
                "entering", _use(judge, server, proxy, pubsub, rng), 3 * LIMIT
            )
            proxy.heal(reset=True)
            judge.complain_if(client.connection_pool.in_use, "places of the pool are left taken")
            if not alive:
                await _begin_anew(judge, server, client, system)
            await recovers(judge, "PING", lambda: client.execute_command("PING"))
        judge.complain_if(proxy.asked > 500, f"{proxy.asked} requests in one case")


async def _begin_anew(
    judge: Judge, server: AnyServer, client: Redis[Any], system: ActorSystem
) -> None:
    options = PUBSUB | {"start_timeout": LIMIT, "subscription_timeout": LIMIT}
    async with client.pubsub(channels=["a"], system=system, **options) as fresh:
        await recovered(judge, server, fresh)


async def _use(
    judge: Judge, server: AnyServer, proxy: HostileProxy, pubsub: PubSub[Any], rng: Random
) -> bool:
    """Enter, call, heal, and wait for messages; return True once there are some."""
    async with pubsub:
        for call in rng.choices(list(_CALLS), k=rng.randrange(4)):
            ask(server, "PUBLISH", "a", "x")
            await judge.attempt(call, _CALLS[call](pubsub))
        proxy.heal(reset=rng.random() < 0.5)
        await recovered(judge, server, pubsub)
        return True


async def _iterate(pubsub: PubSub[Any]) -> None:
    for _ in range(3):
        try:
            async with asyncio.timeout(0.1):
                await anext(pubsub, None)
        except TimeoutError:
            pass


_CALLS: dict[str, Callable[[PubSub[Any]], Awaitable[Any]]] = {
    "subscribe": lambda pubsub: pubsub.subscribe("b", "c", "d"),
    "subscribe with a handler": lambda pubsub: pubsub.subscribe(e=lambda message: None),
    "psubscribe": lambda pubsub: pubsub.psubscribe("x*"),
    "unsubscribe": lambda pubsub: pubsub.unsubscribe("b"),
    "punsubscribe": lambda pubsub: pubsub.punsubscribe("x*"),
    "get_message": lambda pubsub: pubsub.get_message(timeout=0.2),
    "iterate": _iterate,
    "ping": lambda pubsub: asyncio.sleep(0.5),
}


# -- sane again ------------------------------------------------------------------------------------


async def recovered(judge: Judge, server: AnyServer, pubsub: PubSub[Any]) -> None:
    """Wait until what is published on ``a`` from now on arrives."""
    wanted = f"after step {judge.step}"
    try:
        async with asyncio.timeout(LIMIT) as clock:
            while True:
                ask(server, "PUBLISH", "a", wanted)
                message = await pubsub.get_message(timeout=0.05)
                while message is not None:
                    if message["data"] in (wanted, wanted.encode()):
                        return
                    message = await pubsub.get_message(timeout=0)
    except TimeoutError:
        if not clock.expired():
            raise
        raise Fault(f"no message within {LIMIT} s after the server was sane again") from None


async def recovers(judge: Judge, what: str, work: Callable[[], Awaitable[Any]]) -> None:
    """Call until there is no error."""
    for _ in range(200):
        try:
            await work()
            return
        except (RedisError, TimeoutError):
            await asyncio.sleep(0.02)
    raise Fault(f"{what} does not work though the server is sane again")
