"""Placement where there is one server, or one node at a time serves everything."""

from __future__ import annotations

from collections.abc import Iterable

from actors.pubsub.model.types import Target
from actors.pubsub.subscriptions.placement import Revocation
from actors.pubsub.table.state import Handover, NodeId
from actors.redis.exceptions import RedisError

#: What the table calls the one node.
SERVER: NodeId = "server"


class SinglePlacement:
    """Every target belongs on :data:`SERVER`; answers all questions and takes all events.

    Args:
        bus_lag: seconds by which the server may deliver messages late that another one accepted.
    """

    def __init__(self, bus_lag: float = 0.0) -> None:
        self._bus_lag = bus_lag
        self._connected = False

    def places(self, target: Target) -> tuple[NodeId, ...]:
        """Return the server."""
        return (SERVER,)

    def places_of(self, targets: Iterable[Target]) -> list[tuple[NodeId, ...]]:
        """Return the server, for each target."""
        return [(SERVER,) for _ in targets]

    def hopeless(self, target: Target) -> bool:
        """Return whether the server is not connected."""
        return not self._connected

    def unserved(self, target: Target) -> str | None:
        """Return None: a server serves every target."""
        return None

    def address_of(self, node: NodeId) -> str:
        """Return what stands for the server's address, which only its connection knows."""
        return "the server"

    def group(self, target: Target) -> int:
        """Return one number: any targets may share a command."""
        return 0

    def asking(self, node: NodeId, target: Target) -> bool:
        """Return False: the server imports no slots."""
        return False

    def imports(self, node: NodeId, target: Target) -> bool:
        """Return False: no slot moves."""
        return False

    def same_stream(self, node: NodeId, other: NodeId) -> bool:
        """Return True: whichever server it is, it delivers the same messages."""
        return True

    def trusted(self, node: NodeId) -> bool:
        """Return True: the server is the one that there is."""
        return True

    def complete(self, node: NodeId, heard: float) -> float:
        """Return when the server was heard last, less the lag of the cluster bus."""
        return heard - self._bus_lag

    def linger(self, handover: Handover) -> float | None:
        """Return 0: there is nothing to hand over."""
        return 0.0

    def lost(self, node: NodeId) -> bool:
        """Take that the connection ended; it will be restored, and places stay."""
        self._connected = False
        return False

    def found(self, node: NodeId) -> bool:
        """Take that the server is connected; places stay."""
        self._connected = True
        return False

    def revoked(self, node: NodeId, target: Target) -> Revocation:
        """Take that the server ended a subscription: the table asks again."""
        return Revocation()

    def redirected(self, node: NodeId, targets: list[Target], error: RedisError) -> bool:
        """Return False: no error of a single server says where else to ask."""
        return False
