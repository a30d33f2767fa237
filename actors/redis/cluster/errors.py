"""One clear error when no node of a cluster answered."""

from __future__ import annotations

from collections.abc import Mapping

from actors.redis import exceptions
from actors.redis.config.locations import TCPLocation
from actors.redis.exceptions import AuthenticationError, AuthorizationError, RedisClusterError
from actors.redis.topology.model import Address

_NO_CLUSTER = "cluster support disabled"


def nobody_answered(errors: Mapping[Address, BaseException]) -> exceptions.RedisError:
    """Return an error that names each node and its reason.

    The error's class is the reason that the user can do most about: a server without cluster mode,
    else refused credentials, else no node that can be reached.
    """
    reasons = {at: _reason(at, error) for at, error in errors.items()}
    text = "; ".join(f"{TCPLocation(*at)}: {reason}" for at, reason in reasons.items())
    cause = min(errors.values(), key=_rank, default=None)
    found: exceptions.RedisError
    if _rank(cause) == 0:
        found = RedisClusterError(
            f"no cluster there: {text}. A server without cluster mode needs Redis instead of "
            "RedisCluster, or cluster-enabled yes in its configuration"
        )
    elif isinstance(cause, AuthenticationError | AuthorizationError):
        found = type(cause)(f"none of the cluster's nodes let this client in: {text}")
    else:
        found = exceptions.NoReachableNodeError(
            f"none of the cluster's nodes answered: {text or 'there is none to ask'}"
        )
    found.__cause__ = cause
    return found


def _rank(error: BaseException | None) -> int:
    if _NO_CLUSTER in str(error):
        return 0
    return 1 if isinstance(error, AuthenticationError | AuthorizationError) else 2


def _reason(address: Address, error: BaseException) -> str:
    if _NO_CLUSTER in str(error):
        return "it runs without cluster mode"
    # The errors of a connection begin with its address, which the caller's text has already.
    text = str(error) or type(error).__name__
    return text.removeprefix(f"cannot connect to {TCPLocation(*address)}: ")
