"""From a user's callback to a running handler: an actor that a subscription feeds."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from actors.pubsub.delivery.progress import ProgressOf, tracked
from actors.pubsub.handlers.breaker import BreakerState
from actors.pubsub.handlers.failure_route import FailureRoute
from actors.pubsub.handlers.failure_sinks import HandlerFailureSink, LogSink
from actors.pubsub.handlers.function_actor import FunctionActor, HandlerStatus, ThreadActor
from actors.pubsub.handlers.handler import Handler, as_handler
from actors.pubsub.handlers.pipeline import guard, make_call, make_receive, make_run
from actors.pubsub.lifecycle.blocked_loop import LoopWatch
from actors.pubsub.lifecycle.tree import PubSubTree
from actors.pubsub.model.options import consumer_mailbox
from actors.pubsub.model.types import LagCallback
from actors.pubsub.subscriptions.registry import Consumer, Subscription
from actors.runtime.actor import ActorSpec
from actors.runtime.messages.lost_messages import FailureSink
from actors.runtime.messages.overflow import MailboxSpec
from actors.runtime.ref import ActorRef

if TYPE_CHECKING:
    from actors.pubsub.delivery.handling_times import HandlingTimes
    from actors.pubsub.handlers.worker_thread import WorkerThread
    from actors.pubsub.lifecycle.sink_writers import SinkWriters


class HandlerFactory:
    """Starts the handlers of one pub/sub object.

    Each handler without a bound, failure sink or ``on_lagged`` of its own has the one given here.
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
        self._sink_writers: SinkWriters | None = None
        # Bound once: the handlers share them.
        self._clock = tree.system.loop.time
        self._writer_for = self._writer_of
        # What the latest bare callback is as a Handler: mostly, many names have the same one.
        self._bare: Handler | None = None
        # The consumers of handlers with ``shared``.
        self._shared: dict[Handler, Consumer] = {}

    def start(self, subscription: Subscription, callback: Any) -> None:
        """Spawn an actor for ``callback`` and have it receive the subscription's messages.

        Raises:
            SpecError: ``callback`` cannot be a handler; says why.
        """
        handler = self._handler_of(callback)
        consumer = self._shared.get(handler)
        if consumer is None or not consumer.users:
            consumer = self._spawn(handler, subscription)
            if handler.shared:
                self._shared[handler] = consumer
        subscription.callback = callback
        subscription.on_gap = handler.on_gap
        subscription.feed(consumer)

    def _handler_of(self, callback: Any) -> Handler:
        if isinstance(callback, Handler):
            return callback
        if self._bare is None or self._bare.fn is not callback:
            self._bare = as_handler(callback)
        return self._bare

    def _spawn(self, handler: Handler, subscription: Subscription) -> Consumer:
        breaker = None
        if handler.breaker is not None:
            breaker = BreakerState(handler.breaker, handler.name, subscription.label)
        sink = self._on_failure if handler.on_failure is None else handler.on_failure
        if isinstance(sink, LogSink):
            self._tree.log_sinks.add(sink)
        failures = FailureRoute(
            handler.name, subscription.label, breaker, self._clock, sink, self._writer_for
        )
        intake = subscription.intake
        progress = None
        if intake is not None and intake.resume is not None:
            progress = self._tree.registry.progress
        recovery = None if intake is None or handler.shared else intake.describe
        times = _times(handler)
        status = HandlerStatus(breaker, recovery, times)
        has_status = breaker is not None or handler.concurrency > 1 or handler.in_thread
        has_status |= recovery is not None
        spec = msgspec.structs.replace(
            self._spec(handler, status, failures, progress),
            mailbox=consumer_mailbox(handler.mailbox, handler.overflow, self._mailbox),
            on_failure=failures,
            describe=status.describe if has_status else None,
        )
        label = subscription.label
        name = label if isinstance(label, str) else label.decode(errors="backslashreplace")
        if handler.shared:
            name = handler.name.replace("<locals>.", "")
        ref, writer = self._tree.spawn_handler(spec, name, handler.receive_times)
        if times is not None and handler.measured is not None:
            times.attach(ref._cell.mailbox)
            writer.times = handler.measured[ref.path] = times
            if handler.batch is None and handler.concurrency == 1:  # the others measure themselves
                ref._cell.times = times
        failures.start(ref)
        assert self._tree.child is not None
        LoopWatch.watch(self._tree.system.loop, self._tree.child)
        return Consumer(ref, writer, concurrent=handler.concurrency > 1)

    def _spec(
        self,
        handler: Handler,
        status: HandlerStatus,
        on_failure: FailureSink,
        progress: ProgressOf | None,
    ) -> ActorSpec:
        on_lagged = handler.on_lagged or self._on_lagged
        clock, breaker = self._clock, status.breaker
        # Imported when a handler needs them: most programs need none or one.
        if handler.is_actor:
            from actors.pubsub.handlers.user_actor import actor_spec  # noqa: PLC0415

            return actor_spec(handler, breaker, clock, progress)
        kind: Callable[..., Any] = FunctionActor
        args: tuple[Any, ...]
        if handler.concurrency > 1:
            from actors.pubsub.handlers.concurrent_actor import ConcurrentActor  # noqa: PLC0415

            kind = ConcurrentActor
            args = (handler, status, clock, on_lagged, on_failure, progress)
        elif handler.batch is not None:
            from actors.pubsub.handlers.batch_actor import BatchActor  # noqa: PLC0415

            batch_thread = self._thread(handler, status) if handler.in_thread else None
            args = (handler, breaker, clock, on_lagged, batch_thread, progress, status.times)
            kind = BatchActor
        elif handler.in_thread:
            thread = self._thread(handler, status)
            run = make_run(handler, make_call(handler, thread), thread)
            receive = _tracked(guard(run, breaker, clock), progress)
            kind, args = ThreadActor, (receive, on_lagged, thread)
        else:
            args = (_tracked(make_receive(handler, breaker, clock), progress), on_lagged)
        return ActorSpec(kind, args, restart="permanent")

    def _thread(self, handler: Handler, status: HandlerStatus) -> WorkerThread:
        from actors.pubsub.handlers.worker_thread import WorkerThread  # noqa: PLC0415

        thread = WorkerThread(f"mailslot {handler.name}")
        status.threads.append(thread)
        return thread

    # -- failures ----------------------------------------------------------------------------------

    def _writer_of(self, sink: HandlerFailureSink, handler: ActorRef[Any]) -> ActorRef[Any]:
        """Return the actor that awaits ``sink`` for ``handler``."""
        if self._sink_writers is None:
            from actors.pubsub.lifecycle.sink_writers import SinkWriters  # noqa: PLC0415

            self._sink_writers = SinkWriters(self._tree)
            self._tree.written = self._sink_writers.written
        return self._sink_writers.writer_of(sink, handler)


def _times(handler: Handler) -> HandlingTimes | None:
    if handler.measured is None:
        return None
    from actors.pubsub.delivery.handling_times import HandlingTimes  # noqa: PLC0415 - in workers

    return HandlingTimes()


def _tracked(receive: Callable[..., Any], progress: ProgressOf | None) -> Callable[..., Any]:
    return receive if progress is None else tracked(receive, progress)
