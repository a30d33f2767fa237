"""Hostile replies, pure: a sane frame of RESP and a random generator in, what to send instead out.

What is sent is a list of acts: bytes, seconds to wait, or one of :class:`Act`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from random import Random

__all__ = ["KINDS", "OUT_OF_STEP", "Act", "Acts", "hostile"]


class Act(enum.Enum):
    """What a hostile server does besides sending bytes and waiting."""

    CLOSE = "close the connection"
    SILENCE = "send nothing more on this connection"
    SWAP = "send this frame after the next one"


Acts = list[bytes | float | Act]

_SIZES = (
    0,
    1,
    7,
    1000,
    10**6,
    2**29 + 1,
    2**31 - 1,
    2**31,
    2**32,
    2**63 - 1,
    2**64,
    10**30,
    -1,
    -2,
)
_DEPTHS = (2, 6, 8, 9, 10, 100, 10_000)
_ERRORS = (
    *("ERR unknown command 'HELLO'", "ERR", "", "NOPERM no permissions", "LOADING loading"),
    *("WRONGPASS invalid username-password pair", "NOAUTH HELLO must be called", "NOPROTO sorry"),
    *("MASTERDOWN link down", "BUSY busy", "MOVED", "MOVED x", "MOVED 1 :", "MOVED 99999 h:1"),
    *("MOVED 1 127.0.0.1:0", "ASK 1 127.0.0.1:99999", "CROSSSLOT keys", "TRYAGAIN", "READONLY r"),
    *("DENIED protected mode", "ERR max number of clients reached", "\x00\xff", "X" * 5000),
)
_NOISE = (
    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
    b"\x15\x03\x01\x00\x02\x02\x46",
    b"SSH-2.0-OpenSSH_9.6\r\n",
    b"\x00" * 64,
    b"\r\n\r\n\r\n",
    b"+",
    b"@x\r\n",
)
_PUSHES = (
    *(b"message", b"pmessage", b"smessage", b"subscribe", b"unsubscribe", b"psubscribe"),
    *(b"punsubscribe", b"ssubscribe", b"sunsubscribe", b"invalidate", b"server-cpu-usage", b""),
)


def hostile(rng: Random, frame: bytes) -> tuple[str, Acts]:
    """Return a kind of hostility, by name, and what to send in place of ``frame``."""
    kind = rng.choice(list(KINDS))
    return kind, KINDS[kind](rng, frame)


# -- kinds -----------------------------------------------------------------------------------------


def _truncated(rng: Random, frame: bytes) -> Acts:
    ends: list[Acts] = [[], [Act.CLOSE], [Act.SILENCE]]
    return [frame[: rng.randrange(len(frame))], *rng.choice(ends)]


def _oversized(rng: Random, frame: bytes) -> Acts:
    head = b"%s%d\r\n" % (
        rng.choice((b"$", b"*", b">", b"%", b"~", b"=", b"!")),
        rng.choice(_SIZES),
    )
    return [head + rng.choice((b"", frame, b"$-1\r\n", head))]


def _nested(rng: Random, frame: bytes) -> Acts:
    head = rng.choice((b"*1\r\n", b">1\r\n", b"~1\r\n", b"%1\r\n+k\r\n"))
    return [head * rng.choice(_DEPTHS) + rng.choice((frame, b":1\r\n", b""))]


def _mistyped(rng: Random, frame: bytes) -> Acts:
    return [_value(rng, 3)]


def _flipped(rng: Random, frame: bytes) -> Acts:
    damaged = bytearray(frame)
    for _ in range(rng.choice((1, 1, 3))):
        damaged[rng.randrange(len(damaged))] = rng.randrange(256)
    return [bytes(damaged)]


def _unasked(rng: Random, frame: bytes) -> Acts:
    more: Acts = [rng.choice((_push, _value))(rng, 2) for _ in range(rng.choice((1, 1, 20)))]
    return [*more, frame] if rng.random() < 0.5 else [frame, *more]


def _slow(rng: Random, frame: bytes) -> Acts:
    width = rng.choice((1, 3, 10, max(1, len(frame) // 2)))
    pieces = [frame[start : start + width] for start in range(0, len(frame), width)]
    pause = rng.choice((0.001, 0.02, 0.25))
    return [act for piece in pieces for act in (piece, pause)]


def _error(rng: Random, frame: bytes) -> Acts:
    return [b"-%s\r\n" % rng.choice(_ERRORS).encode("latin-1")]


def _noise(rng: Random, frame: bytes) -> Acts:
    return [rng.choice((*_NOISE, rng.randbytes(rng.choice((1, 20, 3000)))))]


def _closed(rng: Random, frame: bytes) -> Acts:
    before: list[Acts] = [[], [frame], [0.05]]
    return [*rng.choice(before), Act.CLOSE]


KINDS: dict[str, Callable[[Random, bytes], Acts]] = {
    "truncated": _truncated,
    "oversized": _oversized,
    "nested": _nested,
    "mistyped": _mistyped,
    "flipped": _flipped,
    "swapped": lambda rng, frame: [Act.SWAP],
    "twice": lambda rng, frame: [frame, frame],
    "left out": lambda rng, frame: [],
    "unasked": _unasked,
    "slow": _slow,
    "silent": lambda rng, frame: [Act.SILENCE],
    "closed": _closed,
    "error": _error,
    "noise": _noise,
}


#: After these nobody can tell where the next frame begins, or which reply is which: a server that
#: is sane again has closed such a connection.
OUT_OF_STEP = frozenset(
    {"truncated", "oversized", "nested", "flipped", "swapped", "left out", "noise"}
)


# -- values ----------------------------------------------------------------------------------------


def _value(rng: Random, depth: int) -> bytes:
    """Return a valid reply of any type."""
    if depth and rng.random() < 0.4:
        head = rng.choice((b"*", b"~", b"%"))
        count = rng.randrange(4)
        items = [_value(rng, depth - 1) for _ in range(count * (1 + (head == b"%")))]
        return b"%s%d\r\n%s" % (head, count, b"".join(items))
    number = rng.choice((0, -1, 3, 2**63 - 1, -(2**63)))
    return rng.choice(
        (
            *(b"+OK\r\n", b"+\r\n", b"$-1\r\n", b"*-1\r\n", b"_\r\n", b"#t\r\n", b",nan\r\n"),
            *(b",1e999\r\n", b"(123456789012345678901234567890\r\n", b"$0\r\n\r\n", b"-ERR no\r\n"),
            *(b"=7\r\ntxt:abc\r\n", b"!5\r\nERR x\r\n", b":%d\r\n" % number, b"$2\r\n\xff\xfe\r\n"),
        )
    )


def _push(rng: Random, depth: int) -> bytes:
    """Return a push: a kind of Pub/Sub with words that may not fit it, or no such kind."""
    kind = rng.choice(_PUSHES)
    words = [
        _value(rng, depth) if rng.random() < 0.4 else _name(rng) for _ in range(rng.randrange(5))
    ]
    return b">%d\r\n$%d\r\n%s\r\n%s" % (len(words) + 1, len(kind), kind, b"".join(words))


def _name(rng: Random) -> bytes:
    return rng.choice((b"$1\r\na\r\n", b"$1\r\nb\r\n", b"$2\r\na*\r\n", b":1\r\n", b"$0\r\n\r\n"))
