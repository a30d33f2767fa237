"""One run of the demo: start the worker, inject one fault after another, add up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from actors import ActorSystem, Gap
from actors.redis.exceptions import RedisError
from examples.demo_parts.display import Display, Fate, Status
from examples.demo_parts.ledger import Balance, Ledger
from examples.demo_parts.recovering import Recovering, SubscribeRecovering
from examples.demo_parts.story import Story
from examples.demo_parts.view import Figures, Meter, tree_rows
from examples.demo_parts.worker import Worker
from supervisor import ExponentialBackoffRetryPolicy, TreeNode

__all__ = ["RETRY", "DemoError", "Fault", "Outcome", "Stage"]

#: Readers reconnect at least every half second, because the demo is short.
RETRY = ExponentialBackoffRetryPolicy(
    (RedisError, TimeoutError), retries=None, base_delay=0.05, max_delay=0.5
)

#: Seconds after a fault within which every channel must receive again.
RECOVERY_SECONDS = 15.0
#: Seconds without a delivery after which a missing message counts as lost.
STRAGGLERS_SECONDS = 0.4


class DemoError(Exception):
    """Why the demo cannot go on, in one sentence for its user."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault.

    Attributes:
        name: one word, for the table.
        what: a description in a few words.
        strike: injects the fault, and returns when messages can flow again.
        mend: repairs what is still broken, after the recovery was timed.
    """

    name: str
    what: str
    strike: Callable[[], Awaitable[object]]
    mend: Callable[[], Awaitable[object]] | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a run."""

    balance: Balance
    fates: list[Fate]
    restarts: int
    failures: int
    book: tuple[int, int]
    handed_to_book: tuple[int, int]


class Stage:
    """The environment of one run; ``title`` names the servers.

    Args:
        title: the headline of the display.
        display: shows the story.
        subscribe: takes handlers by channel and the story; returns the pubsub object to enter.
        recover: subscribes the second consumer, which recovers.
        publish: sends a payload to a channel and returns the server's answer.
        channels: the channels to use.
        rate: messages a second over all channels.
        calm: seconds without any fault before the first and after each.
    """

    def __init__(
        self,
        title: str,
        display: Display,
        *,
        subscribe: Callable[[dict[str, Any], Story, ActorSystem], Any],
        recover: SubscribeRecovering,
        publish: Callable[[str, bytes], Awaitable[Any]],
        channels: list[str],
        rate: float,
        calm: float,
    ) -> None:
        self.title = title
        self.display = display
        self.subscribe = subscribe
        self.publish = publish
        self.channels = channels
        self.rate = rate
        self.calm = calm
        self.ledger = Ledger()
        self.story = Story(self.ledger, display.show)
        self.pubsub: Any = None
        self.recovering = Recovering(self.ledger, recover)
        self._meter = Meter()
        self._figures = Figures(
            rate_of=self._rate_of,
            restarts_of=lambda node: self.story.restarts_by_path[node.path],
        )
        self._system: ActorSystem
        self._fates: list[Fate] = []

    async def play(self, faults: list[Fault]) -> Outcome:
        """Run the demo.

        Raises:
            DemoError: a fault was not recovered from.
        """
        self.story.take_logs()
        self._system = system = ActorSystem(
            "demo", on_failure=self.story.failed, sink=self.story.happened
        )
        async with system:
            worker = Worker(system, self.ledger)
            for channel in self.channels:
                self.ledger.open(channel)
            handlers = {channel: worker.handler(channel) for channel in self.channels}
            self.pubsub = self.subscribe(handlers, self.story, system)
            async with self.recovering.consuming(self.channels), self.pubsub, self._drawn():
                await worker.begin_publishing(self.publish, self.channels, self.rate)
                self.story.say(
                    "title",
                    f"{len(self.channels)} channels, a handler actor for each, about"
                    f" {self.rate:,.0f} messages a second; some of them make their consumer fail",
                )
                await self._calm()
                for number, fault in enumerate(faults, 1):
                    await self._endure(f"{number} of {len(faults)}", fault)
                    await self._calm()
                in_action = self._status().rows
                await worker.stop_publishing()
                await self._wait_for_stragglers()
                outcome = await self._add_up(worker)
                self.display.finish(replace(self._status(), rows=in_action), outcome.fates)
        return outcome

    # -- acts --------------------------------------------------------------------------------------

    async def _calm(self) -> None:
        await asyncio.sleep(self.calm)

    async def _endure(self, place: str, fault: Fault) -> None:
        story, ledger = self.story, self.ledger
        ledger.begin_chapter(fault.name)
        restarts = story.restarts
        story.fault(f"{place}, {fault.name}: {fault.what}")
        await fault.strike()
        struck, mark = time.monotonic(), ledger.mark()
        while silent := ledger.silent_since(mark):
            if time.monotonic() - struck > RECOVERY_SECONDS:
                raise DemoError(
                    f"{fault.name} was not survived: {len(silent)} of {len(mark)} channels"
                    f" received nothing for {RECOVERY_SECONDS:.0f} s, {silent[0]} among them"
                )
            await asyncio.sleep(0.002)
        back = time.monotonic() - struck
        receives = f"all channels receive again after {back:.2f} s"
        if fault.mend is not None:
            story.say("good", f"{receives}; mending the rest")
            await fault.mend()
            receives = "everything is repaired"
        await asyncio.sleep(STRAGGLERS_SECONDS)
        gaps = story.gaps_of_fault()
        story.say("good", f"{receives}; {_in_words(gaps)}")
        self._fates.append(
            Fate(fault.name, fault.what, back, len(gaps), story.restarts - restarts, 0, 0)
        )

    async def _wait_for_stragglers(self) -> None:
        deadline = time.monotonic() + 5.0
        while not self.ledger.all_settled() and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        await asyncio.sleep(STRAGGLERS_SECONDS)

    async def _add_up(self, worker: Worker) -> Outcome:
        balance = self.ledger.balance()
        lost, recovering = balance.lost_by_fault, balance.recovering_lost
        return Outcome(
            balance=balance,
            fates=[
                replace(
                    fate, lost=lost.get(fate.fault, 0), recovering=recovering.get(fate.fault, 0)
                )
                for fate in self._fates
            ],
            restarts=self.story.restarts,
            failures=self.story.failures,
            book=await worker.book_total(),
            handed_to_book=(worker.delivered_orders, worker.delivered_amount),
        )

    # -- the display -------------------------------------------------------------------------------

    @asynccontextmanager
    async def _drawn(self) -> AsyncGenerator[None, None]:
        drawing = asyncio.create_task(self._draw())
        try:
            yield
        finally:
            drawing.cancel()
            # Raise the error that broke the display, but not its cancellation.
            with suppress(asyncio.CancelledError):
                await drawing

    async def _draw(self) -> None:
        while True:
            self.display.update(self._status())
            await asyncio.sleep(0.2)

    def _status(self) -> Status:
        ledger, story = self.ledger, self.story
        return Status(
            title=self.title,
            seconds=story.seconds,
            rows=tree_rows(self._system.tree(), self._figures),
            published=ledger.published,
            rate=self._meter.rate("published", ledger.published),
            delivered=ledger.delivered,
            restarts=story.restarts,
            gaps=ledger.gaps,
            failures=story.failures,
        )

    def _rate_of(self, node: TreeNode) -> float | None:
        channel = self.ledger.channels.get(node.id)
        if channel is not None:
            count = len(channel.accepted if "/publishers/" in node.path else channel.arrived)
        elif node.id == "book":
            count = node.detail.get("processed", 0)
        elif node.id == "readers":
            count = self.ledger.delivered
        else:
            return None
        return self._meter.rate(node.path, count)


def _in_words(gaps: list[Gap]) -> str:
    if not gaps:
        return "no gap anywhere"
    channels = len({gap.name for gap in gaps})
    longest = max(gap.seconds for gap in gaps)
    if len(gaps) == 1:
        return f"1 gap on 1 channel, of {longest:.2f} s"
    return f"{len(gaps)} gaps on {channels} channels, the longest {longest:.2f} s"
