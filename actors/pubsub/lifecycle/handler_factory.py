"""Putting handlers to work: from what a user gave to an actor that a subscription feeds."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgspec

from actors.pubsub.handlers.breaker import BreakerOpenError, BreakerState
from actors.pubsub.handlers.failure_sinks import (
    FailureDispatcher,
    HandlerFailure,
    HandlerFailureSink,
    LogSink,
)
from actors.pubsub.handlers.function_actor import HandlerActor, HandlerStatus, Work
from actors.pubsub.handlers.handler import Handler, as_handler
from actors.pubsub.handlers.pipeline import guard, is_undecodable, make_call, make_receive, make_run
from actors.pubsub.lifecycle.tree import PubSubTree
from actors.pubsub.model.types import LagCallback
from actors.pubsub.subscriptions.registry import Subscription
from actors.runtime.actor import ActorSpec
from actors.runtime.lost_messages import Failure, FailureSink
from actors.runtime.overflow import MailboxSpec
from actors.runtime.ref import ActorRef
from supervisor.log import get_logger

if TYPE_CHECKING:
    from actors.pubsub.lifecycle.sink_writers import Writers

__all__ = ["HandlerFactory"]

log = get_logger("mailslot.pubsub")


class HandlerFactory:
    """Makes the handlers of one pub/sub object.

    Args:
        mailbox: the bound of a handler that names none.
        on_failure: the failure sink of a handler that names none; None: logs.
        on_lagged: hears of what a handler's mailbox shed, where the handler does not say.
    """

    def __init__(
        self,
        tree: PubSubTree,
        mailbox: MailboxSpec,
        on_failure: HandlerFailureSink | None,
        on_lagged: LagCallback | None,
    ) -> None:
        self._tree = tree
        self._mailbox = mailbox
        self._on_failure: HandlerFailureSink = LogSink() if on_failure is None else on_failure
        self._on_lagged = on_lagged
        self._writers: Writers | None = None

    def hire(self, subscription: Subscription, callback: Any) -> None:
        """Make an actor of ``callback`` and have the subscription's messages go to it.

        Raises:
            SpecError: it cannot be a handler; says why.
        """
        handler = as_handler(callback)
        breaker = None
        if handler.breaker is not None:
            breaker = BreakerState(handler.breaker, handler.name, subscription.label)
        sink = self._on_failure if handler.on_failure is None else handler.on_failure
        desk = FailureDispatcher(sink, self._writer)
        standing = HandlerStatus(breaker)
        report = self._reporter(handler, subscription, breaker, desk)
        spec = msgspec.structs.replace(
            self._spec(handler, standing, report),
            mailbox=self._bound(handler),
            on_failure=report,
            describe=standing.describe,
        )
        subscription.callback = callback
        subscription.on_gap = handler.on_gap
        subscription.lanes = handler.concurrency > 1
        self._tree.spawn_handler(subscription, spec, handler.receive_times)
        assert subscription.handler is not None
        desk.serve(subscription.handler)
        from actors.pubsub.lifecycle.blocked_loop import LoopWatch  # noqa: PLC0415 - a program may have none

        LoopWatch.watch(self._tree)

    def _spec(self, handler: Handler, standing: HandlerStatus, report: FailureSink) -> ActorSpec:
        on_lagged = handler.on_lagged or self._on_lagged
        clock, breaker = self._tree.system.loop.time, standing.breaker
        # Imported when asked for: most programs need one of these, or none.
        if handler.is_actor:
            from actors.pubsub.handlers.user_actor import actor_spec  # noqa: PLC0415

            return actor_spec(handler, breaker, clock)
        if handler.concurrency > 1:
            from actors.pubsub.handlers.concurrent_actor import ConcurrentActor  # noqa: PLC0415

            args: Any = (handler, standing, clock, on_lagged, report)
            return ActorSpec(ConcurrentActor, args, restart="permanent")
        if handler.in_thread:
            from actors.pubsub.handlers.worker_thread import ThreadActor, WorkerThread  # noqa: PLC0415

            thread = WorkerThread(f"mailslot {handler.name}")
            standing.threads.append(thread)
            run = make_run(handler, make_call(handler, thread), thread)
            args = (guard(run, breaker, clock), on_lagged, thread)
            return ActorSpec(ThreadActor, args, restart="permanent")
        args = (make_receive(handler, breaker, clock), on_lagged)
        return ActorSpec(HandlerActor, args, restart="permanent")

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

    def _writer(self, sink: HandlerFailureSink, handler: ActorRef[Any]) -> ActorRef[Any]:
        """Return who writes to a sink that must be awaited, for ``handler``."""
        if self._writers is None:
            from actors.pubsub.lifecycle.sink_writers import Writers  # noqa: PLC0415

            self._writers = Writers(self._tree)
            self._tree.written = self._writers.written
        return self._writers.hire(sink, handler)

    def _reporter(
        self,
        handler: Handler,
        subscription: Subscription,
        breaker: BreakerState | None,
        desk: FailureDispatcher,
    ) -> FailureSink:
        clock = self._tree.system.loop.time

        def report(failure: Failure) -> None:
            message = failure.message
            if isinstance(message, Work):
                message = message.message
            from_server = type(message) is dict
            if breaker is not None and from_server:
                _count(breaker, failure.error, clock())
            channel = message["channel"] if from_server else subscription.label
            desk.give(
                HandlerFailure(
                    message, channel, failure.error, handler.name, failure.path, time.time()
                )
            )

        return report


def _count(breaker: BreakerState, error: BaseException, now: float) -> None:
    """Tell ``breaker`` of a failure, unless it is none of the handler's."""
    if isinstance(error, BreakerOpenError):
        return
    if is_undecodable(error):
        breaker.spared()
    elif breaker.failed(now):
        log.error(
            "breaker_open", handler=breaker.handler, channel=breaker.channel, error=repr(error)
        )
