"""Which node a command goes to: the owner of the slot of its first key.

The node itself checks the other keys (CROSSSLOT). The first key is the first argument, except for
the commands in the tables below. A command that is in no table and has its first key elsewhere
needs ``slot=`` or ``node=``.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

import msgspec

from actors.redis.exceptions import DataError
from actors.redis.shared.command_kinds import STREAM_READS
from actors.redis.topology.slots import SLOTS, key_slot
from actors.redis.wire.resp import Argument, text_of

# Commands without keys: any node can execute them.
# fmt: off
_KEYLESS: Final = frozenset((
    "ACL", "ASKING", "AUTH", "BGREWRITEAOF", "BGSAVE", "CLIENT", "CLUSTER", "COMMAND", "CONFIG",
    "DBSIZE", "DEBUG", "ECHO", "FAILOVER", "FLUSHALL", "FLUSHDB", "FUNCTION", "HELLO", "INFO",
    "KEYS", "LASTSAVE", "LATENCY", "LOLWUT", "MODULE", "MONITOR", "PING", "PUBSUB", "RANDOMKEY",
    "READONLY", "READWRITE", "REPLICAOF", "RESET", "ROLE", "SAVE", "SCAN", "SCRIPT", "SELECT",
    "SHUTDOWN", "SLOWLOG", "SWAPDB", "TIME", "UNWATCH", "WAIT", "WAITAOF",
))
# fmt: on
# The index of the first key, where it is not 1, the first word after the name.
_KEY_AT: Final = {
    **dict.fromkeys(("BITOP", "MEMORY", "OBJECT", "XGROUP", "XINFO"), 2),
    "MIGRATE": 3,
}
# The index of the number of keys that follow, which may be 0.
_COUNT_AT: Final = {
    **dict.fromkeys(("EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "FCALL", "FCALL_RO"), 2),
    **dict.fromkeys(("BLMPOP", "BZMPOP"), 2),
    **dict.fromkeys(("LMPOP", "SINTERCARD", "ZDIFF", "ZINTER", "ZINTERCARD", "ZMPOP", "ZUNION"), 1),
}


class Scope(Enum):
    """Which nodes may execute a command."""

    #: The owner of the slot.
    OWNER = "owner"
    #: The owner of the slot, or any other primary while the owner cannot be reached.
    PRIMARY = "primary"
    #: Any node.
    ANY = "any"
    #: The one node that the caller named.
    NODE = "node"


class Route(msgspec.Struct, frozen=True):
    """Where a command goes."""

    scope: Scope
    #: The slot whose owner is meant; None for ANY and NODE.
    slot: int | None = None
    #: The id of the node; None unless the scope is NODE.
    node: str | None = None


def route(
    args: tuple[Argument, ...], encoding: str, *, node: str | None = None, slot: int | None = None
) -> Route:
    """Return where a command goes: to the owner of its key, or to ``node``, or to ``slot``'s owner.

    Args:
        args: the command, each word of its name an argument of its own.
        encoding: the codec of str in ``args``.
        node: the id of a node.
        slot: a slot, whatever the command's key.

    Raises:
        ValueError: both are given, or the slot is none.
        DataError: the command's key is missing.
    """
    if node is not None and slot is not None:
        raise ValueError("node and slot are both given: one of them says where the command goes")
    if node is not None:
        return Route(Scope.NODE, node=node)
    if slot is not None:
        if not 0 <= slot < SLOTS:
            raise ValueError(f"slot must be from 0 to {SLOTS - 1}, not {slot!r}")
        return Route(Scope.OWNER, slot)
    name = text_of(args[0]).upper()
    if name in _KEYLESS:
        return Route(Scope.ANY)
    position = _key_position(name, args)
    if position is None:
        return Route(Scope.PRIMARY)
    if position >= len(args):
        raise DataError(
            f"the key of {name} is missing, by which the node is chosen; for a command without "
            "keys give node= or slot="
        )
    # Any node passes a published message on to all others. The owner of the channel's slot is
    # preferred: messages of one publisher that take one path stay in their order.
    scope = Scope.PRIMARY if name == "PUBLISH" else Scope.OWNER
    key = args[position]
    return Route(scope, key_slot(key if isinstance(key, bytes) else str(key).encode(encoding)))


def _key_position(name: str, args: tuple[Argument, ...]) -> int | None:
    if name in _COUNT_AT:
        at = _COUNT_AT[name]
        count = text_of(args[at]) if at < len(args) else ""
        return None if count == "0" else at + 1
    if name in STREAM_READS:
        upper = [text_of(word).upper() for word in args]
        return upper.index("STREAMS") + 1 if "STREAMS" in upper else len(args)
    return _KEY_AT.get(name, 1)
