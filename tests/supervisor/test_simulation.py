"""The whole supervisor under any series of events: what holds always, and in the end (S1 to S8)."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.testing.clock import VirtualClock
from supervisor import (
    ChildExited,
    ChildStarted,
    ChildStartFailed,
    ConstantRetryPolicy,
    Phase,
    Restart,
    Status,
    Strategy,
    Supervisor,
    SupervisorError,
    SupervisorSpec,
)

from .helpers import Life, Stage

LOST, BUG = ConnectionError("lost"), ValueError("bug")
OPERATIONS = st.sampled_from(
    ["lose", "bug", "finish", "stop", "restart", "delete", "add", "cancel", "pass", "pass"]
)


class World:
    """A supervisor, and operations on it that check after each what must always hold."""

    def __init__(self, draw_delay, strategy: Strategy, *, dynamic: bool) -> None:
        self.stage = Stage(VirtualClock(turns=8))
        self.draw_delay = draw_delay
        self.alive: Counter[str] = Counter()
        self.ordered = strategy is not Strategy.ONE_FOR_ONE
        self.dynamic = dynamic
        self.strategy = strategy

    def child(self, name: str, restart: Restart, retried: bool):
        async def starting(life: Life) -> None:
            self.alive[name] += 1
            assert self.alive[name] == 1, "two incarnations at a time"
            try:
                match self.draw_delay():
                    case 3:
                        raise LOST
                    case 4:
                        raise BUG
                    case seconds:
                        await self.stage.clock.sleep(seconds)
            except BaseException:
                self.alive[name] -= 1
                raise

        async def stopping(life: Life) -> None:
            try:
                if life.asked:
                    await self.stage.clock.sleep(self.draw_delay())
            finally:
                self.alive[name] -= 1

        policy = ConstantRetryPolicy((ConnectionError,), None, delay=2) if retried else None
        return self.stage.child(
            name, starting=starting, stopping=stopping, restart=restart, retry_policy=policy
        )

    async def begin(self, children) -> Supervisor:
        specs = [self.child(f"c{n}", *options) for n, options in enumerate(children)]
        self.supervisor = Supervisor(
            SupervisorSpec(
                strategy=self.strategy, dynamic=self.dynamic, intensity=None, children=specs
            ),
            clock=self.stage.clock,
            sink=self.stage.events.append,
        )
        self.supervisor.begin()
        await self.stage.clock.settle()
        return self.supervisor

    async def do(self, operation: str, which: int, options) -> None:
        supervisor, name = self.supervisor, f"c{which}"
        child = supervisor.child(name)
        life = self.stage.lives[name][-1] if name in self.stage.lives else None
        try:
            match operation:
                case "lose" | "bug" | "finish" if life is not None:
                    error = {"lose": LOST, "bug": BUG, "finish": None}[operation]
                    life.crash(error) if error else life.finish()
                case "cancel" if child is not None and child.task is not None:
                    child.task.cancel()
                case "stop" if child is not None:
                    supervisor.request_child_stop(child)
                case "restart" if child is not None:
                    supervisor.restart_child(name)
                case "delete" if child is not None:
                    supervisor.delete_child(name)
                case "add" if child is None:
                    supervisor.start_child(self.child(name, *options))
                case "pass":
                    await self.stage.clock.advance(0.7)
        except SupervisorError:
            assert operation == "delete" or supervisor.phase in (Phase.STOPPING, Phase.ENDED)
        self.check()
        await self.stage.clock.settle()
        self.check()

    def check(self) -> None:
        supervisor = self.supervisor
        statuses = [child.status for child in supervisor._lifecycle.children.values()]
        if supervisor.phase is not Phase.ENDED:
            up = sum(status is not Status.DOWN for status in statuses)
            assert supervisor._lifecycle.live >= up
        if self.ordered:
            assert statuses.count(Status.STOPPING) <= 1
            assert statuses.count(Status.STARTING) <= 1
        assert all(count in (0, 1) for count in self.alive.values())


CHILD = st.tuples(st.sampled_from(Restart), st.booleans())


@pytest.mark.parametrize(
    ("strategy", "dynamic"),
    [
        (Strategy.ONE_FOR_ONE, False),
        (Strategy.ONE_FOR_ONE, True),
        (Strategy.REST_FOR_ONE, False),
        (Strategy.ONE_FOR_ALL, False),
    ],
)
@settings(deadline=None, max_examples=60)
@given(
    children=st.lists(CHILD, max_size=4),
    operations=st.lists(st.tuples(OPERATIONS, st.integers(0, 5), CHILD), max_size=30),
    delays=st.lists(st.sampled_from([0, 0, 0, 0.5, 1.5, 3, 4]), max_size=40),
    stop_early=st.booleans(),
)
def test_s3_s6_s7_any_series_of_events(strategy, dynamic, children, operations, delays, stop_early):
    remaining = iter(delays)

    async def run() -> None:
        world = World(lambda: next(remaining, 0), strategy, dynamic=dynamic)
        supervisor = await world.begin(children)
        for operation in operations:
            await world.do(*operation)
        if not stop_early:
            await world.stage.clock.advance(200)
            settle_phase = supervisor.phase
            assert settle_phase in (Phase.RUNNING, Phase.ENDED)
            for child in supervisor._lifecycle.children.values():
                expected = child.wanted and settle_phase is Phase.RUNNING
                assert child.status is (Status.RUNNING if expected else Status.DOWN)
        world.stage.take_log()
        stopping = asyncio.create_task(supervisor.stop())
        order = [*supervisor._lifecycle.children]
        await world.stage.clock.advance(200)
        report = await stopping
        assert supervisor.phase is Phase.ENDED
        assert not +world.alive
        assert all(child.status is Status.DOWN for child in supervisor._lifecycle.children.values())
        assert all(child.forgotten for child in supervisor._lifecycle.children.values())
        assert supervisor._lifecycle.live == 0
        assert world.stage.clock.pending == 0
        assert not any(child.unkillable for child in report.children)
        if world.ordered and not stop_early:
            stopped = [line[1:] for line in world.stage.log]
            assert stopped == [name for name in reversed(order) if name in stopped]
        starts = Counter(
            (e.path, e.incarnation) for e in world.stage.events if isinstance(e, ChildStarted)
        )
        ends = Counter(
            (e.path, e.incarnation)
            for e in world.stage.events
            if isinstance(e, ChildExited | ChildStartFailed)
        )
        assert not starts - ends  # whatever came up went down
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left

    asyncio.run(run())
