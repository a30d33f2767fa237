"""Clear errors where no node of a cluster answered, or where the startup nodes disagree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from actors.redis import exceptions
from actors.redis.config.locations import TCPLocation
from actors.redis.discovery.node_probe import NodeProbe
from actors.redis.exceptions import AuthenticationError, AuthorizationError, RedisClusterError
from actors.redis.topology.model import Address, Topology

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


def startup_nodes_disagree(
    clusters: Sequence[Sequence[tuple[NodeProbe, Topology]]],
) -> RedisClusterError:
    """Return an error that names the startup nodes of each cluster, and the nodes they know."""
    told = []
    for answers in clusters:
        seeds = ", ".join(str(probe.location) for probe, _ in answers)
        known = {f"{n.host}:{n.port}" for _, view in answers for n in view.nodes.values()}
        told.append(f"{seeds} (whose cluster has {', '.join(sorted(known)[:6])})")
    return RedisClusterError(
        f"the startup nodes belong to {len(told)} clusters, and no cluster has most of them: "
        f"{'; '.join(told)}. Name the nodes of one cluster only"
    )


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
