"""Replies as real servers sent them, byte for byte, in ``replies/<server>/<name>.resp``.

The cluster they come from: primaries a, b, c on ports 17101 to 17103, their replicas d, e, f on
17104 to 17106; the id of each is its letter forty times. ``suspected`` and so on name what was done
to it: c killed; f promoted; c restarted; all but a and d stopped (``minority``: what a then says);
e started anew without its memory (``noaddr``: what a says of the old e, ``reborn``: the new one).
``alone`` is a lone node on port 17100.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from actors.redis.topology.model import Topology
from actors.redis.topology.parse import parse_nodes, parse_shards, parse_slots
from actors.redis.wire.resp import INCOMPLETE, reader

ASKED = ("asked.test", 17101)
SERVERS = ("valkey-9.1", "redis-7.0")
A, B, C, D, E, F = (letter * 40 for letter in "abcdef")

_FOLDER = Path(__file__).parent / "replies"
_PARSERS: dict[str, Any] = {"nodes": parse_nodes, "shards": parse_shards, "slots": parse_slots}


def reply(server: str, name: str) -> Any:
    """Return the captured reply as our connections would."""
    parser = reader()
    parser.feed((_FOLDER / server / f"{name}.resp").read_bytes())
    value = parser.gets()
    assert value is not INCOMPLETE
    return value


def topology(server: str, name: str, **options: Any) -> Topology:
    """Return the captured reply parsed; the first word of its name says by what."""
    parsed: Topology = _PARSERS[name.split("-")[0]](reply(server, name), ASKED, **options)
    return parsed
