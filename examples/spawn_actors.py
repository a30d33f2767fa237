"""Actors without any Redis: spawn, tell, ask, watch, timers, and a supervisor with rest_for_one.

    python -m examples.spawn_actors

A shop: a till that counts, a kitchen of three stations that depend on each other, and a manager
that watches them and beats time. One order is bad on purpose.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from actors import Actor, ActorCrashed, ActorRef, ActorSpec, ActorSystem, Failure, Terminated
from supervisor import Event

# --- messages are plain Structs ------------------------------------------------------------------


class Sale(msgspec.Struct, frozen=True):
    """Somebody paid ``cents``."""

    cents: int


class Total(msgspec.Struct, frozen=True):
    """Asks for the sum of all sales so far, in cents."""


class Order(msgspec.Struct, frozen=True):
    """Asks a station to cook ``dish``."""

    dish: str


class Watch(msgspec.Struct, frozen=True):
    """Asks the manager to watch somebody."""

    ref: ActorRef[Any]


class Tick(msgspec.Struct, frozen=True):
    """A heartbeat of the manager's own."""


# --- actors have state of their own, and handle one message at a time ----------------------------


class Till(Actor[Sale | Total]):
    """Adds up sales."""

    def __init__(self) -> None:
        self.cents = 0

    async def receive(self, message: Sale | Total) -> int | None:
        """Take a sale, or answer with the sum: what it returns answers an ask."""
        match message:
            case Sale(cents):
                self.cents += cents
                return None
            case Total():
                return self.cents


class Station(Actor[Order]):
    """A place in the kitchen; those after it rely on what it has prepared."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def on_start(self) -> None:
        """Open: the next station does so after this one."""
        print(f"  {self.name} opens (incarnation {self.context.incarnation})")

    async def receive(self, message: Order) -> str:
        """Cook; what it raises is its crash, and its supervisor decides what follows."""
        if message.dish == "fire":
            raise RuntimeError("the pan is on fire")
        return f"{message.dish} from the {self.name}"


class Manager(Actor[Watch | Tick | Terminated]):
    """Beats time, and hears of the end of those it watches."""

    def __init__(self, seen: asyncio.Event) -> None:
        self.seen = seen
        self.beats = 0

    async def on_start(self) -> None:
        """Start to beat; the timer ends with this incarnation."""
        self.context.timers.every(0.02, Tick())

    async def receive(self, message: Watch | Tick | Terminated) -> int:
        """Watch, beat, or hear of an end; answers with the number of beats."""
        match message:
            case Watch(ref):
                self.context.watch(ref)
            case Tick():
                self.beats += 1
            case Terminated(ref, reason):
                print(f"  the manager hears: {ref.path} ended ({reason})")
                self.seen.set()
        return self.beats


# --- and a system keeps them alive ---------------------------------------------------------------


def report(failure: Failure) -> None:
    """Be told of each message that its handler failed on."""
    print(f"  failed: {failure.message!r} at {failure.path}: {failure.error}")


def ignore(_: Event) -> None:
    """Be told of each lifecycle event; without this they are logged."""


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

        print("a crash restarts the grill and what comes after it, not what was before it:")
        try:
            await grill.ask(Order("fire"))
        except ActorCrashed as error:
            print(f"  the asker is told: {error}")
        print(f"  served by the same reference: {await grill.ask(Order('salad'))}")

        print("watch and timers:")
        manager = system.spawn(Manager, seen, name="manager")
        await manager.ask(Watch(till))
        await asyncio.sleep(0.1)
        await till.stop()
        await seen.wait()
        beats = await manager.ask(Tick())
        print(f"  heartbeats: {'some' if beats > 2 else 'hardly any'}")

        print("what runs:")
        print(system.tree())
    assert system.report is not None
    print(f"stopped {'in order' if system.report.clean else 'with force'}")


if __name__ == "__main__":
    asyncio.run(main())
