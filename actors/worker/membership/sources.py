"""Where the names come from that members own: what a member asks of each kind of source."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any, Protocol

from actors.pubsub.api.base import BasePubSub
from actors.pubsub.api.gated import GatedPubSub, Takeover
from actors.pubsub.connection.gate import Gate, LineFacts
from actors.pubsub.model.names import encode_name
from actors.pubsub.model.types import Kind, Target
from actors.redis.exceptions import RedisError


class Source(Protocol):
    """Names that are consumed in one way: over one pub/sub object, for instance.

    Names that are not the source's are left out.
    """

    @property
    def names(self) -> frozenset[str]:
        """The names that the members own."""

    async def want(
        self, names: Iterable[str], takeover_of: Callable[[str], Takeover | None]
    ) -> None:
        """Consume ``names``, as far as the member owns them."""

    def release(self, names: Iterable[str]) -> Awaitable[None]:
        """Consume ``names`` no longer; return what waits until all that came is handled."""

    def take_over(self, name: str, takeover: Takeover) -> None:
        """Another member had ``name`` until now."""

    def give_up(self, names: Iterable[str]) -> None:
        """Another member has ``names`` from now on."""

    def drop_recovered(self, names: Iterable[str]) -> None:
        """Another member recovers what waits of ``names``, as far as they recover: drop that."""

    def missed(self, names: Iterable[str], since: float, reason: str) -> None:
        """What came of ``names`` after ``since`` (Unix seconds) was dropped until now."""

    def tell_gaps(self, until: Mapping[str, float], since: float, reason: str) -> None:
        """Nobody may have handled what came of names after ``since`` (Unix seconds).

        Args:
            until: the names, each with the time (Unix seconds) behind which this member has it.
            since: the time.
            reason: why, in words.
        """

    def owners_changed(self, names: Iterable[str]) -> None:
        """The member owns ``names`` at other nodes than before."""

    def are_live(self, names: Collection[str]) -> bool:
        """Whether messages of each of ``names`` arrive."""

    def are_behind(self, names: Iterable[str]) -> bool:
        """Whether what came of ``names`` is still being read from where it is kept."""

    def discard(self) -> int:
        """Drop what waits to be handled; return how many messages. Called at any time."""

    def stop(self, reason: str) -> None:
        """Consume nothing any longer, at once, and drop what waits to be handled."""


class NodeFacts(LineFacts, Protocol):
    """A member: takes what connections bring, and says what the member owns.

    Nodes of different sources have different names.
    """

    def owns(self, name: str, node: str) -> bool:
        """Whether the member owns ``name`` at ``node``."""

    def owns_anywhere(self, name: str) -> bool:
        """Whether the member owns ``name`` at a node."""


class PubSubSource:
    """The channels and patterns of one pub/sub object.

    Args:
        pubsub: the object, not entered yet.
        handlers: the handlers, by kind and name.
        facts: takes what connections bring.
        control: the fleet's control channel.
        presence: the member's own channel.
        connection_name: what servers list the connections as.
    """

    def __init__(
        self,
        pubsub: BasePubSub[Any],
        handlers: Mapping[Kind, Mapping[Any, Any]],
        facts: NodeFacts,
        control: str,
        presence: str,
        connection_name: str,
    ) -> None:
        self._handlers = handlers
        self._facts = facts
        self._prefix = "shard" if pubsub._channel_kind is Kind.SHARD else "plain"
        self._names = {as_name(name) for known in handlers.values() for name in known}
        gate = Gate(self, control.encode(), presence.encode(), connection_name)
        self._gated = GatedPubSub(pubsub, gate)

    # -- as a Source -------------------------------------------------------------------------------

    @property
    def names(self) -> frozenset[str]:
        """The channels and patterns."""
        return frozenset(self._names)

    async def want(
        self, names: Iterable[str], takeover_of: Callable[[str], Takeover | None]
    ) -> None:
        """Subscribe to ``names``."""
        wanted = set(names)
        for kind, known in self._handlers.items():
            handlers = {name: known[name] for name in known if as_name(name) in wanted}
            if handlers:
                await self._gated.want(kind, handlers, lambda name: takeover_of(as_name(name)))

    def release(self, names: Iterable[str]) -> Awaitable[None]:
        """Unsubscribe from ``names``."""
        return self._gated.release(self._wire(names))

    def take_over(self, name: str, takeover: Takeover) -> None:
        """Another member had ``name`` until now."""
        for wire in self._wire([name]):
            self._gated.take_over(wire, takeover)

    def give_up(self, names: Iterable[str]) -> None:
        """Another member has ``names`` from now on."""
        self._gated.give_up(self._wire(names))

    def drop_recovered(self, names: Iterable[str]) -> None:
        """Drop what waits in mailboxes of channels that recover."""
        self._gated.drop_recovered(self._wire(names))

    def missed(self, names: Iterable[str], since: float, reason: str) -> None:
        """Have a gap told, unless one is open."""
        self._gated.missed(self._wire(names), since, reason)

    def tell_gaps(self, until: Mapping[str, float], since: float, reason: str) -> None:
        """Have gaps told at once."""
        for name, end in until.items():
            for wire in self._wire([name]):
                self._gated.tell_gap(wire, since, end, reason)

    def owners_changed(self, names: Iterable[str]) -> None:
        """Set the routes of ``names`` anew."""
        self._gated.gate_changed(self._wire(names))

    def are_live(self, names: Collection[str]) -> bool:
        """Whether each of ``names`` is live on a node."""
        return self._gated.are_live(self._wire(names))

    def are_behind(self, names: Iterable[str]) -> bool:
        """Whether a history of ``names`` is being read."""
        return self._gated.are_behind(self._wire(names))

    def discard(self) -> int:
        """Drop what waits in mailboxes."""
        return self._gated.discard(self._wire(self._names))

    def stop(self, reason: str) -> None:
        """End all subscriptions and connections."""
        self._gated.stop(self._wire(self._names), reason)

    def _wire(self, names: Iterable[str]) -> list[bytes]:
        return [to_wire(name) for name in names if name in self._names]

    # -- as the keeper of the gate -----------------------------------------------------------------

    def _node(self, node: str) -> str:
        return f"{self._prefix} {node}"

    def opened(self, node: str) -> None:
        """See Keeper, as for the methods below."""
        self._facts.opened(self._node(node))

    def closed(self, node: str) -> None:  # noqa: D102
        self._facts.closed(self._node(node))

    def told(self, node: str, payload: bytes | str) -> None:  # noqa: D102
        self._facts.told(self._node(node), payload)

    def refused(self, error: RedisError) -> None:  # noqa: D102
        self._facts.refused(error)

    def check(self) -> None:  # noqa: D102
        self._facts.check()

    def is_undecided(self, node: str) -> bool:  # noqa: D102
        return self._facts.is_undecided(self._node(node))

    def passes(self, node: str, target: Target) -> bool:  # noqa: D102
        name = as_name(target.name)
        return name not in self._names or self._facts.owns(name, self._node(node))

    def concerns(self, target: Target) -> bool:  # noqa: D102
        name = as_name(target.name)
        return name not in self._names or self._facts.owns_anywhere(name)


def as_name(name: str | bytes) -> str:
    """Return the name of a channel as the fleet knows it; any bytes have one."""
    return encode_name(name).decode("utf-8", "surrogateescape")


def to_wire(name: str) -> bytes:
    """Return the channel that ``name`` stands for, as servers know it."""
    return name.encode("utf-8", "surrogateescape")
