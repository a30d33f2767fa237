"""Actor classes as handlers: what stands between the mailbox and the ``receive`` of the user's.

An actor that raises is made anew, so only what its ``receive`` raises may be raised here. What does
not decode, and what its breaker refuses, goes to the failure sink past it.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from actors.pubsub.handlers.breaker import BreakerOpenError, BreakerState, BreakerStatus
from actors.pubsub.handlers.function_actor import COMES_BACK
from actors.pubsub.handlers.handler import Handler
from actors.pubsub.handlers.pipeline import Call, admit, is_undecodable, make_run, note_success
from actors.runtime.actor import Actor, ActorSpec

__all__ = ["actor_spec"]

_CLOSED = BreakerStatus.CLOSED


def actor_spec(
    handler: Handler, breaker: BreakerState | None, time: Callable[[], float]
) -> ActorSpec:
    """Return how the actor of ``handler`` is made, and made anew."""
    given = handler.fn if isinstance(handler.fn, ActorSpec) else None
    make: Any = handler.fn if given is None else given.actor

    def actor(*args: Any, **kwargs: Any) -> Actor[Any]:
        made: Actor[Any] = make(*args, **kwargs)
        made.__dict__["receive"] = _receive(made, handler, breaker, time)
        return made

    actor.__name__ = getattr(make, "__name__", "actor")
    spec = ActorSpec(actor) if given is None else msgspec.structs.replace(given, actor=actor)
    if spec.retry_policy is None:
        spec = msgspec.structs.replace(spec, retry_policy=COMES_BACK, restart="permanent")
    return spec


def _receive(
    actor: Actor[Any], handler: Handler, breaker: BreakerState | None, time: Callable[[], float]
) -> Callable[[Any], Awaitable[Any]]:
    own = actor.receive
    run = make_run(handler, _call(handler, own))
    healthy = False

    async def receive(message: Any) -> Any:
        nonlocal healthy
        if type(message) is not dict:
            # Not the server's: timers, Terminated, what others tell the actor.
            result = own(message)
            return await result if inspect.isawaitable(result) else result
        try:
            if breaker is not None and breaker.status is not _CLOSED:
                admit(breaker, time())
            result = await run(message)
        except Exception as error:
            if isinstance(error, BreakerOpenError) or is_undecodable(error):
                return _pass_by(actor, message, error)
            raise
        if not healthy:
            # What it crashes on next is that message's doing: it comes back without a back-off.
            healthy = True
            actor.context.mark_healthy()
        if breaker is not None:
            breaker.ok = True
            if breaker.status is not _CLOSED:
                note_success(breaker)
        return result

    return receive


def _call(handler: Handler, own: Callable[[Any], Any]) -> Call:
    adapted = None if handler.adapt is None else handler.adapt(own)

    async def call(payload: Any, message: Any) -> Any:
        result = own(payload) if adapted is None else adapted(payload, message)
        if result is not None and inspect.isawaitable(result):
            return await result
        return result

    return call


def _pass_by(actor: Actor[Any], message: Any, error: Exception) -> None:
    """Have a message fail that the actor did not see."""
    actor.context._cell.report_failure(message, error)
