"""Which commands cannot go over a shared connection: those that block, and those that change it."""

from __future__ import annotations

import math
from typing import Final

from actors.redis.exceptions import DataError
from actors.redis.wire.resp import Argument, text_of

# Blocking commands, and where their timeout in seconds is: as the first argument, or the last.
_SECONDS_AT: Final = {
    **dict.fromkeys(("BLPOP", "BRPOP", "BLMOVE", "BRPOPLPUSH", "BZPOPMIN", "BZPOPMAX"), -1),
    **dict.fromkeys(("BLMPOP", "BZMPOP"), 1),
}
#: Commands that read streams: where a command has BLOCK and its keys, only its options tell.
STREAM_READS: Final = frozenset(("XREAD", "XREADGROUP"))

_OWN: Final = "a connection of your own, `async with client.connection_pool.connection(...)`"
_PUBSUB: Final = "client.pubsub(), or sharded_pubsub() of a cluster's client"
_TRANSACTION: Final = f"client.pipeline(transaction=True), or {_OWN}"
_OPTIONS: Final = f"the options of the client, or {_OWN}"
_REMEDIES: Final = {
    **dict.fromkeys(("SUBSCRIBE", "UNSUBSCRIBE", "PSUBSCRIBE", "PUNSUBSCRIBE"), _PUBSUB),
    **dict.fromkeys(("SSUBSCRIBE", "SUNSUBSCRIBE"), _PUBSUB),
    **dict.fromkeys(("MULTI", "EXEC", "DISCARD"), _TRANSACTION),
    **dict.fromkeys(("AUTH", "SELECT"), _OPTIONS),
    **dict.fromkeys(("WATCH", "UNWATCH", "MONITOR", "SYNC", "PSYNC", "RESET", "QUIT"), _OWN),
    **dict.fromkeys(("ASKING", "READONLY", "READWRITE", "WAIT", "WAITAOF"), _OWN),
}
# The same by the command's second word.
_CLIENT_REMEDIES: Final = {
    **dict.fromkeys(("SETNAME", "NO-EVICT", "NO-TOUCH"), _OPTIONS),
    "REPLY": f"noreply=True, or {_OWN}",
    **dict.fromkeys(("TRACKING", "CACHING", "SETINFO", "CAPA", "IMPORT-SOURCE"), _OWN),
}
_SCRIPT_REMEDIES: Final = {"DEBUG": _OWN}
_BY_SECOND_WORD: Final = {"CLIENT": _CLIENT_REMEDIES, "SCRIPT": _SCRIPT_REMEDIES}
_SPECIAL: Final = {*_SECONDS_AT, *STREAM_READS, *_REMEDIES, *_BY_SECOND_WORD, "HELLO"}


def blocking_seconds(args: tuple[Argument, ...]) -> float | None:
    """Return how long a command may block at the server; None: it does not block.

    Args:
        args: the command, each word of its name an argument of its own.

    Raises:
        DataError: the command changes the state of its connection, which all commands share; the
            error says what to use instead.
    """
    name = text_of(args[0]).upper()
    if name not in _SPECIAL:
        return None
    remedy = _REMEDIES.get(name)
    if name == "HELLO" and len(args) > 1:
        remedy = _OPTIONS
    elif name in _BY_SECOND_WORD and len(args) > 1:
        remedy = _BY_SECOND_WORD[name].get(text_of(args[1]).upper())
    if remedy is not None:
        shown = " ".join(text_of(word).upper() for word in args[: 1 + (name in _BY_SECOND_WORD)])
        raise DataError(
            f"{shown} is about the connection that it is sent on, and the commands of a client "
            f"share one: use {remedy}"
        )
    if name in STREAM_READS:
        upper = [text_of(word).upper() for word in args]
        return _number(upper, upper.index("BLOCK") + 1) / 1000 if "BLOCK" in upper else None
    return _number(args, _SECONDS_AT[name]) if name in _SECONDS_AT else None


def _number(args: tuple[Argument, ...] | list[str], at: int) -> float:
    """Return a time to block, where 0 means for ever; the server complains of what is no number."""
    try:
        return float(text_of(args[at])) or math.inf
    except (IndexError, ValueError):
        return 0.0
