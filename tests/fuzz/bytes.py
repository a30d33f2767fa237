"""Parts ``bytes`` and ``tls``: a connection that ends, falls silent or turns to noise at any byte.

A session is a PING and a subscription with a message, each on a connection of its own. What the
server sends in it is counted first; then each number of bytes is tried with each ending, in an
order that the seed decides, until all are done or the time is up.
"""

from __future__ import annotations

from typing import Any

from actors import ActorSystem, Redis
from tests.fuzz.judge import Judge
from tests.fuzz.limits import LIMIT
from tests.fuzz.proxy import HostileProxy
from tests.fuzz.replies import Act, Acts
from tests.fuzz.server import PATIENT, PUBSUB, recovered
from tests.servers import AnyServer

__all__ = ["play"]

#: What follows the last good byte.
_ENDINGS: dict[str, Acts] = {
    "closed": [Act.CLOSE],
    "silent": [Act.SILENCE],
    "noise": [b"\x00\xffnoise\r\n" * 20],
}
_SIDE_BY_SIDE = 12
# Only silence is found by a limit; a busy machine must not be taken for it.
_IMPATIENT = {"connect_timeout": 1.0, "stream_timeout": 1.0, "pool_timeout": 3.0}


class _Cut:
    """Lets some bytes pass, then ends one connection, and is sane from then on."""

    def __init__(self, after: int, ending: str) -> None:
        self.left = after
        self.ending = ending

    def __call__(self, byte: bytes) -> tuple[str, Acts] | None:
        self.left -= 1
        return (self.ending, _ENDINGS[self.ending]) if self.left == -1 else None


async def play(judge: Judge, server: AnyServer, address: tuple[str, int], **tls: Any) -> None:
    """Play sessions that end at any byte.

    Args:
        judge: judges.
        server: publishes.
        address: where ``server`` is reached, perhaps through TLS.
        tls: options of the client.
    """
    whole = _Cut(10**9, "closed")
    await judge.play("whole", _case(judge, server, address, whole, tls))
    total = 10**9 - whole.left
    labels = [f"{end} {at}" for at in range(0, total, _SIDE_BY_SIDE) for end in _ENDINGS]
    judge.random().shuffle(labels)
    for label in judge.steps(labels):
        ending, first = label.split()
        cuts = [_Cut(int(first) + more, ending) for more in range(_SIDE_BY_SIDE)]
        await judge.play(label, *(_case(judge, server, address, cut, tls) for cut in cuts))


async def _case(
    judge: Judge, server: AnyServer, address: tuple[str, int], cut: _Cut, tls: dict[str, Any]
) -> None:
    async with HostileProxy(*address, whole_frames=False) as proxy:
        proxy.mischief = cut
        limits = _IMPATIENT if cut.ending == "silent" else PATIENT
        client = Redis("127.0.0.1", proxy.port, **limits, **tls)
        async with client, ActorSystem(sink=judge.sink) as system:
            await judge.attempt("PING", client.ping())
            options = PUBSUB | {"start_timeout": LIMIT, "subscription_timeout": 3.0}
            pubsub = client.pubsub(channels=["a"], system=system, **options)
            await judge.attempt("entering", _use(judge, server, pubsub), 3 * LIMIT)
            judge.complain_if(client.connection_pool.in_use, "places of the pool are left taken")
        judge.complain_if(proxy.asked > 300, f"{proxy.asked} requests in one case")


async def _use(judge: Judge, server: AnyServer, pubsub: Any) -> None:
    async with pubsub:
        await recovered(judge, server, pubsub)
