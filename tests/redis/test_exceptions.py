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
        ("", e.ResponseError, "the server answered with an empty error"),
        (" ", e.ResponseError, "the server answered with an empty error"),
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


#: The errors of coredis 6.9.0 and their bases.
REFERENCE = """
AskError: RedisClusterError, ResponseError
AuthenticationError: ResponseError
AuthenticationFailureError: AuthenticationError
AuthenticationRequiredError: AuthenticationError
AuthorizationError: ResponseError
BusyLoadingError: ConnectionError
ClusterCrossSlotError: RedisClusterError, ResponseError
ClusterDownError: RedisClusterError, ResponseError
ClusterError: RedisClusterError
ClusterResponseError: RedisClusterError
ClusterRoutingError: RedisClusterError
ClusterTransactionError: RedisClusterError
CommandNotSupportedError: RedisError
CommandSyntaxError: RedisError
ConnectionError: RedisError
DataError: RedisError
ExecAbortError: ResponseError
FunctionError: RedisError
InvalidResponse: RedisError
LockAcquisitionError: LockError
LockError: RedisError, ValueError
LockExtensionError: LockError
LockReleaseError: LockError
MovedError: AskError
NoKeyError: RedisError
NoScriptError: ResponseError
NotBusyError: ResponseError
PersistenceError: RedisError
PrimaryNotFoundError: SentinelError
ProtocolError: ConnectionError
PubSubError: RedisError
ReadOnlyError: ResponseError
RedisClusterError: RedisError
RedisError: Exception
ReplicaNotFoundError: SentinelError
ReplicationError: RedisError
ResponseError: RedisError
SentinelError: RedisError
StalePrimaryError: SentinelError
StreamConsumerError: RedisError
StreamConsumerGroupError: StreamConsumerError
StreamConsumerInitializationError: StreamConsumerError
StreamDuplicateConsumerGroupError: StreamConsumerGroupError
TryAgainError: RedisClusterError, ResponseError
UnblockedError: ResponseError
UnknownCommandError: ResponseError
WatchError: RedisError
WrongTypeError: ResponseError
"""


@pytest.mark.parametrize("line", REFERENCE.strip().splitlines())
def test_names_and_bases_are_those_of_the_reference(line):
    name, bases = line.split(": ")
    kind = getattr(e, name)
    assert name in e.__all__
    assert kind.__doc__
    assert [base.__name__ for base in kind.__bases__] == bases.split(", ")


def test_the_old_name_of_the_reference():
    assert e.RedisClusterException is e.RedisClusterError
    assert not issubclass(e.ConnectionError, OSError)


def test_what_the_reference_has_not_belongs_to_one_of_its_classes():
    known = {line.partition(":")[0] for line in REFERENCE.strip().splitlines()}
    own = {name for name in e.__all__ if name not in known} - {"RedisClusterException"}
    assert own == {
        "ConnectTimeoutError",
        "NoReachableNodeError",
        "PrimaryDownError",
        "ReplyTimeoutError",
        "UnansweredError",
        "from_reply",
    }
    assert issubclass(e.ConnectTimeoutError, e.ConnectionError)
    assert issubclass(e.PrimaryDownError, e.ResponseError)


def test_a_timeout_of_connecting_is_a_timeout_and_a_failure_to_connect():
    error = e.ConnectTimeoutError("too late")
    assert isinstance(error, TimeoutError)
    assert isinstance(error, e.ConnectionError)
    assert str(error) == "too late"


def test_a_cluster_that_is_down_is_an_error_of_clusters_and_of_connections():
    error = e.NoReachableNodeError("all are down")
    assert isinstance(error, e.RedisClusterError)
    assert isinstance(error, e.ConnectionError)
    assert not isinstance(error, e.ResponseError)


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
