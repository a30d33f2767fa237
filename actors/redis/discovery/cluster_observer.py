"""Asks the nodes of a cluster for its topology: one at a time, more only where they disagree.

A look asks one node, in turn. Where its answer confirms what is known, the look is over. Where the
answer disagrees, or does not come, other nodes are asked at once, as many as :class:`AskBudget`
allows, and their views are merged. Views of another cluster are left out; see
:mod:`actors.redis.discovery.strangers`.

How long a look takes: the asked node gets half a second. When others are asked, and more than half
of them have answered, the rest get as long again as those took (20 to 100 ms). Nodes that did not
answer the last time are asked again after a pause, and nobody waits for them.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection, Sequence
from typing import Final

from actors.redis import exceptions
from actors.redis.config.locations import TCPLocation
from actors.redis.config.settings import ConnectionSettings
from actors.redis.discovery.ask_budget import AskBudget
from actors.redis.discovery.bus_contacts import BusContacts
from actors.redis.discovery.endpoints import Answer, Endpoints
from actors.redis.discovery.errors import nobody_answered
from actors.redis.discovery.node_probe import ANSWER_TIMEOUT, NodeProbe
from actors.redis.discovery.node_probes import NodeProbes
from actors.redis.discovery.strangers import Strangers
from actors.redis.topology.confirm import carry_over, confirm
from actors.redis.topology.model import Address, AddressRemap, Topology
from actors.redis.topology.update import disown, tidy, without_members
from actors.redis.wire.connection import Connection
from supervisor.log import get_logger

log = get_logger("mailslot.redis")

# Other nodes that one look asks at the most.
_MOST_OTHERS: Final = 7
# Seconds between two counts of the clients that are subscribed as we are.
_COUNT_PERIOD: Final = 30.0
# Startup nodes asked at once.
_STARTUP_BATCH: Final = 8

_FOREIGN: Final = exceptions.ConnectionError(
    "it belongs to another cluster: it knows less than half of the nodes that were known"
)


class ClusterObserver:
    """Asks nodes over control connections of its own, one for each, opened when needed.

    Attributes:
        contacts: which nodes are out of touch with their cluster.
        consumers: how many clients were subscribed on a node when one was last asked.
    """

    def __init__(
        self,
        connection_class: type[Connection],
        settings: ConnectionSettings,
        startup_nodes: Sequence[TCPLocation],
        remap: AddressRemap | None,
    ) -> None:
        self._startup = list(dict.fromkeys((node.host, node.port) for node in startup_nodes))
        self._endpoints = Endpoints(remap)
        self._strangers = Strangers(self._startup)
        self.contacts = BusContacts()
        self._probes = NodeProbes(connection_class, settings, self.contacts)
        self._budget = AskBudget()
        self._counted_at = -math.inf
        self.consumers = 0

    async def close(self) -> None:
        """End all connections."""
        await self._probes.close()

    def silent(self, address: Address) -> bool:
        """Whether the node at ``address`` did not answer when it was last asked."""
        return self._probes.silent(address)

    # --- Looks ------------------------------------------------------------------------------------

    async def load(self, known: Topology | None) -> Topology:
        """Find the cluster by its startup nodes, and by those of ``known``, its last topology.

        Raises:
            RedisClusterError: the startup nodes belong to different clusters.
            RedisError: no node answered; each with the reason.
        """
        last = () if known is None else [n.address for n in known.nodes.values() if n.addressable]
        addresses = list(dict.fromkeys([*self._startup, *last]))
        errors: dict[Address, BaseException] = {}
        for start in range(0, len(addresses), _STARTUP_BATCH):
            probes = [self._probes.at(at) for at in addresses[start : start + _STARTUP_BATCH]]
            for probe in probes:
                probe.patience = probe.longest
            longest = max(probe.longest for probe in probes) + ANSWER_TIMEOUT
            answers = await self._probes.collect(probes, errors, wait=longest, enough=None)
            if answers:
                now = asyncio.get_running_loop().time()
                found = await self._finish(self._strangers.elect(known, answers, now))
                topology = await self._look_at_all(found)
                self._check_reachable(topology)
                return topology
        raise nobody_answered(errors)

    async def look(
        self, known: Topology, prefer: Collection[str] = (), *, urgent: bool = False
    ) -> Topology:
        """Ask one node of ``known``; ask others where its answer disagrees or does not come.

        Args:
            known: is returned as it is where the node confirms it.
            prefer: ids of nodes that are asked in turn; empty: all nodes are.
            urgent: a channel has no live source: more nodes may be asked in a second.

        Raises:
            RedisError: no node answered; each with the reason.
        """
        now = asyncio.get_running_loop().time()
        errors: dict[Address, BaseException] = {}
        first = self._probes.next(known, prefer, now)
        asked = [
            *([] if first is None else [first]),
            *map(self._probes.at, self._strangers.due(now)),
        ]
        answers = await self._probes.collect(asked, errors, wait=ANSWER_TIMEOUT, enough=1)
        views = self._ours(known, answers, now)
        self._probes.ask_silent_ones(known)
        # A node that nothing is subscribed on is asked nothing else.
        node = None if first is None else known.at(first.address)
        more = not prefer or (node is not None and node.id in prefer)
        if views and more and now - self._counted_at >= _COUNT_PERIOD:
            self._counted_at = now
            self.consumers = await views[0][0].subscribed_clients()
        confirmed = await self._confirmed(known, views, now, learn=more) if views else None
        if confirmed is not None:
            return confirmed
        others = self._probes.others(known, prefer, asked)
        granted = self._budget.take(min(len(others), _MOST_OTHERS), now, urgent=urgent)
        if views and not granted and others:
            return known  # the next look asks more nodes
        others = others[:granted] if views else others[: max(granted, 1)]
        enough = len(others) // 2 + 1
        answers += await self._probes.collect(others, errors, wait=ANSWER_TIMEOUT, enough=enough)
        views = self._ours(known, answers, now)
        if not views:
            return await self._look_at_startup_nodes(known, errors, answers, {*asked, *others})
        topology = await self._finish(views)
        views += await self._ask_suspects(known, topology, prefer, views, errors, now)
        self.contacts.compare([view for _, view in views], now)
        self.contacts.keep(topology.nodes.keys(), now)
        return carry_over(known, topology, {view.myself for _, view in views})

    def _ours(self, known: Topology, answers: list[Answer], now: float) -> list[Answer]:
        """Return the answers that are of the cluster ``known``, and note what they say."""
        ours = self._strangers.ours(known, answers, now)
        for _, view in ours:
            self.contacts.read(view, now)
        return ours

    async def _confirmed(
        self, known: Topology, views: list[Answer], now: float, *, learn: bool
    ) -> Topology | None:
        """Return ``known`` where the answers confirm it; None where others are to be asked."""
        confirmed = confirm(known, await self._as_seen(views, learn=learn))
        if confirmed is None or any(self.contacts.deaf(view.myself) for _, view in views):
            return None
        self.contacts.compare([view for _, view in views], now)
        return confirmed

    async def _ask_suspects(
        self,
        known: Topology,
        found: Topology,
        prefer: Collection[str],
        views: list[Answer],
        errors: dict[Address, BaseException],
        now: float,
    ) -> list[Answer]:
        """Ask the preferred nodes that others have begun to call failing whom they hear.

        What was subscribed on such a node leaves it, and what the node missed before is to be told.
        """
        asked = {view.myself for _, view in views}
        suspects = [
            self._probes.of(node)
            for node in found.nodes.values()
            if node.id in prefer and node.id not in asked and node.failing and node.addressable
            if node.id in known.nodes and not known.nodes[node.id].failing
        ]
        suspects = [probe for probe in suspects if not probe.silent][:_MOST_OTHERS]
        self._budget.take(len(suspects), now, urgent=False)
        answers = await self._probes.collect(
            suspects, errors, wait=ANSWER_TIMEOUT, enough=len(suspects)
        )
        return self._ours(known, answers, now)

    async def _look_at_startup_nodes(
        self,
        known: Topology,
        errors: dict[Address, BaseException],
        answers: list[Answer],
        asked: Collection[NodeProbe],
    ) -> Topology:
        """Ask the startup nodes: none of ``asked`` gave an answer of the cluster ``known``."""
        now = asyncio.get_running_loop().time()
        probes = [probe for probe in map(self._probes.at, self._startup) if probe not in asked]
        answers += await self._probes.collect(
            probes, errors, wait=ANSWER_TIMEOUT, enough=len(probes)
        )
        views = self._ours(known, answers, now)
        if not views:
            views = self._strangers.successors(known, answers, now)
        if not views:
            raise nobody_answered(errors | {probe.address: _FOREIGN for probe, _ in answers})
        return await self._finish(views)

    async def _look_at_all(self, known: Topology) -> Topology:
        """Ask every node of a small cluster, some of a large one."""
        now = asyncio.get_running_loop().time()
        errors: dict[Address, BaseException] = {}
        probes = self._probes.others(known, (), ())[: _MOST_OTHERS + 1]
        majority = len(probes) // 2 + 1
        answers = await self._probes.collect(probes, errors, wait=ANSWER_TIMEOUT, enough=majority)
        views = self._ours(known, answers, now)
        if not views:
            return await self._look_at_startup_nodes(known, errors, answers, probes)
        self.contacts.compare([view for _, view in views], now)
        return await self._finish(views)

    def _check_reachable(self, topology: Topology) -> None:
        nodes = [node for node in topology.nodes.values() if node.addressable]
        if nodes and all(self._probes.at(node.address).silent for node in nodes):
            log.warning(
                "announced_addresses_unreachable",
                addresses=sorted(str(TCPLocation(*node.address)) for node in nodes),
                cure="give address_remap, or let the nodes announce what clients can reach;"
                " with TLS they need tls-cluster yes",
            )

    # --- What becomes of the answers --------------------------------------------------------------

    async def _as_seen(self, answers: list[Answer], *, learn: bool = True) -> Topology:
        """Return what the nodes say of the nodes that are still members, and still there."""
        forgotten = self.contacts.forgotten(asyncio.get_running_loop().time())
        merged = without_members(await self._endpoints.merge(answers, learn=learn), forgotten)
        return disown(merged, self._strangers.addresses)

    async def _finish(self, answers: list[Answer]) -> Topology:
        topology = tidy(await self._as_seen(answers))
        addresses = {node.address for node in topology.nodes.values()}
        self._strangers.keep(addresses)
        await self._probes.keep(addresses)
        return topology
