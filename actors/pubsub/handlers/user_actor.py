"""A user's Actor class as a handler: the steps between the mailbox and its ``receive``.

An actor that raises is restarted. So only what ``receive`` itself raises is raised here; a payload
that does not decode and a message that the breaker refuses go to the failure sink directly.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from actors.pubsub.delivery.progress import ProgressOf, tracked
from actors.pubsub.handlers.breaker import BreakerOpenError, BreakerState
from actors.pubsub.handlers.function_actor import HANDLER_RETRY_POLICY
from actors.pubsub.handlers.handler import Handler
from actors.pubsub.handlers.pipeline import awaited, guard, is_undecodable, make_run
from actors.runtime.actor import Actor, ActorSpec


def actor_spec(
    handler: Handler,
    breaker: BreakerState | None,
    time: Callable[[], float],
    progress: ProgressOf | None = None,
) -> ActorSpec:
    """Return the spec of the user's actor, with the steps of ``handler`` before its ``receive``.

    ``progress``: where it is noted what the actor has handled; None: nowhere.
    """
    given = handler.fn if isinstance(handler.fn, ActorSpec) else None
    make: Any = handler.fn if given is None else given.actor

    def actor(*args: Any, **kwargs: Any) -> Actor[Any]:
        made: Actor[Any] = make(*args, **kwargs)
        receive = _receive(made, handler, breaker, time)
        made.__dict__["receive"] = receive if progress is None else tracked(receive, progress)
        return made

    actor.__name__ = getattr(make, "__name__", "actor")
    spec = ActorSpec(actor) if given is None else msgspec.structs.replace(given, actor=actor)
    if spec.retry_policy is None:
        replace = msgspec.structs.replace
        spec = replace(spec, retry_policy=HANDLER_RETRY_POLICY, restart="permanent")
    return spec


def _receive(
    actor: Actor[Any], handler: Handler, breaker: BreakerState | None, time: Callable[[], float]
) -> Callable[[Any], Awaitable[Any]]:
    own = actor.receive
    call = (
        awaited(own, two=False) if handler.adapt is None else awaited(handler.adapt(own), two=True)
    )
    run = guard(make_run(handler, call), breaker, time)
    healthy = False

    async def receive(message: Any) -> Any:
        nonlocal healthy
        if type(message) is not dict:
            # Not from the server: a timer's message, Terminated, what others tell the actor.
            result = own(message)
            return await result if inspect.isawaitable(result) else result
        try:
            result = await run(message)
        except Exception as error:
            if isinstance(error, BreakerOpenError) or is_undecodable(error):
                return actor.context._cell.report_failure(message, error)
            raise
        if not healthy:
            # A later message makes it crash, then, and not its start: it restarts at once.
            healthy = True
            actor.context.mark_healthy()
        return result

    return receive
