"""Actors without Redis: spawn, tell, ask, watch, timers, and a supervisor with rest_for_one.

    python -m examples.spawn_actors

A shop has a till that adds up sales, a kitchen of three stations that depend on each other, and a
manager that watches the till and has a timer. One order crashes a station on purpose.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from actors import Actor, ActorCrashed, ActorRef, ActorSpec, ActorSystem, Failure, Terminated
from supervisor import Event

# --- messages are plain Structs ------------------------------------------------------------------


class Sale(msgspec.Struct, frozen=True):
    """A customer paid ``cents``."""

    cents: int


class Total(msgspec.Struct, frozen=True):
    """Ask for the sum of all sales so far, in cents."""


class Order(msgspec.Struct, frozen=True):
    """Ask a station to cook ``dish``."""

    dish: str


class Watch(msgspec.Struct, frozen=True):
    """Ask the manager to watch an actor."""

    ref: ActorRef[Any]


class Tick(msgspec.Struct, frozen=True):
    """A tick of the manager's timer."""


# --- actors have state of their own, and handle one message at a time ----------------------------


class Till(Actor[Sale | Total]):
    """Adds up sales."""

    def __init__(self) -> None:
        self.cents = 0

    async def receive(self, message: Sale | Total) -> int | None:
        """Add a sale, or return the sum; the returned value answers an ask."""
        match message:
            case Sale(cents):
                self.cents += cents
                return None
            case Total():
                return self.cents


class Station(Actor[Order]):
    """A station of the kitchen; the stations after it depend on it."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def on_start(self) -> None:
        """Open; the next station starts when this method has returned."""
        print(f"  {self.name} opens (incarnation {self.context.incarnation})")

    async def receive(self, message: Order) -> str:
        """Cook; an exception crashes the actor, and its supervisor decides what follows."""
        if message.dish == "fire":
            raise RuntimeError("the pan is on fire")
        return f"{message.dish} from the {self.name}"


class Manager(Actor[Watch | Tick | Terminated]):
    """Counts the ticks of its timer, and is told when a watched actor ends."""

    def __init__(self, seen: asyncio.Event) -> None:
        self.seen = seen
        self.ticks = 0

    async def on_start(self) -> None:
        """Start the timer; it ends with this incarnation."""
        self.context.timers.every(0.02, Tick())

    async def receive(self, message: Watch | Tick | Terminated) -> int:
        """Watch an actor, count a tick, or note an end; return the number of ticks."""
        match message:
            case Watch(ref):
                self.context.watch(ref)
            case Tick():
                self.ticks += 1
            case Terminated(ref, reason):
                print(f"  the manager is told: {ref.path} ended ({reason})")
                self.seen.set()
        return self.ticks


# --- a system supervises them ---------------------------------------------------------------------


def report(failure: Failure) -> None:
    """Print a message that its actor failed on."""
    print(f"  failed: {failure.message!r} at {failure.path}: {failure.error}")


def ignore(_: Event) -> None:
    """Ignore a lifecycle event; without this sink events are logged."""


async def main() -> None:
    """Run the shop for a moment."""
    seen = asyncio.Event()
    async with ActorSystem("shop", on_failure=report, sink=ignore) as system:
        print("tell and ask:")
        till = system.spawn(Till, name="till")
        for cents in (450, 320, 280):
            till.tell(Sale(cents))
        print(f"  in the till: {await till.ask(Total())} cents")

        print("three stations, one after another (rest_for_one):")
        stations = [ActorSpec(Station, (name,), name=name) for name in ("prep", "grill", "pass")]
        kitchen = system.supervisor("kitchen", "rest_for_one", stations)
        await kitchen.started()
        grill = kitchen.ref("grill")
        assert grill is not None
        print(f"  served: {await grill.ask(Order('steak'))}")

        print("a crash restarts the grill and the stations after it, not those before it:")
        try:
            await grill.ask(Order("fire"))
        except ActorCrashed as error:
            print(f"  the caller of ask is told: {error}")
        print(f"  served by the same reference: {await grill.ask(Order('salad'))}")

        print("watch and timers:")
        manager = system.spawn(Manager, seen, name="manager")
        await manager.ask(Watch(till))
        await asyncio.sleep(0.1)
        await till.stop()
        await seen.wait()
        ticks = await manager.ask(Tick())
        print(f"  ticks: {'some' if ticks > 2 else 'hardly any'}")

        print("the supervision tree:")
        print(system.tree())
    assert system.report is not None
    print(f"stopped {'in order' if system.report.clean else 'with force'}")


if __name__ == "__main__":
    asyncio.run(main())
