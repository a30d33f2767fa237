"""The latest topology of a cluster's pool, and where its nodes are reached."""

from __future__ import annotations

from actors.redis import exceptions
from actors.redis.topology.model import Address, AddressRemap, Topology


class KnownTopology:
    """Outlives the sessions of its pool: a pool that is entered again starts with it.

    Attributes:
        value: the topology; None before the pool was entered for the first time.
    """

    def __init__(self, remap: AddressRemap | None) -> None:
        self.value: Topology | None = None
        self._remap = remap

    def set(self, topology: Topology) -> Topology:
        """Make ``topology`` the latest one and return it; an equal one stays the same object."""
        if self.value is None or topology != self.value:
            self.value = topology
        return self.value

    def address_of(self, node_id: str) -> Address:
        """Return where a node is reached.

        Raises:
            ConnectionError: no such node is known, or its address is not.
        """
        node = self.value.nodes.get(node_id) if self.value is not None else None
        if node is None:
            raise exceptions.ConnectionError(
                f"there is no node {node_id} in the cluster, as far as is known: it left, or the "
                "topology needs a refresh"
            )
        if not node.addressable:
            raise exceptions.ConnectionError(
                f"the cluster does not know the address of node {node_id} at the moment"
            )
        return node.address

    def resolve(self, address: Address, asked: Address | None) -> Address | None:
        """Return where to reach the node that a MOVED or ASK names; None where nobody can tell.

        Args:
            address: the one in the redirection. An empty host stands for the node that sent it;
                ``?`` for a node without a host name.
            asked: where the node is reached that sent the redirection.
        """
        host, port = address
        if not host and asked is not None:
            host = asked[0]
        elif host in ("", "?"):
            nodes = self.value.nodes.values() if self.value is not None else ()
            found = [node.address for node in nodes if node.port == port]
            return found[0] if len(found) == 1 else None
        return self._remap((host, port)) if self._remap is not None else (host, port)
