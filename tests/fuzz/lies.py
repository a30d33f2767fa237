"""Lies of a hostile cluster, pure: a sane frame of a node in, a frame that is wrong out.

CLUSTER NODES is rewritten line by line; other replies become redirections and refusals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

__all__ = ["LIES", "Address", "lie", "redirection"]

Address = tuple[str, int]

_HOSTS = (
    "",
    "?",
    "256.256.256.256",
    "0.0.0.0",
    "::1",
    "[::1]",
    "a" * 300,
    "no such host",
    "-",
    "é",
)
_PORTS = (0, -1, 1, 65535, 65536, 99999999, 2**63)
_SLOTS = ("0-16383", "5", "16384", "-5", "9-3", "0-99999", "[5->-gone]", "[5-<-gone]", "[7]", "x")
_REFUSALS = (
    *(b"CLUSTERDOWN Hash slot not served", b"TRYAGAIN multiple keys", b"LOADING loading"),
    *(b"MASTERDOWN link down", b"NOPERM no", b"NOAUTH Authentication required", b"BUSY busy"),
    *(b"CLUSTERDOWN", b"MOVED", b"ASK", b"MOVED -1 127.0.0.1:1", b"ERR unknown subcommand"),
)


def lie(
    rng: Random, frame: bytes, known: Sequence[Address], slots: Sequence[int]
) -> tuple[str, bytes]:
    """Return the name of a lie, and what a node says in place of ``frame``.

    Args:
        rng: chooses.
        frame: what the node really says.
        known: the addresses of nodes that exist.
        slots: those that the client is interested in.
    """
    if frame.startswith((b"$", b"=")) and b" myself," in frame:
        text = frame.split(b"\r\n", 1)[1].decode(errors="replace").strip()
        kind = rng.choice(list(LIES))
        told = "\n".join(LIES[kind](rng, text.splitlines(), known)).encode(errors="replace")
        return kind, b"$%d\r\n%s\r\n" % (len(told), told)
    if frame.startswith(b"*") and b"endpoint" in frame:
        old, new = rng.choice(known)[1], rng.choice(_PORTS)
        return "shards", frame.replace(b":%d\r\n" % old, b":%d\r\n" % new)
    if rng.random() < 0.3:
        return "refusal", b"-%s\r\n" % rng.choice(_REFUSALS)
    return "redirection", redirection(rng, _address(rng, known), slots)


def redirection(rng: Random, address: Address, slots: Sequence[int]) -> bytes:
    """Return a MOVED or ASK, mostly for one of ``slots``."""
    slot = rng.choice((*slots, *slots, rng.randrange(17000)))
    host, port = address
    return f"-{rng.choice(('MOVED', 'MOVED', 'ASK'))} {slot} {host}:{port}\r\n".encode()


def _address(rng: Random, known: Sequence[Address]) -> Address:
    if rng.random() < 0.5:
        return rng.choice(known)
    host = rng.choice((*_HOSTS, known[0][0]))
    return host, rng.choice((*_PORTS, known[0][1]))


# -- lies in CLUSTER NODES -------------------------------------------------------------------------

_Lines = list[str]


def _changed(place: int, words: Callable[[Random], str]) -> Callable[..., _Lines]:
    """Return a lie that replaces one word in some of the lines."""

    def rewrite(rng: Random, lines: _Lines, known: Sequence[Address]) -> _Lines:
        told = []
        for line in lines:
            fields = line.split()
            if rng.random() < 0.6 and len(fields) > place:
                fields[place] = words(rng)
            told.append(" ".join(fields))
        return told

    return rewrite


def _addresses(rng: Random, lines: _Lines, known: Sequence[Address]) -> _Lines:
    told = []
    for line in lines:
        fields = line.split()
        host, port = _address(rng, known)
        fields[1] = f"{host}:{port}@{port}"
        told.append(" ".join(fields))
    return told


def _slots(rng: Random, lines: _Lines, known: Sequence[Address]) -> _Lines:
    return [" ".join(line.split()[:8] + rng.sample(_SLOTS, rng.randrange(3))) for line in lines]


def _strangers(rng: Random, lines: _Lines, known: Sequence[Address]) -> _Lines:
    count = rng.choice((1, 3, 2000))
    made = []
    for number in range(count):
        host, port = _address(rng, known)
        name, slot = f"{rng.getrandbits(160):040x}", number % 16384
        made.append(f"{name} {host}:{port}@{port} master - 0 0 {number} connected {slot}")
    return rng.choice((lines + made, made))


def _broken(rng: Random, lines: _Lines, known: Sequence[Address]) -> _Lines:
    return [line[: rng.randrange(len(line))] if rng.random() < 0.5 else line for line in lines]


LIES: dict[str, Callable[[Random, _Lines, Sequence[Address]], _Lines]] = {
    "ids": _changed(0, lambda rng: rng.choice(("", "-", "same", f"{rng.getrandbits(160):040x}"))),
    "addresses": _addresses,
    "flags": _changed(
        2,
        lambda rng: rng.choice(
            (
                "myself,master",
                "slave",
                "master,fail",
                "master,fail?",
                "noaddr",
                "handshake",
                "",
                "x",
            )
        ),
    ),
    "primaries": _changed(3, lambda rng: rng.choice(("-", "gone", f"{rng.getrandbits(160):040x}"))),
    "epochs": _changed(6, lambda rng: str(rng.choice((0, -1, 2**63, "x")))),
    "links": _changed(7, lambda rng: rng.choice(("disconnected", "connected", "?"))),
    "slots": _slots,
    "strangers": _strangers,
    "broken": _broken,
    "nobody": lambda rng, lines, known: [],
    "myself alone": lambda rng, lines, known: [line for line in lines if "myself" in line],
    "others alone": lambda rng, lines, known: [line for line in lines if "myself" not in line],
}
