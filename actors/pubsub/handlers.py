"""Putting handlers to work: from what a user gave to an actor that a subscription feeds."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from typing import Any

import msgspec

from actors.pubsub.book import Subscription
from actors.pubsub.breaker import BreakerOpenError, BreakerState
from actors.pubsub.handler import HandlerActor, LanesActor, Work, lane_run
from actors.pubsub.handler_spec import Handler, as_handler
from actors.pubsub.parts import Parts
from actors.pubsub.pipeline import guard, make_decode, make_receive
from actors.pubsub.sinks import HandlerFailure, HandlerFailureSink, LogSink
from actors.pubsub.types import LagCallback
from actors.runtime.actor import Actor
from actors.runtime.failures import FailureSink
from actors.runtime.messages import Failure
from actors.runtime.overflow import MailboxSpec, Overflow
from actors.runtime.ref import ActorRef
from actors.runtime.spec import ActorSpec
from supervisor import ExponentialBackoffRetryPolicy
from supervisor.log import get_logger

__all__ = ["Hiring"]

log = get_logger("mailslot.pubsub")

# How an actor of the user's comes back after a crash: outside the restart intensity, so that one
# that crashes on every message takes nobody with it.
_COMES_BACK = ExponentialBackoffRetryPolicy(
    (Exception,), retries=None, base_delay=0.05, max_delay=5, jitter=True
)
_FAILURES = MailboxSpec(10_000, Overflow.DROP_OLDEST)


class Hiring:
    """Makes the handlers of one pub/sub object.

    Args:
        mailbox: the bound of a handler that names none.
        on_failure: the failure sink of a handler that names none; None: logs.
        on_lagged: hears of what a handler's mailbox shed, where the handler does not say.
    """

    def __init__(
        self,
        parts: Parts,
        mailbox: MailboxSpec,
        on_failure: HandlerFailureSink | None,
        on_lagged: LagCallback | None,
    ) -> None:
        self._parts = parts
        self._mailbox = mailbox
        self._on_failure: HandlerFailureSink = LogSink() if on_failure is None else on_failure
        self._on_lagged = on_lagged
        self._writers: dict[int, ActorRef[HandlerFailure]] = {}

    def hire(self, subscription: Subscription, callback: Any) -> None:
        """Make an actor of ``callback`` and have the subscription's messages go to it.

        Raises:
            SpecError: it cannot be a handler; says why.
        """
        handler = as_handler(callback)
        breaker = None if handler.breaker is None else BreakerState(handler.breaker)
        report = self._reporter(handler, subscription, breaker)
        spec = msgspec.structs.replace(
            self._spec(handler, breaker, report),
            mailbox=self._bound(handler),
            on_failure=report,
        )
        subscription.callback = callback
        subscription.on_gap = handler.on_gap
        subscription.lanes = handler.concurrency > 1
        self._parts.spawn_handler(subscription, spec)

    def _spec(
        self, handler: Handler, breaker: BreakerState | None, report: FailureSink
    ) -> ActorSpec:
        on_lagged = handler.on_lagged or self._on_lagged
        clock = self._parts.system.loop.time
        if handler.is_actor:
            return _actor_spec(handler)
        if handler.concurrency == 1:
            receive = make_receive(handler, breaker, clock)
            return ActorSpec(HandlerActor, (receive, on_lagged, breaker), restart="permanent")
        run = lane_run(handler, lambda run: guard(run, breaker, clock))
        args = (handler, run, on_lagged, report, breaker)
        return ActorSpec(LanesActor, args, restart="permanent")

    def _bound(self, handler: Handler) -> MailboxSpec:
        given = handler.mailbox
        if isinstance(given, MailboxSpec):
            bound = given
        else:
            bound = self._mailbox if given is None else MailboxSpec(given, self._mailbox.overflow)
        if handler.overflow is not None:
            bound = MailboxSpec(bound.capacity, handler.overflow)
        return bound

    # -- failures ----------------------------------------------------------------------------------

    def _reporter(
        self, handler: Handler, subscription: Subscription, breaker: BreakerState | None
    ) -> FailureSink:
        sink = self._on_failure if handler.on_failure is None else handler.on_failure
        give = self._giver(sink)
        clock = self._parts.system.loop.time

        def report(failure: Failure) -> None:
            message = failure.message
            if isinstance(message, Work):
                message = message.message
            if breaker is not None and _trips(breaker, failure.error, clock()):
                log.error(
                    "breaker_open",
                    handler=handler.name,
                    channel=subscription.label,
                    error=repr(failure.error),
                )
            channel = message["channel"] if isinstance(message, dict) else subscription.label
            give(
                HandlerFailure(
                    message, channel, failure.error, handler.name, failure.path, time.time()
                )
            )

        return report

    def _giver(self, sink: HandlerFailureSink) -> Callable[[HandlerFailure], Any]:
        """Return what takes a failure at once: a sink that must be awaited gets an actor."""
        call = getattr(sink, "__call__", None)  # noqa: B004 - an async __call__ counts
        if not (inspect.iscoroutinefunction(sink) or inspect.iscoroutinefunction(call)):
            return sink
        writer = self._writers.get(id(sink))
        if writer is None or not writer.alive:
            spec = ActorSpec(_Writer, (sink,), mailbox=_FAILURES, restart="permanent")
            writer = self._writers[id(sink)] = self._parts.spawn_beside(spec, "failures")
        return writer.tell


def _trips(breaker: BreakerState, error: BaseException, now: float) -> bool:
    return not isinstance(error, BreakerOpenError) and breaker.failed(now)


class _Writer(Actor[HandlerFailure]):
    """Gives failures to a sink that must be awaited, one at a time."""

    resilient = True

    def __init__(self, sink: Callable[[HandlerFailure], Any]) -> None:
        self._sink = sink

    async def receive(self, message: HandlerFailure) -> None:
        """Write one."""
        await self._sink(message)


def _actor_spec(handler: Handler) -> ActorSpec:
    given = handler.fn if isinstance(handler.fn, ActorSpec) else None
    make: Any = handler.fn if given is None else given.actor
    decode = make_decode(handler)

    def actor(*args: Any, **kwargs: Any) -> Actor[Any]:
        made: Actor[Any] = make(*args, **kwargs)
        if decode is not None:
            made.__dict__["receive"] = _decoding(made.receive, decode)
        return made

    actor.__name__ = getattr(make, "__name__", "actor")
    spec = ActorSpec(actor) if given is None else msgspec.structs.replace(given, actor=actor)
    if spec.retry_policy is None:
        spec = msgspec.structs.replace(spec, retry_policy=_COMES_BACK, restart="permanent")
    return spec


def _decoding(receive: Callable[[Any], Any], decode: Callable[[Any], Any]) -> Callable[[Any], Any]:
    if inspect.iscoroutinefunction(receive):

        async def decoded(message: Any) -> Any:
            return await receive(_open(message, decode))

        return decoded
    return lambda message: receive(_open(message, decode))


def _open(message: Any, decode: Callable[[Any], Any]) -> Any:
    # What is no dict is not the server's: timers, Terminated, what others tell the actor.
    return decode(message["data"]) if isinstance(message, dict) else message
