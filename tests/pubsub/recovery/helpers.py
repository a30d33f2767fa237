"""What tests of recovery need: a publisher that keeps a history, by the wire format alone."""

from __future__ import annotations

from typing import Any

from actors import PubSubMessage
from tests.support import eventually

__all__ = ["SCRIPT", "Got", "history", "publish"]

#: What a publisher in any language sends; see docs/recovery.md.
SCRIPT = """
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
local ms, n = '0', 0
if last[1] then ms, n = string.match(last[1][1], '(%d+)-(%d+)') end
local time = redis.call('TIME')
local now = time[1] .. string.format('%03d', math.floor(time[2] / 1000))
if tonumber(now) < tonumber(ms) then now = ms end
local id = now .. '-' .. string.format('%.0f', n + 1)
redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[5] or '~', ARGV[4], id, 'd', ARGV[3])
redis.call(ARGV[2], KEYS[1], '~' .. id .. ' ' .. ms .. ' ' .. ARGV[3])
redis.call(ARGV[2], ARGV[1], ARGV[3])
return id
"""


def history(channel: str) -> str:
    """The name of a channel's history."""
    return f"{channel}:history" if "{" in channel else f"{{{channel}}}:history"


async def publish(
    client: Any, channel: str, *payloads: Any, maxlen: int = 10_000, sharded: bool = False
) -> list[str]:
    """Publish with a history of exactly ``maxlen`` entries; return the ids."""
    command = "SPUBLISH" if sharded else "PUBLISH"
    async with client.pipeline() as pipe:
        for payload in payloads:
            pipe.execute_command(
                "EVAL", SCRIPT, 1, history(channel), channel, command, payload, maxlen, "="
            )
    return [one if isinstance(one, str) else one.decode() for one in pipe.results]


class Got(list[PubSubMessage]):
    """A handler that keeps the messages it is called with."""

    def __call__(self, message: PubSubMessage) -> None:
        self.append(message)

    async def wait(self, count: int, timeout: float = 5.0) -> None:
        await eventually(lambda: len(self) >= count, timeout)

    def data(self) -> list[Any]:
        return [message["data"] for message in self]
