"""What follows the names that a member holds: actors that run once in a fleet, and hooks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from actors.runtime.actor import Actor
from actors.runtime.ref import ActorRef
from actors.worker.membership.membership import HeldChanged, Membership
from supervisor import ExitReason
from supervisor.log import get_logger

log = get_logger("mailslot.fleet")

#: Seconds that a hook may take.
_HOOK: Final = 10.0


class StopBefore(msgspec.Struct, frozen=True):
    """Stop the actors that the member will not have by the view ``number``, which is announced."""

    number: int


class StopAll(msgspec.Struct, frozen=True):
    """Stop all actors: the member leaves."""


class Holder(Actor[Any]):
    """Starts and stops the actors with ``once=True``, and calls the hooks.

    An actor is stopped before its member says that it is prepared for a view that takes the actor's
    name away, and started when the member holds the name at all nodes. So two members never run it
    at once, unless it takes longer to stop than a view waits for its members.

    Args:
        membership: knows what is held.
        actors: what spawns each actor, by its name.
        on_gain: called with each name that the member holds from now on.
        on_lose: called with each name that it holds no longer.
    """

    resilient = True

    def __init__(
        self,
        membership: Membership,
        actors: Mapping[str, Callable[[], ActorRef[Any]]],
        on_gain: Sequence[Callable[[str], Any]],
        on_lose: Sequence[Callable[[str], Any]],
    ) -> None:
        self._membership = membership
        self._actors = actors
        self._on_gain = on_gain
        self._on_lose = on_lose
        self._running: dict[str, ActorRef[Any]] = {}
        self._leaving = False
        self._hooks: asyncio.Task[None] | None = None
        self._changes: asyncio.Queue[HeldChanged] = asyncio.Queue()

    async def receive(self, message: Any) -> None:
        """Follow a change."""
        match message:
            case StopBefore():
                announced = self._membership.announced_names()
                await self._stop(self._running.keys() - announced)
            case StopAll():
                self._leaving = True
                await self._stop(set(self._running))
            case HeldChanged():
                if self._on_gain or self._on_lose:
                    self._changes.put_nowait(message)
                    self._call_hooks()
                await self._stop(self._running.keys() - self._membership.held)
                await self._start()

    async def on_stop(self, reason: ExitReason) -> None:
        """Stop what runs."""
        if self._hooks is not None:
            self._hooks.cancel()
            await asyncio.gather(self._hooks, return_exceptions=True)
        await self._stop(set(self._running))

    async def _start(self) -> None:
        wanted = () if self._leaving else self._actors.keys() & self._membership.held
        for name in wanted:
            if name not in self._running:
                ref = self._running[name] = self._actors[name]()
                await ref.started()

    async def _stop(self, names: set[str]) -> None:
        stopping = [self._running.pop(name) for name in names]
        await asyncio.gather(*(ref.stop(drain=True) for ref in stopping))

    # -- hooks -------------------------------------------------------------------------------------

    def _call_hooks(self) -> None:
        """Have the hooks called beside, in order: they may take long."""
        if self._hooks is None or self._hooks.done():
            self._hooks = self.context.system.loop.create_task(self._run_hooks())

    async def _run_hooks(self) -> None:
        while not self._changes.empty():
            change = self._changes.get_nowait()
            for name in sorted(change.lost):
                await self._call(self._on_lose, name)
            for name in sorted(change.gained):
                await self._call(self._on_gain, name)

    async def _call(self, hooks: Sequence[Callable[[str], Any]], name: str) -> None:
        for hook in hooks:
            try:
                async with asyncio.timeout(_HOOK):
                    result = hook(name)
                    if hasattr(result, "__await__"):
                        await result
            except Exception as error:
                log.error(
                    "fleet_hook_failed",
                    hook=getattr(hook, "__qualname__", repr(hook)),
                    name=name,
                    error=repr(error),
                    exc_info=error,
                )
