from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.redis import exceptions as e


@pytest.mark.parametrize(
    ("reply", "kind", "message"),
    [
        ("ERR syntax error", e.ResponseError, "syntax error"),
        ("ERR unknown command 'FOO', with args", e.UnknownCommandError, "unknown command 'FOO'"),
        ("ERR Unknown subcommand or wrong number", e.UnknownCommandError, "subcommand"),
        ("ERR max number of clients reached", e.ConnectionError, "max number"),
        ("ERR max number of clients + cluster connections reached", e.ConnectionError, "cluster"),
        ("ERR invalid password", e.AuthenticationFailureError, "invalid password"),
        ("WRONGPASS invalid username-password pair", e.AuthenticationFailureError, "^invalid"),
        ("NOAUTH Authentication required.", e.AuthenticationRequiredError, "^Authentication"),
        ("NOPERM No permissions to access a channel", e.AuthorizationError, "^No permissions"),
        ("DENIED Redis is running in protected mode", e.AuthorizationError, "protected mode"),
        ("NOPROTO unsupported protocol version", e.ProtocolError, "unsupported"),
        ("LOADING Redis is loading the dataset", e.BusyLoadingError, "loading"),
        ("READONLY You can't write against a replica", e.ReadOnlyError, "replica"),
        ("MASTERDOWN Link with MASTER is down", e.PrimaryDownError, "Link"),
        ("NOSCRIPT No matching script", e.NoScriptError, "script"),
        ("WRONGTYPE Operation against a key", e.WrongTypeError, "Operation"),
        ("EXECABORT Transaction discarded", e.ExecAbortError, "discarded"),
        ("NOGROUP No such key", e.StreamConsumerGroupError, "No such"),
        ("BUSYGROUP Consumer Group name", e.StreamDuplicateConsumerGroupError, "Consumer"),
        ("UNBLOCKED client unblocked", e.UnblockedError, "unblocked"),
        ("CLUSTERDOWN Hash slot not served", e.ClusterDownError, "slot"),
        ("CLUSTERDOWN", e.ClusterDownError, "CLUSTERDOWN"),
        ("CROSSSLOT Keys in request don't hash", e.ClusterCrossSlotError, "hash"),
        ("TRYAGAIN Multiple keys request", e.TryAgainError, "Multiple"),
        ("MISCONF Errors writing to disk", e.ResponseError, "^MISCONF Errors"),
        ("MOVED nonsense", e.ResponseError, "^MOVED nonsense"),
        ("ASK 12 no-port", e.ResponseError, "^ASK 12 no-port"),
        ("", e.ResponseError, "^$"),
    ],
)
def test_error_replies_become_their_class(reply, kind, message):
    error = e.from_reply(reply)
    assert type(error) is kind
    with pytest.raises(kind, match=message):
        raise error


@pytest.mark.parametrize(("word", "kind"), [("MOVED", e.MovedError), ("ASK", e.AskError)])
@pytest.mark.parametrize(
    ("address", "host", "port"),
    [("10.0.0.1:6381", "10.0.0.1", 6381), ("::1:7000", "::1", 7000), (":7000", "", 7000)],
)
def test_redirects_carry_slot_and_address(word, kind, address, host, port):
    error = e.from_reply(f"{word} 3999 {address}")
    assert type(error) is kind
    assert isinstance(error, e.AskError)
    assert (error.slot, error.slot_id, error.host, error.port) == (3999, 3999, host, port)
    assert error.node_addr == (host, port)
    assert str(error) == f"{word} 3999 {host}:{port}"
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), copy.slot, copy.node_addr) == (kind, 3999, (host, port))


def test_bases_are_those_of_the_reference():
    assert issubclass(e.ProtocolError, e.ConnectionError)
    assert issubclass(e.BusyLoadingError, e.ConnectionError)
    assert not issubclass(e.ConnectionError, OSError)
    assert issubclass(e.AuthenticationFailureError, e.AuthenticationError)
    assert issubclass(e.AuthenticationError, e.ResponseError)
    assert issubclass(e.AuthorizationError, e.ResponseError)
    assert issubclass(e.MovedError, e.AskError)
    assert issubclass(e.AskError, e.ResponseError)
    assert issubclass(e.AskError, e.RedisClusterError)
    assert issubclass(e.ClusterDownError, e.RedisClusterError)
    assert issubclass(e.PrimaryNotFoundError, e.SentinelError)
    assert e.RedisClusterException is e.RedisClusterError


def test_a_timeout_of_connecting_is_a_timeout_and_a_failure_to_connect():
    error = e.ConnectTimeoutError("too late")
    assert isinstance(error, TimeoutError)
    assert isinstance(error, e.ConnectionError)
    assert str(error) == "too late"


def test_every_public_name_exists():
    assert all(hasattr(e, name) for name in e.__all__)


CODES = st.sampled_from(["MOVED", "ASK", "ERR", "NOAUTH", "CLUSTERDOWN", "X", "moved"])


@given(st.text() | st.builds("{} {}".format, CODES, st.text()))
def test_no_reply_is_too_strange(text):
    error = e.from_reply(text)
    assert isinstance(error, e.RedisError)
    str(error)


@given(
    st.sampled_from(["MOVED", "ASK"]),
    st.integers(0, 16383),
    st.ip_addresses().map(str) | st.from_regex(r"[a-z0-9.-]{0,20}", fullmatch=True),
    st.integers(1, 65535),
)
def test_redirects_survive_the_round_trip(word, slot, host, port):
    error = e.from_reply(f"{word} {slot} {host}:{port}")
    assert isinstance(error, e.AskError)
    assert (error.slot, error.host, error.port) == (slot, host, port)
