"""The worker of one server: plain channels, and a pattern for some of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from random import Random
from types import TracebackType
from typing import Any, Self

import msgspec

from actors import PubSubMessage
from actors.pubsub.model.types import Gap
from actors.testing import EmbeddedServer
from actors.testing.proxies.proxy import FaultProxy
from actors.testing.servers.binary import ServerBinary
from actors.worker import Worker
from tests.faults.arrivals import Arrivals
from tests.faults.verdict import Verdict, judge
from tests.faults.words import judge_words
from tests.servers import ask
from tests.soak.plain_load import PlainLoad
from tests.soak.results import Round

__all__ = ["ServerSide"]

_PLAIN = [f"plain:{number}" for number in range(10)]
_BY_PATTERN = [f"pattern:{number}" for number in range(10)]
_CHANNELS = [*_PLAIN, *_BY_PATTERN]
# Seconds of peace before a fault and after it.
_WARM, _AFTER = 1.0, 2.0


class ServerSide:
    """A server, a proxy in front of it, and a worker that listens on all channels.

    Args:
        binary: the server program.
        rate: messages a second.
    """

    def __init__(self, binary: ServerBinary, rate: float) -> None:
        self._server = EmbeddedServer(binary)
        self._rate = rate
        self._exit = AsyncExitStack()
        self._arrivals: Arrivals | None = None
        # What is still to be played before each fault comes again.
        self._deck: list[str] = []

    async def __aenter__(self) -> Self:
        try:
            await self._exit.enter_async_context(self._server)
            self._proxy = FaultProxy("127.0.0.1", self._server.port)
            await self._exit.enter_async_context(self._proxy)
            await self._exit.enter_async_context(self._worker())
        except BaseException:
            await self._exit.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._exit.aclose()

    def _worker(self) -> Worker[Any]:
        app: Worker[Any] = Worker(f"redis://127.0.0.1:{self._proxy.port}", on_gap=self._gap)
        for name in _PLAIN:
            app.channel(name)(self._take)
        app.pattern("pattern:*")(self._take)
        return app

    async def _take(self, message: PubSubMessage) -> None:
        if self._arrivals is not None:
            self._arrivals.take(message["channel"], message["data"])

    def _gap(self, gap: Gap) -> None:
        if self._arrivals is None:
            return
        # A gap of a pattern is one of each channel that matches it.
        names = _BY_PATTERN if gap.name == "pattern:*" else [gap.name]
        self._arrivals.gaps += [msgspec.structs.replace(gap, name=name) for name in names]

    # -- rounds ------------------------------------------------------------------------------------

    async def play(self, rng: Random) -> Round:
        """Play a fault while a publisher publishes, and judge."""
        if not self._deck:
            self._deck = rng.sample(list(_FAULTS), len(_FAULTS))
        title, words = self._deck.pop(), rng.random() < 0.3
        self._arrivals = arrivals = Arrivals(_CHANNELS, words=_CHANNELS if words else ())
        load = PlainLoad(self._server.port, _CHANNELS, self._rate, words=words)
        load.start()
        await arrivals.live()
        await asyncio.sleep(_WARM)
        await _FAULTS[title](self._server, self._proxy)
        never = await arrivals.live()
        settled_at = time.time()
        await asyncio.sleep(_AFTER)
        report = await load.stop()
        await arrivals.quiet(report)
        self._arrivals = None
        if words:
            verdict = judge_words(
                _CHANNELS,
                report,
                arrivals.seen(),
                arrivals.words,
                settled_at=settled_at,
                never=never,
            )
        else:
            verdict = judge(
                _CHANNELS,
                report,
                arrivals.seen(),
                touched=_CHANNELS,
                interrupted=_CHANNELS,
                settled_at=settled_at,
                never=never,
            )
        return Round("server", title, words, verdict, tuple(_wrongs(verdict)))


def _wrongs(verdict: Verdict) -> list[str]:
    found: dict[str, Sequence[object]] = {
        "channels not live again": verdict.silent,
        "messages twice": verdict.twice,
        "messages out of order": [*verdict.disordered, *verdict.overtaken],
        "messages lost outside of a reported gap": verdict.unreported,
    }
    return [f"{len(bad)} {what}: {bad[:3]}" for what, bad in found.items() if bad]


# -- faults ----------------------------------------------------------------------------------------


async def _connections_killed(server: EmbeddedServer, proxy: FaultProxy) -> None:
    ask(server, "CLIENT", "KILL", "TYPE", "pubsub")


async def _stopped(server: EmbeddedServer, proxy: FaultProxy) -> None:
    server.pause()
    await asyncio.sleep(3.0)
    server.resume()


async def _killed(server: EmbeddedServer, proxy: FaultProxy) -> None:
    server.kill()
    await asyncio.sleep(0.5)
    await server.start()


async def _restarted(server: EmbeddedServer, proxy: FaultProxy) -> None:
    await server.restart()


async def _network_cut(server: EmbeddedServer, proxy: FaultProxy) -> None:
    proxy.swallow()
    await asyncio.sleep(3.0)
    proxy.heal()
    proxy.cut()


async def _network_slow(server: EmbeddedServer, proxy: FaultProxy) -> None:
    proxy.delay(0.3)
    await asyncio.sleep(2.0)
    proxy.delay(0)


async def _refused(server: EmbeddedServer, proxy: FaultProxy) -> None:
    proxy.refuse()
    proxy.cut()
    await asyncio.sleep(1.0)
    await proxy.accept()


_FAULTS: dict[str, Callable[[EmbeddedServer, FaultProxy], Awaitable[None]]] = {
    "all subscriber connections killed": _connections_killed,
    "server stopped for 3 s (silent)": _stopped,
    "server killed, started 0.5 s later": _killed,
    "server restarted": _restarted,
    "network cut for 3 s": _network_cut,
    "network slow, 0.3 s each way": _network_slow,
    "connections refused for 1 s": _refused,
}
