"""Supervisors below supervisors: as a child spec, and in the tree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from supervisor.child import Child
from supervisor.retry_policy import RetryPolicy
from supervisor.spec import ChildSpec, Restart, SupervisorSpec
from supervisor.tree import TreeNode

__all__ = ["child_node", "supervisor_child"]


def child_node(child: Child, now: float) -> TreeNode:
    """Return ``child``'s part of the tree at ``now`` (its supervisor's clock)."""
    until = child.backoff_until
    nested = child.nested
    return TreeNode(
        id=child.spec.id,
        path=child.path,
        kind=child.spec.kind,
        status="waiting" if until is not None else child.status.value,
        incarnation=child.incarnation,
        restarts=child.restarts,
        uptime=child.uptime,
        last_exit=None if child.last_exit is None else str(child.last_exit),
        backoff_left=None if until is None else max(0.0, until - now),
        detail=_detail(child),
        children=nested.nodes() if nested is not None else (),
    )


def _detail(child: Child) -> Mapping[str, Any]:
    if child.describe is None:
        return {}
    try:
        return child.describe()
    except Exception as error:
        # A tree is looked at when something is wrong: one broken child must not hide the others.
        return {"error": repr(error)}


def supervisor_child(
    id: str,
    spec: SupervisorSpec,
    *,
    restart: Restart | str = Restart.PERMANENT,
    shutdown: float | None = None,
    retry_policy: RetryPolicy | None = None,
    significant: bool = False,
) -> ChildSpec:
    """Return the child spec of a supervisor below another one.

    Its allowance to stop is without limit by default, as in OTP: its own children have theirs.
    """

    async def start(child: Child) -> None:
        # Imported here: a supervisor makes nodes, and a node's child may be a supervisor.
        from supervisor.supervisor import Supervisor  # noqa: PLC0415

        owner = child.owner
        nested = Supervisor(spec, path=child.path, clock=owner.clock, sink=owner.sink)
        await nested.run(child)

    return ChildSpec(
        id,
        start,
        restart=restart,
        shutdown=shutdown,
        retry_policy=retry_policy,
        significant=significant,
        kind="supervisor",
    )
