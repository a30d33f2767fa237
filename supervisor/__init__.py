"""Supervision of asyncio tasks: child specs, restart strategies, intensity, ordered stops.

It knows no actor and no Redis. :class:`Supervisor` keeps children alive by the rules of
Erlang/OTP's supervisor; ``docs/supervision.md`` names them by number.
"""

from typing import TYPE_CHECKING

from supervisor.lazy_names import lazy_names

if TYPE_CHECKING:
    from supervisor.child import Child
    from supervisor.clock import Clock, LoopClock, Timer
    from supervisor.event_log import log_event
    from supervisor.model.errors import (
        EscalatedError,
        SpecError,
        StartError,
        SupervisorError,
        SupervisorExit,
    )
    from supervisor.model.events import (
        ChildExited,
        ChildRestarting,
        ChildStarted,
        ChildStartFailed,
        ChildUnkillable,
        Event,
        EventSink,
        GaveUp,
        Stopped,
        Stopping,
        StopReport,
    )
    from supervisor.model.reasons import (
        Crashed,
        Escalated,
        ExitReason,
        Killed,
        Normal,
        Shutdown,
        StartFailed,
    )
    from supervisor.model.retry_policy import (
        CompositeRetryPolicy,
        ConstantRetryPolicy,
        ExponentialBackoffRetryPolicy,
        NoRetryPolicy,
        RetryPolicy,
        retryable,
    )
    from supervisor.model.spec import AutoShutdown, ChildSpec, Restart, Strategy, SupervisorSpec
    from supervisor.strategy import Status
    from supervisor.supervisor import Phase, Supervisor, supervisor_child
    from supervisor.tree import TreeNode, format_tree

#: Read by ``actors`` to tell this package from supervisord's, which has the same import name.
__mailslot__ = True

__all__ = [
    "AutoShutdown",
    "Child",
    "ChildExited",
    "ChildRestarting",
    "ChildSpec",
    "ChildStartFailed",
    "ChildStarted",
    "ChildUnkillable",
    "Clock",
    "CompositeRetryPolicy",
    "ConstantRetryPolicy",
    "Crashed",
    "Escalated",
    "EscalatedError",
    "Event",
    "EventSink",
    "ExitReason",
    "ExponentialBackoffRetryPolicy",
    "GaveUp",
    "Killed",
    "LoopClock",
    "NoRetryPolicy",
    "Normal",
    "Phase",
    "Restart",
    "RetryPolicy",
    "Shutdown",
    "SpecError",
    "StartError",
    "StartFailed",
    "Status",
    "StopReport",
    "Stopped",
    "Stopping",
    "Strategy",
    "Supervisor",
    "SupervisorError",
    "SupervisorExit",
    "SupervisorSpec",
    "Timer",
    "TreeNode",
    "format_tree",
    "log_event",
    "retryable",
    "supervisor_child",
]

# The module of each name.
_HOMES = {
    "supervisor.child": ("Child",),
    "supervisor.clock": ("Clock", "LoopClock", "Timer"),
    "supervisor.model.errors": (
        "EscalatedError",
        "SpecError",
        "StartError",
        "SupervisorError",
        "SupervisorExit",
    ),
    "supervisor.event_log": ("log_event",),
    "supervisor.model.events": (
        "ChildExited",
        "ChildRestarting",
        "ChildStarted",
        "ChildStartFailed",
        "ChildUnkillable",
        "Event",
        "EventSink",
        "GaveUp",
        "Stopped",
        "Stopping",
        "StopReport",
    ),
    "supervisor.model.reasons": (
        "Crashed",
        "Escalated",
        "ExitReason",
        "Killed",
        "Normal",
        "Shutdown",
        "StartFailed",
    ),
    "supervisor.model.retry_policy": (
        "CompositeRetryPolicy",
        "ConstantRetryPolicy",
        "ExponentialBackoffRetryPolicy",
        "NoRetryPolicy",
        "RetryPolicy",
        "retryable",
    ),
    "supervisor.model.spec": ("AutoShutdown", "ChildSpec", "Restart", "Strategy", "SupervisorSpec"),
    "supervisor.strategy": ("Status",),
    "supervisor.supervisor": ("Phase", "Supervisor", "supervisor_child"),
    "supervisor.tree": ("TreeNode", "format_tree"),
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
