"""The worker of the demo: handlers, two actors behind them, and the publishers.

orders     a function that tells ``book``, an actor which keeps its sums over every fault
payments   a function that raises now and then, which costs the one message
quotes     an actor as the handler, which crashes now and then and starts with new state
"""

from __future__ import annotations

import itertools
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from actors import Actor, ActorRef, ActorSpec, ActorSystem, Handler
from actors.redis.exceptions import RedisError
from examples.demo_parts.ledger import Ledger
from supervisor import ConstantRetryPolicy

__all__ = ["Declined", "PoisonedQuote", "Publisher", "Total", "Worker", "kind_of"]

#: One message of this many makes its consumer fail.
BAD_ONE_IN = 700


class Event(msgspec.Struct, frozen=True):
    """The payload of a message, as JSON."""

    number: int
    amount: int
    bad: bool = False


class Total(msgspec.Struct, frozen=True):
    """Ask ``book`` for (orders, amount)."""


class Declined(Exception):
    """A payment that the payments handler refuses."""


class PoisonedQuote(Exception):
    """A quote that crashes ``pricer``."""


_encode = msgspec.json.Encoder().encode

#: A retry policy of its own keeps these crashes out of the supervisor's restart intensity.
_FOR_EVER: Any = {
    "restart": "permanent",
    "retry_policy": ConstantRetryPolicy((PoisonedQuote,), retries=None, delay=0.05),
}


def kind_of(channel: str) -> str:
    """Return ``orders`` for ``orders:{north}`` or ``demo-1f:orders``."""
    return next(kind for kind in ("orders", "payments", "quotes") if kind in channel)


class Book(Actor[Event | Total]):
    """Adds up orders; it handles one message at a time, so its state needs no lock."""

    def __init__(self) -> None:
        self.orders = 0
        self.amount = 0

    def receive(self, message: Event | Total) -> tuple[int, int]:
        """Add an order, or return the sums."""
        if isinstance(message, Event):
            self.orders += 1
            self.amount += message.amount
        return self.orders, self.amount


class Quotes(Actor[Event]):
    """A handler with state: a poisoned quote crashes it, and its next incarnation starts empty."""

    def __init__(self, channel: str, ledger: Ledger) -> None:
        self.channel = channel
        self.ledger = ledger
        self.window: deque[int] = deque(maxlen=100)

    def receive(self, quote: Event) -> None:
        """Keep the last hundred quotes."""
        self.ledger.arrived(self.channel, quote.number)
        if quote.bad:
            raise PoisonedQuote(f"quote {quote.number}")
        self.window.append(quote.amount)


class Publisher(Actor[str]):
    """Publishes numbered messages to one channel and books those that the server accepted."""

    def __init__(
        self,
        channel: str,
        publish: Callable[[str, bytes], Awaitable[Any]],
        ledger: Ledger,
        numbers: itertools.count[int],
        interval: float,
        burst: int,
    ) -> None:
        self.channel = channel
        self.publish = publish
        self.ledger = ledger
        self.numbers = numbers
        self.interval = interval
        self.burst = burst

    async def on_start(self) -> None:
        """Start the timer at a random moment, so that publishers do not tick together."""
        self.context.timers.after(random.uniform(0, self.interval), "begin")

    async def receive(self, message: str) -> None:
        """Publish a burst; the first failure ends it, and the next tick tries again."""
        if message == "begin":
            self.context.timers.every(self.interval, "tick")
        for _ in range(self.burst):
            if not await self._publish_one():
                return

    async def _publish_one(self) -> bool:
        number = self.ledger.next_number(self.channel)
        bad = next(self.numbers) % BAD_ONE_IN == 0
        payload = _encode(Event(number, amount=number % 90 + 10, bad=bad))
        asked = time.time()
        try:
            answer = await self.publish(self.channel, payload)
        except (RedisError, TimeoutError):
            # Not sent again: the server may have executed it.
            self.ledger.unanswered(self.channel)
            return False
        if answer is not None:
            self.ledger.accepted(self.channel, number, asked)
        return True


class Worker:
    """The handlers of all channels, and the actors behind them."""

    def __init__(self, system: ActorSystem, ledger: Ledger) -> None:
        self._system = system
        self._ledger = ledger
        self.delivered_orders = 0
        self.delivered_amount = 0
        self.book: ActorRef[Event | Total] = system.spawn(Book, name="book")

    def handler(self, channel: str) -> Handler:
        """Return the handler of ``channel``."""
        if kind_of(channel) == "quotes":
            return Handler(ActorSpec(Quotes, (channel, self._ledger), **_FOR_EVER), decode=Event)
        consume = self._order if kind_of(channel) == "orders" else self._payment

        def handle(event: Event) -> None:
            self._ledger.arrived(channel, event.number)
            consume(event)

        return Handler(handle, decode=Event)

    def _order(self, order: Event) -> None:
        self.delivered_orders += 1
        self.delivered_amount += order.amount
        self.book.tell(order)

    def _payment(self, payment: Event) -> None:
        if payment.bad:
            raise Declined(f"payment {payment.number}")

    async def begin_publishing(
        self, publish: Callable[[str, bytes], Awaitable[Any]], channels: list[str], rate: float
    ) -> None:
        """Publish ``rate`` messages a second to all ``channels`` together."""
        numbers = {kind: itertools.count(1) for kind in ("orders", "payments", "quotes")}
        burst = 1 + int(rate / len(channels) / 50)
        interval = burst * len(channels) / rate
        self._publishers = publishers = self._system.supervisor("publishers", dynamic=True)
        await publishers.started()
        for channel in channels:
            publishers.spawn(
                Publisher,
                channel,
                publish,
                self._ledger,
                numbers[kind_of(channel)],
                interval,
                burst,
                name=channel,
            )

    async def stop_publishing(self) -> None:
        """Stop every publisher after its current burst."""
        await self._publishers.stop()

    async def book_total(self) -> tuple[int, int]:
        """Ask ``book`` for its sums."""
        total: tuple[int, int] = await self.book.ask(Total(), timeout=2)
        return total
