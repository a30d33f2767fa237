"""Children that do as they are told, and a log of what happened to them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

from actors.testing.clock import VirtualClock
from supervisor import (
    Child,
    ChildSpec,
    Event,
    Status,
    Supervisor,
    SupervisorSpec,
    TreeNode,
    supervisor_child,
)


class Life:
    """One incarnation of a child."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.asked: list[float | None] = []
        self.cancelled = 0

    def crash(self, error: BaseException | None = None) -> None:
        if not self.over.done():
            self.over.set_exception(error or ValueError("crash"))

    def finish(self) -> None:
        if not self.over.done():
            self.over.set_result(None)

    def ask_stop(self, deadline: float | None) -> None:
        self.asked.append(deadline)
        self.finish()


Hook = Callable[[Life], Awaitable[None]]


class Stage:
    """Makes children and supervisors on a virtual clock, and logs ``+id`` and ``-id``."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.log: list[str] = []
        self.events: list[Event] = []
        self.lives: dict[str, list[Life]] = {}

    def child(
        self,
        id: str,
        *,
        starting: Hook | None = None,
        stopping: Hook | None = None,
        deaf: bool = False,
        **options: Any,
    ) -> ChildSpec:
        """Make a child spec.

        ``starting`` runs before it is up, ``stopping`` once it was asked to stop, was cancelled or
        ended; a ``deaf`` child has no stop callback.
        """

        async def start(child: Child) -> None:
            life = Life(child)
            self.lives.setdefault(id, []).append(life)
            if not deaf:
                child.on_stop(life.ask_stop)
            if starting is not None:
                await starting(life)
            self.log.append(f"+{id}")
            child.started()
            try:
                try:
                    await life.over
                finally:
                    if stopping is not None:
                        await stopping(life)
            except asyncio.CancelledError:
                life.cancelled += 1
                raise
            finally:
                self.log.append(f"-{id}")

        return ChildSpec(id, start, **options)

    def life(self, id: str) -> Life:
        """The newest incarnation."""
        return self.lives[id][-1]

    def starts(self, id: str) -> int:
        return len(self.lives.get(id, ()))

    def supervisor(self, *children: ChildSpec | str, **options: Any) -> Supervisor:
        specs = [self.child(c) if isinstance(c, str) else c for c in children]
        return Supervisor(
            SupervisorSpec(children=specs, **options), clock=self.clock, sink=self.events.append
        )

    async def running(self, *children: ChildSpec | str, **options: Any) -> Supervisor:
        supervisor = self.supervisor(*children, **options)
        await supervisor.start()
        return supervisor

    def nested(self, id: str, *children: ChildSpec | str, **options: Any) -> ChildSpec:
        specs = [self.child(c) if isinstance(c, str) else c for c in children]
        own = {k: options.pop(k) for k in ("restart", "shutdown", "retry_policy") if k in options}
        return supervisor_child(id, SupervisorSpec(children=specs, **options), **own)

    def take_log(self) -> str:
        log, self.log = " ".join(self.log), []
        return log

    def take_events(self) -> list[str]:
        """The events so far, as ``Kind path-below-root``."""
        events, self.events[:] = list(self.events), []
        return [f"{type(e).__name__} {e.path.partition('/')[2] or e.path}" for e in events]

    async def crash(self, id: str, error: BaseException | None = None) -> None:
        """Crash the newest incarnation, and let what follows without delay happen."""
        self.life(id).crash(error)
        await self.clock.settle()

    async def finish(self, id: str) -> None:
        self.life(id).finish()
        await self.clock.settle()


def up(supervisor: Supervisor) -> list[str]:
    """The ids of the children that run."""
    return [node.id for node in supervisor.tree().children if node.status == "running"]


def status(supervisor: Supervisor, id: str) -> Status | None:
    child = supervisor.child(id)
    return None if child is None else child.status


def node(supervisor: Supervisor, path: str) -> TreeNode:
    found = supervisor.tree().find(f"root/{path}")
    assert found is not None
    return found


async def raising(error: BaseException) -> None:
    raise error


async def forever(life: Life) -> None:
    """A hook that ends by cancellation only."""
    await asyncio.get_running_loop().create_future()


class Stubborn:
    """A hook that swallows cancellations until it is released."""

    made: ClassVar[list[Stubborn]] = []

    def __init__(self) -> None:
        self.swallowed = 0
        self.released = asyncio.Event()
        self.made.append(self)

    @classmethod
    def release_all(cls) -> None:
        """So that a test that failed does not hang in the end of its loop."""
        while cls.made:
            cls.made.pop().released.set()

    async def __call__(self, life: Life) -> None:
        while not self.released.is_set():
            try:
                await self.released.wait()
            except asyncio.CancelledError:
                self.swallowed += 1
