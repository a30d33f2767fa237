"""What can go wrong on the wire, as classes.

Names and bases are the reference API's, so `except` clauses of its users keep their meaning.
Timeouts are the builtin TimeoutError. :func:`from_reply` maps an error reply to its class.
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
    "ClusterRoutingError",
    "CommandNotSupportedError",
    "ConnectTimeoutError",
    "ConnectionError",
    "DataError",
    "ExecAbortError",
    "MovedError",
    "NoKeyError",
    "NoScriptError",
    "NotBusyError",
    "PrimaryDownError",
    "PrimaryNotFoundError",
    "ProtocolError",
    "PubSubError",
    "ReadOnlyError",
    "RedisClusterError",
    "RedisClusterException",
    "RedisError",
    "ReplicaNotFoundError",
    "ResponseError",
    "SentinelError",
    "StalePrimaryError",
    "StreamConsumerError",
    "StreamConsumerGroupError",
    "StreamDuplicateConsumerGroupError",
    "TryAgainError",
    "UnblockedError",
    "UnknownCommandError",
    "WrongTypeError",
    "from_reply",
]


class RedisError(Exception):
    """Base of every error of this library that has to do with a server."""


class DataError(RedisError):
    """An argument that cannot be sent: no str, bytes, int or float."""


class CommandNotSupportedError(RedisError):
    """The server is too old for what it was asked."""


class PubSubError(RedisError):
    """A subscription was used wrongly, or the server sent a message of an unknown kind."""


# --- the connection -------------------------------------------------------------------------------


class ConnectionError(RedisError):  # noqa: A001 - the reference API's name
    """A connection could not be made, or was lost."""


class ConnectTimeoutError(ConnectionError, TimeoutError):
    """No connection within ``connect_timeout``.

    It is the builtin TimeoutError, as all timeouts are, and also a failure to connect: whoever
    retries the one for ever retries a server that accepts and does not answer like one that is
    down.
    """


class ProtocolError(ConnectionError):
    """The peer sent what is not RESP3, or what nobody asked for."""


class BusyLoadingError(ConnectionError):
    """The server still loads its data set."""


# --- error replies --------------------------------------------------------------------------------


class ResponseError(RedisError):
    """The server answered with an error."""


class AuthenticationError(ResponseError):
    """Base of the errors of authentication."""


class AuthenticationFailureError(AuthenticationError):
    """The credentials that were given are wrong."""


class AuthenticationRequiredError(AuthenticationError):
    """The server asks for credentials and none were given."""


class AuthorizationError(ResponseError):
    """The user may not run the command, or not on that key or channel."""


class NoScriptError(ResponseError):
    """No script of that digest."""


class NotBusyError(ResponseError):
    """No script or function runs that could be killed."""


class NoKeyError(RedisError):
    """A key that the command needs does not exist."""


class ReadOnlyError(ResponseError):
    """A write was sent to a replica."""


class WrongTypeError(ResponseError):
    """The key holds a value of another type."""


class UnblockedError(ResponseError):
    """A blocking command was ended by CLIENT UNBLOCK."""


class ExecAbortError(ResponseError):
    """A transaction was discarded because of an earlier error in it."""


class UnknownCommandError(ResponseError):
    """The server knows no such command or subcommand."""


class PrimaryDownError(ResponseError):
    """A replica without its primary refuses to serve stale data (MASTERDOWN)."""


class StreamConsumerError(RedisError):
    """Base of the errors of stream consumers."""


class StreamConsumerGroupError(StreamConsumerError):
    """The consumer group, or its stream, does not exist."""


class StreamDuplicateConsumerGroupError(StreamConsumerGroupError):
    """The consumer group exists already."""


# --- clusters and sentinels -----------------------------------------------------------------------


class RedisClusterError(RedisError):
    """Base of the errors of clusters."""


#: The reference API's old name of RedisClusterError.
RedisClusterException = RedisClusterError


class ClusterError(RedisClusterError):
    """A command was redirected, or failed on node after node, too often."""


class ClusterRoutingError(RedisClusterError):
    """No node is known that could take the command."""


class ClusterCrossSlotError(RedisClusterError, ResponseError):
    """The keys or shard channels of one command belong to different slots."""


class ClusterDownError(RedisClusterError, ResponseError):
    """The cluster, or the slot, is not served at the moment."""


class TryAgainError(RedisClusterError, ResponseError):
    """The slot is being moved and its keys are on both nodes."""


class AskError(RedisClusterError, ResponseError):
    """This command, and only this one, is to go to another node, after ASKING.

    Args:
        slot: the hash slot, 0 to 16383.
        host: where to; empty: the host that was asked.
        port: where to.
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
    """The slot has another owner: this command and all later ones are to go there."""

    code = "MOVED"


class SentinelError(RedisError):
    """Base of the errors of sentinels."""


class PrimaryNotFoundError(SentinelError):
    """No primary could be found."""


class StalePrimaryError(SentinelError):
    """What was found as a primary is none any more."""


class ReplicaNotFoundError(SentinelError):
    """No replica could be found."""


# --- from the wire --------------------------------------------------------------------------------

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

#: What follows a plain ERR says what it is only in words.
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

    The code in front is left out of the message where the class says it.
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
    return ResponseError(text) if known is None else known(rest or text)


def _redirect(kind: type[AskError], rest: str) -> AskError | None:
    slot, _, address = rest.partition(" ")
    # The last colon: an IPv6 address has its own.
    host, _, port = address.strip().rpartition(":")
    try:
        return kind(int(slot), host, int(port))
    except ValueError:
        return None
