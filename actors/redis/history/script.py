"""The script that appends a message to a history and publishes it, and the commands that run it.

docs/recovery.md explains the script line by line. Publishers in other languages run the same one,
so that its keys, arguments and results stay as they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable
from typing import Final

from actors.redis.history.history import History
from actors.redis.history.names import history_name
from actors.redis.wire.resp import Argument

SCRIPT: Final = """\
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local last_ms, n = 0, 0
if last then last_ms, n = last[1]:match('(%d+)-(%d+)') end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local id = string.format('%.0f-%.0f', math.max(now, last_ms), n + 1)
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[4], id, 'd', ARGV[3])
if ARGV[5] then
  redis.call('XTRIM', KEYS[1], 'MINID', '~', string.format('%.0f', math.max(now - ARGV[5], 0)))
end
redis.call(ARGV[2], KEYS[1], '~' .. id .. ' ' .. last_ms .. ' ' .. ARGV[3])
redis.call(ARGV[2], ARGV[1], ARGV[3])
return id"""

DIGEST: Final = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()

# MAXLEN for a history that is bounded by time alone.
_UNBOUNDED: Final = 2**63 - 1


def append_command(
    publish: str, channel: bytes, message: Argument, history: History
) -> tuple[Argument, ...]:
    """Return the EVALSHA that appends ``message`` to the history of ``channel`` and publishes it.

    Args:
        publish: PUBLISH, or SPUBLISH for a shard channel.
        channel: the channel.
        message: the payload.
        history: what the history keeps.

    Raises:
        DataError: the channel cannot have a history.
    """
    # Numbers as bytes: hiredis takes twice as long to pack an int.
    maxlen = b"%d" % (_UNBOUNDED if history.maxlen is None else history.maxlen)
    args = ("EVALSHA", DIGEST, b"1", history_name(channel), channel, publish, message, maxlen)
    return args if history.max_age is None else (*args, b"%d" % round(history.max_age * 1000))


def is_append(args: tuple[Argument, ...]) -> bool:
    """Whether ``args`` is a command of :func:`append_command`."""
    return args[0] == "EVALSHA" and len(args) > 7 and args[1] == DIGEST


def with_text(args: tuple[Argument, ...]) -> tuple[Argument, ...]:
    """Return the EVAL with the text of the script for an EVALSHA of it; other commands unchanged.

    The server keeps the script from then on.
    """
    return ("EVAL", SCRIPT, *args[2:]) if is_append(args) else args


def with_first_text(
    commands: Iterable[tuple[Argument, ...]], group_of: Callable[[bytes], Hashable]
) -> list[tuple[Argument, ...]]:
    """Return ``commands`` with the script's text in the first one of each group that runs it.

    The later ones so find the script at the server: none of them is refused and sent again behind
    the others.

    Args:
        commands: are sent together.
        group_of: returns, by the key, what the commands to one server have in common.
    """
    groups: set[Hashable] = set()
    sent = []
    for args in commands:
        if is_append(args):
            group = group_of(key_of(args))
            if group not in groups:
                groups.add(group)
                args = with_text(args)  # noqa: PLW2901
        sent.append(args)
    return sent


def key_of(args: tuple[Argument, ...]) -> bytes:
    """Return the history's name in a command of :func:`append_command`."""
    key = args[3]
    assert isinstance(key, bytes)
    return key
