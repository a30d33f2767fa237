"""What the error replies of servers and proxies mean: a "no", or a refusal that passes."""

from __future__ import annotations

import pytest

from actors.redis import exceptions
from actors.redis.error_meaning import is_no, will_pass
from actors.redis.exceptions import from_reply

_PASSING = [
    "LOADING Redis is loading the dataset in memory",
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "CLUSTERDOWN The cluster is down",
    "CLUSTERDOWN Hash slot not served",
    "TRYAGAIN Multiple keys request during rehashing of slot",
    "OOM command not allowed when used memory > 'maxmemory'.",
    "NOREPLICAS Not enough good replicas to write.",
    # Proxies: envoy, twemproxy, and whatever their authors thought of.
    "ERR upstream failure",
    "ERR no upstream host",
    "ERR Connection timed out",
    "ERR server is not available, try later",
    "UPSTREAM gone",
    "",
]
_NO = [
    "NOPERM User u has no permissions to access the 'a' channel",
    "WRONGPASS invalid username-password pair or user is disabled.",
    "ERR invalid password",
    "NOAUTH Authentication required.",
    "DENIED Redis is running in protected mode because protected mode is enabled",
    "ERR unknown command 'HELLO', with args beginning with: '3'",
    "ERR unsupported command 'subscribe'",
    "ERR DB index is out of range",
    "ERR SELECT is not allowed in cluster mode",
    "ERR syntax error",
    "ERR wrong number of arguments for 'subscribe' command",
    "CROSSSLOT Keys in request don't hash to the same slot",
]


@pytest.mark.parametrize("text", _PASSING)
def test_p11_what_passes_by_itself(text: str):
    error = from_reply(text)
    assert will_pass(error)
    assert not is_no(error)


@pytest.mark.parametrize("text", _NO)
def test_p11_what_is_a_no(text: str):
    error = from_reply(text)
    assert is_no(error)
    assert not will_pass(error)


@pytest.mark.parametrize(
    "error",
    [
        from_reply("MOVED 1 127.0.0.1:7000"),
        from_reply("ASK 1 127.0.0.1:7000"),
        exceptions.ConnectionError("connection refused"),
        exceptions.ConnectTimeoutError("no answer"),
        TimeoutError(),
        OSError("no route"),
        KeyError("a bug"),
    ],
)
def test_what_is_neither_says_nothing_about_the_question(error: Exception):
    assert not is_no(error)
    assert not will_pass(error)


def test_a_server_without_resp3_says_no():
    assert is_no(exceptions.CommandNotSupportedError("it does not speak RESP3"))
