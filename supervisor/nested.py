"""A supervisor as a child of another one."""

from __future__ import annotations

from supervisor.child import Child
from supervisor.retry_policy import RetryPolicy
from supervisor.spec import ChildSpec, Restart, SupervisorSpec
from supervisor.supervisor import Supervisor


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

    By default it has as long to stop as it needs, as in OTP: its own children have their limits.
    """

    async def start(child: Child) -> None:
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
