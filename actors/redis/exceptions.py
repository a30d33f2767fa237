"""The errors of servers and connections.

Names and bases are those of the reference API, so that `except` clauses written for it keep their
meaning. Timeouts are the builtin TimeoutError. :func:`from_reply` maps an error reply to its class.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "AskError",
    "AuthenticationError",
    "AuthenticationFailureError",
    "AuthenticationRequiredError",
    "AuthorizationError",
    "BusyLoadingError",
    "ClusterCrossSlotError",
    "ClusterDownError",
    "ClusterError",
    "ClusterResponseError",
    "ClusterRoutingError",
    "ClusterTransactionError",
    "CommandNotSupportedError",
    "CommandSyntaxError",
    "ConnectTimeoutError",
    "ConnectionError",
    "DataError",
    "ExecAbortError",
    "FunctionError",
    "InvalidResponse",
    "LockAcquisitionError",
    "LockError",
    "LockExtensionError",
    "LockReleaseError",
    "MovedError",
    "NoKeyError",
    "NoReachableNodeError",
    "NoScriptError",
    "NotBusyError",
    "PersistenceError",
    "PrimaryDownError",
    "PrimaryNotFoundError",
    "ProtocolError",
    "PubSubError",
    "ReadOnlyError",
    "RedisClusterError",
    "RedisClusterException",
    "RedisError",
    "ReplicaNotFoundError",
    "ReplicationError",
    "ReplyTimeoutError",
    "ResponseError",
    "SentinelError",
    "StalePrimaryError",
    "StreamConsumerError",
    "StreamConsumerGroupError",
    "StreamConsumerInitializationError",
    "StreamDuplicateConsumerGroupError",
    "TryAgainError",
    "UnansweredError",
    "UnblockedError",
    "UnknownCommandError",
    "WatchError",
    "WrongTypeError",
    "from_reply",
]


class RedisError(Exception):
    """Base of all errors of servers and connections."""


class DataError(RedisError):
    """A command cannot be sent.

    An argument is no str, bytes, int or float; or the command changes the state of its connection,
    and all commands of the client share that one; or a channel cannot have a history.
    """


class CommandNotSupportedError(RedisError):
    """The server is too old for the command."""


class PubSubError(RedisError):
    """A subscription was used wrongly, or the server sent a message of an unknown kind."""


# --- the connection -------------------------------------------------------------------------------


class ConnectionError(RedisError):  # noqa: A001 - the reference API's name
    """A connection could not be made, or was lost."""


class ConnectTimeoutError(ConnectionError, TimeoutError):
    """There was no connection within ``connect_timeout``.

    This is a TimeoutError, as all timeouts are, and a ConnectionError, too: a policy that retries
    failures to connect so retries a server that accepts connections and does not answer.
    """


class UnansweredError(ConnectionError):
    """The connection ended after a command was sent, and before its reply came.

    The server may have carried the command out. Any other ConnectionError of a command means that
    the command was not sent.
    """


class ReplyTimeoutError(TimeoutError):
    """There was no reply within ``stream_timeout``: the server may have carried the command out."""


class ProtocolError(ConnectionError):
    """The peer sent bytes that are not RESP3, or a reply without a command."""


class BusyLoadingError(ConnectionError):
    """The server is still loading its data set."""


# --- error replies --------------------------------------------------------------------------------


class ResponseError(RedisError):
    """The server answered a command with an error."""


class AuthenticationError(ResponseError):
    """Base of the errors of authentication."""


class AuthenticationFailureError(AuthenticationError):
    """The user name or the password is wrong."""


class AuthenticationRequiredError(AuthenticationError):
    """The server requires credentials and got none."""


class AuthorizationError(ResponseError):
    """The user may not run the command, or may not use its key or channel."""


class NoScriptError(ResponseError):
    """The server has no script with this digest."""


class NotBusyError(ResponseError):
    """There is no running script or function to kill."""


class NoKeyError(RedisError):
    """A key that the command needs does not exist."""


class ReadOnlyError(ResponseError):
    """A write was sent to a replica."""


class WrongTypeError(ResponseError):
    """The key holds a value of another type."""


class ReplicationError(RedisError):
    """A message was published, and fewer replicas have it than ``History(replicas=...)`` asks for.

    The reference API raises this error for a command that too few replicas acknowledged.

    Args:
        message: says what happened and what to do.
        id: the id of the message's entry in the history.
        acknowledged: how many replicas have the entry; None: the server did not say.
    """

    def __init__(
        self, message: str = "", id: str | bytes = "", acknowledged: int | None = None
    ) -> None:
        super().__init__(message)
        self.id = id
        self.acknowledged = acknowledged


class UnblockedError(ResponseError):
    """A blocking command was ended by CLIENT UNBLOCK."""


class ExecAbortError(ResponseError):
    """A transaction was discarded because of an earlier error in it."""


class UnknownCommandError(ResponseError):
    """The server knows no such command or subcommand."""


class PrimaryDownError(ResponseError):
    """A replica has lost its primary and refuses to serve stale data (MASTERDOWN)."""


class StreamConsumerError(RedisError):
    """Base of the errors of stream consumers."""


class StreamConsumerGroupError(StreamConsumerError):
    """The consumer group, or its stream, does not exist."""


class StreamDuplicateConsumerGroupError(StreamConsumerGroupError):
    """The consumer group exists already."""


# --- clusters and sentinels -----------------------------------------------------------------------


class RedisClusterError(RedisError):
    """Base of the errors of clusters."""


#: The old name of RedisClusterError in the reference API.
RedisClusterException = RedisClusterError


class NoReachableNodeError(RedisClusterError, ConnectionError):
    """No node of the cluster answered.

    The reference API raises RedisClusterError in this case. This is a ConnectionError, too: a
    policy that retries failures to connect so retries a cluster that is down.
    """


class ClusterError(RedisClusterError):
    """A command was redirected too often."""


class ClusterRoutingError(RedisClusterError):
    """No node is known for the slot."""


class ClusterCrossSlotError(RedisClusterError, ResponseError):
    """The keys or shard channels of one command belong to different slots."""


class ClusterTransactionError(RedisClusterError):
    """The commands of a transaction are for no slot, or for several ones."""


class ClusterDownError(RedisClusterError, ResponseError):
    """No node serves the slot, or the cluster is down."""


class TryAgainError(RedisClusterError, ResponseError):
    """The slot is moving and the command's keys are on both nodes."""


class AskError(RedisClusterError, ResponseError):
    """The slot is moving: send this one command to the other node, after ASKING.

    Args:
        slot: the hash slot, 0 to 16383.
        host: the other node's host; empty if it is the same host.
        port: the other node's port.
    """

    code = "ASK"

    def __init__(self, slot: int, host: str, port: int) -> None:
        super().__init__(slot, host, port)
        self.slot = self.slot_id = slot
        self.host = host
        self.port = port
        self.node_addr = (host, port)

    def __str__(self) -> str:
        return f"{self.code} {self.slot} {self.host}:{self.port}"


class MovedError(AskError):
    """The slot has another owner: send this command and all later ones there."""

    code = "MOVED"


class SentinelError(RedisError):
    """Base of the errors of sentinels."""


class PrimaryNotFoundError(SentinelError):
    """No primary could be found."""


class StalePrimaryError(SentinelError):
    """The node that was found as the primary is no longer one."""


class ReplicaNotFoundError(SentinelError):
    """No replica could be found."""


# --- names of the reference API for what this library has not -------------------------------------

# Nothing here raises them: `except` clauses that name them can be imported and are never entered.


class CommandSyntaxError(RedisError):
    """A command was called with arguments that exclude each other. Never raised here."""


class InvalidResponse(RedisError):
    """A reply could not be understood. Never raised here."""


class PersistenceError(RedisError):
    """A command did not reach enough append-only files in time. Never raised here."""


class WatchError(RedisError):
    """A watched key changed before the transaction. Never raised here."""


class LockError(RedisError, ValueError):
    """Base of the errors of locks. Never raised here."""


class LockAcquisitionError(LockError):
    """A lock could not be acquired. Never raised here."""


class LockReleaseError(LockError):
    """A lock could not be released. Never raised here."""


class LockExtensionError(LockError):
    """A lock could not be extended. Never raised here."""


class FunctionError(RedisError):
    """A function library could not be used. Never raised here."""


class ClusterResponseError(RedisClusterError):
    """The replies of several nodes could not be combined. Never raised here."""


class StreamConsumerInitializationError(StreamConsumerError):
    """A stream consumer was configured wrongly. Never raised here."""


# --- error replies to exceptions ------------------------------------------------------------------

_BY_CODE: Final[dict[str, type[RedisError]]] = {
    "BUSYGROUP": StreamDuplicateConsumerGroupError,
    "CLUSTERDOWN": ClusterDownError,
    "CROSSSLOT": ClusterCrossSlotError,
    "DENIED": AuthorizationError,
    "EXECABORT": ExecAbortError,
    "LOADING": BusyLoadingError,
    "MASTERDOWN": PrimaryDownError,
    "NOAUTH": AuthenticationRequiredError,
    "NOGROUP": StreamConsumerGroupError,
    "NOKEY": NoKeyError,
    "NOPERM": AuthorizationError,
    "NOPROTO": ProtocolError,
    "NOSCRIPT": NoScriptError,
    "NOTBUSY": NotBusyError,
    "READONLY": ReadOnlyError,
    "TRYAGAIN": TryAgainError,
    "UNBLOCKED": UnblockedError,
    "WRONGPASS": AuthenticationFailureError,
    "WRONGTYPE": WrongTypeError,
}

#: The class of a plain ERR, by how its text begins.
_BY_ERR_TEXT: Final[tuple[tuple[str, type[RedisError]], ...]] = (
    ("max number of clients", ConnectionError),
    ("unknown command", UnknownCommandError),
    ("unknown subcommand", UnknownCommandError),
    ("sub command not supported", UnknownCommandError),
    ("invalid password", AuthenticationFailureError),
)

_REDIRECTS: Final[dict[str, type[AskError]]] = {"ASK": AskError, "MOVED": MovedError}


def from_reply(text: str) -> RedisError:
    """Return the exception for the error reply ``text``. Never raises.

    The message is ``text`` without its code, if the class says the same as the code.
    """
    code, _, rest = text.partition(" ")
    if code in _REDIRECTS:
        return _redirect(_REDIRECTS[code], rest) or ResponseError(text)
    if code == "ERR":
        lowered = rest.lower()
        for prefix, kind in _BY_ERR_TEXT:
            if lowered.startswith(prefix):
                return kind(rest)
        return ResponseError(rest or text)
    known = _BY_CODE.get(code)
    if known is None:
        return ResponseError(text if text.strip() else "the server answered with an empty error")
    return known(rest or text)


def _redirect(kind: type[AskError], rest: str) -> AskError | None:
    slot, _, address = rest.partition(" ")
    # Split at the last colon: an IPv6 address contains colons.
    host, _, port = address.strip().rpartition(":")
    try:
        error = kind(int(slot), host, int(port))
    except ValueError:
        return None
    return error if 0 <= error.slot < 16384 else None
