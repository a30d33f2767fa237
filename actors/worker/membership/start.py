"""Makes a process a member of a fleet, and has it leave again."""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any, Final

import msgspec

from actors.pubsub.api.base import BasePubSub
from actors.pubsub.model.types import Kind
from actors.runtime.actor import ActorSpec
from actors.runtime.ref import ActorRef
from actors.runtime.system import ActorSystem
from actors.worker.fleet.calls import control_channel, presence_channel
from actors.worker.fleet.members import FleetOptions, FleetSettings, Member
from actors.worker.membership.carry_out import CarryOut
from actors.worker.membership.holder import Holder, StopAll
from actors.worker.membership.membership import Membership
from actors.worker.membership.reporter import Reporter
from actors.worker.membership.server import FleetServer, connection_name
from actors.worker.membership.sources import PubSubSource, as_name
from actors.worker.membership.wake import on_wake
from actors.worker.membership.work import Work
from supervisor.log import get_logger

log = get_logger("mailslot.fleet")

#: Characters of a host's name that a member's id has instead of others.
_OTHER: Final = re.compile(r"[^A-Za-z0-9._-]")


#: Seconds for the server's answers while a member leaves.
_ANSWER: Final = 1.0


class FleetHooks(msgspec.Struct, frozen=True):
    """What a worker declares for a fleet.

    Attributes:
        actors: what spawns each actor with ``once=True``, by its name.
        on_gain: called with each name that the member holds from now on.
        on_lose: called with each name that it holds no longer.
    """

    actors: Mapping[str, Callable[[], ActorRef[Any]]]
    on_gain: Sequence[Callable[[str], Any]]
    on_lose: Sequence[Callable[[str], Any]]


def _spec(actor: Any, args: tuple[Any, ...], name: str) -> ActorSpec:
    return ActorSpec(actor, args, name=name, restart="permanent")


def _of(
    pubsub: BasePubSub[Any], handlers: Mapping[Kind, Mapping[Any, Any]]
) -> dict[Kind, Mapping[Any, Any]]:
    """Return the handlers of the kinds that ``pubsub`` subscribes to."""
    is_sharded = pubsub._channel_kind is Kind.SHARD
    return {kind: known for kind, known in handlers.items() if (kind is Kind.SHARD) is is_sharded}


def new_member() -> Member:
    """Return this process as a member, under an id that no other process has."""
    host = _OTHER.sub("-", socket.gethostname())[:64] or "host"
    return Member(f"{host}:{os.getpid()}:{os.urandom(2).hex()}", os.urandom(4).hex())


class FleetRun:
    """One process in a fleet, from its start to its end.

    Attributes:
        membership: the member.

    Args:
        options: the fleet.
        client: the worker's client, connected.
        is_cluster: whether it is a cluster's.
        system: where the member's actors run.
    """

    def __init__(
        self, options: FleetOptions, client: Any, system: ActorSystem, *, is_cluster: bool
    ) -> None:
        self.membership: Membership
        self._options = options
        self._client = client
        self._is_cluster = is_cluster
        self._system = system
        self._holder: ActorRef[Any]
        self._releasing: set[asyncio.Task[None]] = set()

    async def start(
        self,
        stack: AsyncExitStack,
        pubsubs: Sequence[BasePubSub[Any]],
        handlers: Mapping[Kind, Mapping[Any, Any]],
        hooks: FleetHooks,
        facts: Work,
    ) -> None:
        """Make the member; it joins when one of ``pubsubs`` is entered.

        Args:
            stack: ends the member.
            pubsubs: not entered yet.
            handlers: for all names of the worker.
            hooks: what the worker declares.
            facts: what the worker does.
        """
        me, fleet, system = new_member(), self._options.name, self._system
        settings = FleetSettings(ttl=self._options.ttl)
        server = FleetServer(self._client, fleet, me, settings, is_cluster=self._is_cluster)
        settings = msgspec.structs.replace(settings, may_kill=await server.may_kill())
        names = {as_name(name) for known in handlers.values() for name in known}
        names |= hooks.actors.keys()
        self.membership = membership = Membership(
            fleet, me, frozenset(names), settings, system.loop
        )
        control, presence = control_channel(fleet), presence_channel(fleet, me)
        label = connection_name(fleet, me)
        membership.sources += [
            PubSubSource(one, _of(one, handlers), membership, control, presence, label)
            for one in pubsubs
        ]
        holder = (membership, hooks.actors, hooks.on_gain, hooks.on_lose)
        self._holder = system.spawn(_spec(Holder, holder, "fleet-holder"))
        work = (membership, server, self._holder, facts, self._releasing)
        carry_out = system.spawn(_spec(CarryOut, work, "fleet"))
        membership.tell = carry_out.tell
        reporter = system.spawn(_spec(Reporter, (membership, server, facts), "fleet-reporter"))
        membership.asked = reporter.tell
        stack.push_async_callback(self._end_releases)
        stack.callback(on_wake(membership.woke))
        stack.callback(membership.close)

    async def _end_releases(self) -> None:
        for task in self._releasing:
            task.cancel()
        await asyncio.gather(*self._releasing, return_exceptions=True)

    def has(self, name: str | bytes) -> bool:
        """Return whether the member holds ``name``."""
        return self.membership.has(as_name(name))

    async def joined(self, timeout: float | None) -> None:
        """Wait until the server has answered the member's first call.

        Raises:
            TimeoutError: it did not within ``timeout``.
            ResponseError: it refused.
        """
        async with asyncio.timeout(timeout):
            await asyncio.shield(self.membership.joined)

    async def leave(self) -> None:
        """Give all names to other members, and handle what came before."""
        membership, settings = self.membership, self.membership.settings
        await self._holder.ask(StopAll(), timeout=None)
        membership.leave()
        patience = settings.ttl + settings.prepare_within + _ANSWER
        try:
            async with asyncio.timeout(patience) as limit:
                await membership.left.wait()
        except TimeoutError:
            if not limit.expired():
                raise
            log.warning(
                "fleet_not_left",
                fleet=membership.fleet,
                seconds=patience,
                consequence="others have the names when the lease of this member ends",
            )
        if self._releasing:
            await asyncio.gather(*self._releasing, return_exceptions=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(_ANSWER):
                await membership.ended.wait()
