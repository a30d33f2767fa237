"""The actor system: a root supervisor, and the parts that its actors share."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from actors.runtime.behaviour import ActorSpec, Behaviour
from actors.runtime.messages.ask import TimeoutWheel
from actors.runtime.messages.lost_messages import (
    DeadLetter,
    DeadLetters,
    Failure,
    FailureSink,
    LogFailures,
)
from actors.runtime.messages.pacer import Pacer
from actors.runtime.ref import ActorRef
from actors.runtime.registry import Registry
from actors.runtime.spawning import SupervisorRef, spawn_under, supervise_under
from supervisor import (
    Clock,
    EventSink,
    ExitReason,
    LoopClock,
    SpecError,
    StopReport,
    Strategy,
    Supervisor,
    SupervisorSpec,
    TreeNode,
    log_event,
)
from supervisor.checks import problems_of_functions, problems_of_seconds
from supervisor.log import get_logger
from supervisor.model.errors import to_exception
from supervisor.supervisor import Phase

M = TypeVar("M")
T = TypeVar("T")
log = get_logger("mailslot.actors")


class ActorSystem:
    """A tree of actors; an async context manager.

    When the root supervisor gives up, or an actor raises SystemExit or KeyboardInterrupt, all
    actors stop, the body of the ``async with`` is cancelled, and ``async with`` raises the error.

    Args:
        name: the root's name in every path.
        intensity: restarts allowed at the root within ``period`` (S4).
        period: seconds of the root's restart window.
        on_failure: takes messages that actors failed on; by default a rate-limited log.
        on_dead_letter: called with each dead letter, which is also counted and logged.
        sink: called with each lifecycle event (S8).
        clock: where time comes from; the loop by default.
        stop_timeout: seconds for all actors together to stop in at the end of the context.

    Raises:
        SpecError: an option has a value that cannot work.
    """

    def __init__(
        self,
        name: str = "system",
        *,
        intensity: int | None = 5,
        period: float = 30.0,
        on_failure: FailureSink | None = None,
        on_dead_letter: Callable[[DeadLetter], None] | None = None,
        sink: EventSink = log_event,
        clock: Clock | None = None,
        stop_timeout: float | None = 30.0,
    ) -> None:
        hooks = {"on_failure": on_failure, "on_dead_letter": on_dead_letter, "sink": sink}
        problems = [
            *problems_of_functions(**hooks),
            *problems_of_seconds("stop_timeout", stop_timeout, zero=True, optional=True),
        ]
        if problems:
            raise SpecError(f"actor system {name!r}", problems)
        self.name = name
        self.sink = sink
        self.stop_timeout = stop_timeout
        #: How the tree ended, once it has.
        self.report: StopReport | None = None
        self._spec = SupervisorSpec(dynamic=True, intensity=intensity, period=period)
        self._on_failure = on_failure
        self._on_dead_letter = on_dead_letter
        self._clock = clock
        self.registry = Registry(name)
        self._root: Supervisor | None = None
        # The task that entered. Held weakly: the task may have ended long ago, in a generator that
        # others step through, and a strong reference to it would keep that generator alive.
        self._body: Callable[[], asyncio.Task[Any] | None] = _nobody
        self._ended_with: BaseException | None = None

    # -- life --------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the root; ``async with`` does it.

        Raises:
            RuntimeError: it was started before.
        """
        if self._root is not None:
            raise RuntimeError(f"the actor system {self.name!r} was started before: make a new one")
        self.loop = asyncio.get_running_loop()
        self.clock: Clock = self._clock or LoopClock(self.loop)
        self.wheel = TimeoutWheel(self.clock)
        self.pacer = Pacer(self.loop)
        self.dead_letters = DeadLetters(self.clock.time)
        self.dead_letters.on_letter = self._on_dead_letter
        self._failures: FailureSink = self._on_failure or LogFailures(self.clock.time)
        self._root = Supervisor(self._spec, path=self.name, clock=self.clock, sink=self.sink)
        self._root.on_end = self._root_ended
        await self._root.start()

    async def stop(self, timeout: float | None = None) -> StopReport:
        """Stop all actors, side by side, and return how each ended (S7).

        If it is cancelled, it cancels the actors, and still waits for their end.

        Args:
            timeout: seconds for all of them together; by default the system's ``stop_timeout``.
        """
        try:
            report = await self.root.stop(self.stop_timeout if timeout is None else timeout)
        except asyncio.CancelledError:
            report = await self.root.stop(0.0)
            raise
        finally:
            self.report = self.root.report
            self.wheel.close()
        return report

    async def __aenter__(self) -> Self:
        await self.start()
        task = asyncio.current_task()
        assert task is not None
        self._body = weakref.ref(task)
        _current.set(self)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        body, self._body = self._body(), _nobody
        if self._ended_with is not None and body is not None:
            # _root_ended() cancelled the body: code further out must not see that cancellation.
            body.uncancel()
        await self.stop()
        # Read after the stop, during which an actor may have raised SystemExit.
        ended_with = self._ended_with
        if ended_with is not None:
            if isinstance(error, asyncio.CancelledError):
                ended_with.__suppress_context__ = True  # the cancellation follows from it
            raise ended_with

    async def run(self, main: Callable[[ActorSystem], Awaitable[T]]) -> T:
        """Start, await ``main(self)``, stop, and return the result of ``main``."""
        async with self:
            return await main(self)

    def _root_ended(self, reason: ExitReason) -> None:
        self._ended_with = to_exception(reason)
        body = self._body()
        if self._ended_with is not None and body is not None:
            body.cancel()

    @property
    def running(self) -> bool:
        """Whether it takes actors."""
        return self._root is not None and self._root.phase in (Phase.STARTING, Phase.RUNNING)

    @property
    def root(self) -> Supervisor:
        """The root supervisor; RuntimeError before the system was started."""
        if self._root is None:
            raise RuntimeError("the system is not running: enter it with `async with`")
        return self._root

    # -- actors ------------------------------------------------------------------------------------

    @overload
    def spawn(self, actor: ActorSpec, **options: Any) -> ActorRef[Any]: ...
    @overload
    def spawn(
        self, actor: Callable[..., Behaviour[M]], *args: Any, **options: Any
    ) -> ActorRef[M]: ...
    def spawn(
        self, actor: Callable[..., Behaviour[Any]] | ActorSpec, *args: Any, **options: Any
    ) -> ActorRef[Any]:
        """Spawn an actor at the root and return its reference at once.

        The reference takes messages at once; ``await ref.started()`` waits for ``on_start``.

        Args:
            actor: the class, or an :class:`ActorSpec`.
            args: positional arguments of its constructor.
            options: fields of :class:`ActorSpec`: ``name``, ``mailbox``, ``restart``,
                ``retry_policy``, ``shutdown``, ``kwargs``, ...

        Raises:
            NameTaken: a living sibling has the name.
            SpecError: an option has a value that cannot work.
            SupervisorError: the system is stopping.
        """
        return spawn_under(self, self.root, ActorSpec.of(actor, args, options))

    def supervisor(
        self,
        name: str,
        strategy: Strategy | str = Strategy.ONE_FOR_ONE,
        children: Sequence[ActorSpec] = (),
        **options: Any,
    ) -> SupervisorRef:
        """Start a supervisor at the root and return a handle of it.

        Args:
            name: its name among its siblings.
            strategy: one_for_one, rest_for_one or one_for_all (S3).
            children: started in this order, also when the supervisor itself restarts.
            options: further fields of :class:`supervisor.SupervisorSpec`.
        """
        return supervise_under(self, self.root, name, strategy, children, options)

    # -- names -------------------------------------------------------------------------------------

    def lookup(self, name: str) -> ActorRef[Any] | None:
        """Return the living actor registered as ``name``, or with that path, or None.

        The root's own name may be left out of a path.
        """
        return self.registry.lookup(name)

    def register(self, name: str, ref: ActorRef[Any]) -> None:
        """Make ``ref`` known as ``name`` until it ends.

        Raises:
            NameTaken: a living actor is known by it.
            ActorStopped: ``ref`` has ended.
        """
        self.registry.register(name, ref)

    # -- reports -----------------------------------------------------------------------------------

    def report_failure(self, failure: Failure, sink: FailureSink | None = None) -> None:
        """Hand ``failure`` to ``sink``, or to the system's."""
        try:
            (sink or self._failures)(failure)
        except Exception as error:
            log.error("failure_sink_failed", path=failure.path, error=repr(error))

    def tree(self) -> TreeNode:
        """Return the tree of all that runs, as a value that prints as a tree."""
        return self.root.tree()


def _nobody() -> None:
    """Return no task: nobody is in the context."""


_current: ContextVar[ActorSystem | None] = ContextVar("mailslot_system", default=None)


def current_system() -> ActorSystem | None:
    """Return the innermost ``async with ActorSystem()`` around the caller, if it still runs.

    It works inside actors, too: they run in the context in which they were spawned.
    """
    system = _current.get()
    return system if system is not None and system.running else None
