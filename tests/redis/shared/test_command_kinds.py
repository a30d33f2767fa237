"""Which commands cannot go over a shared connection."""

from __future__ import annotations

import math

import pytest

from actors.redis.exceptions import DataError
from actors.redis.shared.command_kinds import blocking_seconds


@pytest.mark.parametrize(
    ("command", "seconds"),
    [
        (("PING",), None),
        (("PUBLISH", "subscribe", "multi"), None),
        (("HELLO",), None),
        (("CLIENT", "LIST"), None),
        (("CLIENT",), None),
        (("SCRIPT", "LOAD", "return 1"), None),
        (("XREAD", "COUNT", 1, "STREAMS", "s", "0"), None),
        (("BLPOP", "a", "b", 5), 5.0),
        ((b"brpop", b"a", b"0"), math.inf),
        (("BLMOVE", "a", "b", "LEFT", "RIGHT", "0.5"), 0.5),
        (("BZPOPMIN", "a", 2), 2.0),
        (("BLMPOP", 3, 1, "a", "LEFT"), 3.0),
        (("XREAD", "block", 1500, "STREAMS", "s", "$"), 1.5),
        (("XREADGROUP", "GROUP", "g", "c", "BLOCK", 0, "STREAMS", "s", ">"), math.inf),
        # The server complains.
        (("BLPOP",), 0.0),
        (("BLPOP", "a", "soon"), 0.0),
        (("XREAD", "BLOCK"), 0.0),
    ],
)
def test_how_long_a_command_may_block(command, seconds):
    assert blocking_seconds(command) == seconds


@pytest.mark.parametrize(
    ("command", "remedy"),
    [
        (("SUBSCRIBE", "a"), r"client\.pubsub\(\)"),
        ((b"unsubscribe",), r"client\.pubsub\(\)"),
        (("PSUBSCRIBE", "a*"), r"client\.pubsub\(\)"),
        (("SSUBSCRIBE", "a"), r"sharded_pubsub\(\)"),
        (("MULTI",), r"pipeline\(transaction=True\)"),
        (("exec",), r"pipeline\(transaction=True\)"),
        (("WATCH", "a"), r"connection_pool\.connection"),
        (("MONITOR",), r"connection_pool\.connection"),
        (("WAIT", 1, 100), r"connection_pool\.connection"),
        (("SELECT", 1), "options of the client"),
        (("HELLO", 3), "options of the client"),
        (("CLIENT", "REPLY", "OFF"), "CLIENT REPLY is about .* noreply=True"),
        ((b"client", b"setname", b"x"), "CLIENT SETNAME is about"),
        (("script", "debug", "yes"), "SCRIPT DEBUG is about .*connection_pool"),
    ],
)
def test_what_changes_its_connection_is_refused_with_what_to_use(command, remedy):
    with pytest.raises(DataError, match=remedy):
        blocking_seconds(command)
