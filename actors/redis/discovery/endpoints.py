"""Where clients reach the nodes: the addresses of CLUSTER NODES, corrected."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from actors.redis import exceptions
from actors.redis.discovery.node_probe import NodeProbe
from actors.redis.topology.merge_views import in_touch, merge
from actors.redis.topology.model import Address, AddressRemap, Node, Topology
from actors.redis.topology.update import at_addresses

#: What a node answered: where it was asked, and its view.
Answer = tuple[NodeProbe, Topology]

# Seconds between two looks at the endpoints: a host name may be given to a node that was there.
_LEARN_PERIOD: Final = 10.0


class Endpoints:
    """Merges answers into one topology, at the addresses that clients should use."""

    def __init__(self, remap: AddressRemap | None) -> None:
        self._remap = remap
        # The address of a node in CLUSTER NODES -> the one that clients should use.
        self._endpoints: dict[tuple[str, Address], Address] = {}
        self._learn_again_at = 0.0
        # The address of each node in CLUSTER NODES, as the others name it.
        self._announced: dict[str, Address] = {}

    async def merge(self, answers: Sequence[Answer], *, learn: bool = True) -> Topology:
        """Return what the nodes say, at the addresses that clients should use.

        Args:
            answers: what the nodes answered.
            learn: whether one of these may be asked again, for the endpoints, where none is new.
        """
        # A node that was asked by two of its addresses has one voice.
        views = list({view.myself or id(view): view for _, view in answers}.values())
        merged = merge(views)
        if len(views) == 1 and (own := views[0].myself) in self._announced:
            # What a node says of its own address may be out of date.
            merged = _with_address(merged, own, self._announced[own])
        named = {node.id: node.address for node in merged.nodes.values() if node.addressable}
        self._announced = named
        now = asyncio.get_running_loop().time()
        keys = {(node.id, node.address) for node in merged.nodes.values() if node.addressable}
        if not keys <= self._endpoints.keys() or (learn and now >= self._learn_again_at):
            self._learn_again_at = now + _LEARN_PERIOD
            await self._learn(keys, answers)
        return at_addresses(merged, self.address_of)

    async def _learn(self, keys: set[tuple[str, Address]], answers: Sequence[Answer]) -> None:
        """Ask for the endpoints: when nodes are new, and once in a while.

        Only CLUSTER SHARDS and SLOTS tell host names, which are preferred for TLS for instance.
        """
        shown: Mapping[str, Node] = {}
        for probe, view in answers:
            if not in_touch(view) and len(answers) > 1:
                continue
            try:
                shown = _without_own_address((await probe.endpoints()).nodes, view)
                break
            except (exceptions.RedisError, TimeoutError, ValueError):
                # Another one may say; if none does, the addresses of CLUSTER NODES have to do.
                continue
        self._endpoints = {
            (node_id, address): shown[node_id].address
            if node_id in shown and shown[node_id].addressable
            else self._endpoints.get((node_id, address), address)
            for node_id, address in keys
        }

    def address_of(self, node: Node) -> Address:
        """Return where clients reach ``node``, an entry of CLUSTER NODES."""
        address = self._endpoints.get((node.id, node.address), node.address)
        # A node whose address the cluster has lost announces port 0: there is nothing to remap.
        return self._remap(address) if self._remap is not None and node.addressable else address


def _with_address(topology: Topology, node_id: str | None, address: Address) -> Topology:
    return at_addresses(topology, lambda node: address if node.id == node_id else node.address)


def _without_own_address(shown: Mapping[str, Node], view: Topology) -> Mapping[str, Node]:
    """Return ``shown`` without the asked node, where that names the address of CLUSTER NODES.

    The address may be out of date then; a host name is the node's own to tell.
    """
    own = view.nodes.get(view.myself or "")
    if own is None or own.id not in shown or shown[own.id].address != own.address:
        return shown
    return {node_id: node for node_id, node in shown.items() if node_id != own.id}
