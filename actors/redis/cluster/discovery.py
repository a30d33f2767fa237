"""Asks the nodes of a cluster for its topology: one at a time, more only where they disagree.

A look asks one node, in turn. Where its answer confirms what is known, the look is over. Where the
answer disagrees, or does not come, other nodes are asked at once, as many as :class:`AskBudget`
allows, and their views are merged.

How long a look takes: the asked node gets half a second. When others are asked, and more than half
of them have answered, the rest get as long again as those took (20 to 100 ms). Nodes that did not
answer the last time are asked again after a pause, and nobody waits for them.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from actors.redis import exceptions
from actors.redis.cluster.ask_budget import AskBudget
from actors.redis.cluster.errors import nobody_answered
from actors.redis.cluster.node_probe import ANSWER_TIMEOUT, NodeProbe
from actors.redis.config.locations import TCPLocation
from actors.redis.config.settings import ConnectionSettings
from actors.redis.topology.confirm import carry_over, confirm
from actors.redis.topology.merge_views import in_touch, merge
from actors.redis.topology.model import Address, AddressRemap, Node, Topology
from actors.redis.topology.update import at_addresses, tidy
from actors.redis.wire.connection import Connection
from supervisor.log import get_logger

log = get_logger("mailslot.redis")

# Other nodes that one look asks at the most.
_MOST_OTHERS: Final = 7
# Seconds between two counts of the clients that are subscribed as we are.
_COUNT_PERIOD: Final = 30.0
# Startup nodes asked at once.
_STARTUP_BATCH: Final = 8
# Seconds that the slower half of the nodes gets at least and at most, once the faster one answered.
_GRACE_MIN, _GRACE_MAX = 0.02, 0.1
# Seconds between two looks at the endpoints: a host name may be given to a node that was there.
_LEARN_PERIOD: Final = 10.0


class ClusterObserver:
    """Asks nodes over control connections of its own, one for each, opened when needed."""

    def __init__(
        self,
        connection_class: type[Connection],
        settings: ConnectionSettings,
        startup_nodes: Sequence[TCPLocation],
        remap: AddressRemap | None,
    ) -> None:
        self._class = connection_class
        self._settings = settings
        self._startup = startup_nodes
        self._remap = remap
        self._probes: dict[Address, NodeProbe] = {}
        # The address of a node in CLUSTER NODES -> the one that clients should use.
        self._endpoints: dict[tuple[str, Address], Address] = {}
        self._learn_again_at = 0.0
        self._turn = 0
        self._budget = AskBudget()
        self._counted_at = -math.inf
        #: How many clients were subscribed on a node when one was last asked.
        self.consumers = 0

    async def close(self) -> None:
        """End all connections."""
        probes, self._probes = self._probes, {}
        await asyncio.gather(*(probe.close() for probe in probes.values()))

    def silent(self, address: Address) -> bool:
        """Whether the node at ``address`` did not answer when it was last asked."""
        probe = self._probes.get(address)
        return probe is not None and probe.silent

    # --- Looks ------------------------------------------------------------------------------------

    async def load(self, known: Topology | None) -> Topology:
        """Find the cluster by its startup nodes, and by those of ``known``, its last topology.

        Raises:
            RedisError: no node answered; each with the reason.
        """
        last = () if known is None else [n.address for n in known.nodes.values() if n.addressable]
        startup = [(node.host, node.port) for node in self._startup]
        addresses = list(dict.fromkeys([*startup, *last]))
        errors: dict[Address, BaseException] = {}
        for start in range(0, len(addresses), _STARTUP_BATCH):
            probes = [self._probe(at) for at in addresses[start : start + _STARTUP_BATCH]]
            for probe in probes:
                probe.patience = probe.longest
            longest = max(probe.longest for probe in probes) + ANSWER_TIMEOUT
            views = await self._collect(probes, errors, wait=longest, enough=1)
            if views:
                topology = await self._look_at_all(await self._finish(views))
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
        probe = self._next(known, prefer)
        views = await self._collect([probe], errors, wait=ANSWER_TIMEOUT, enough=1) if probe else []
        self._ask_silent_ones(known)
        if views and now - self._counted_at >= _COUNT_PERIOD:
            self._counted_at = now
            self.consumers = await views[0][0].subscribed_clients()
        if views and (confirmed := confirm(known, await self._as_seen(views))) is not None:
            return confirmed
        others = self._others(known, prefer, probe)
        granted = self._budget.take(min(len(others), _MOST_OTHERS), now, urgent=urgent)
        if views and not granted and others:
            return known  # the next look asks more nodes
        others = others[:granted] if views else others[: max(granted, 1)]
        enough = len(others) // 2 + 1
        views += await self._collect(others, errors, wait=ANSWER_TIMEOUT, enough=enough)
        if not views:
            return await self._look_at_startup_nodes(errors, {probe, *others})
        return carry_over(known, await self._finish(views), {view.myself for _, view in views})

    async def _look_at_startup_nodes(
        self, errors: dict[Address, BaseException], asked: Collection[NodeProbe | None]
    ) -> Topology:
        probes = [self._probe((node.host, node.port)) for node in self._startup]
        probes = [probe for probe in probes if probe not in asked]
        views = await self._collect(probes, errors, wait=ANSWER_TIMEOUT, enough=1)
        if not views:
            raise nobody_answered(errors)
        return await self._finish(views)

    async def _look_at_all(self, known: Topology) -> Topology:
        """Ask every node of a small cluster, some of a large one."""
        errors: dict[Address, BaseException] = {}
        probes = self._others(known, (), None)[: _MOST_OTHERS + 1]
        majority = len(probes) // 2 + 1
        views = await self._collect(probes, errors, wait=ANSWER_TIMEOUT, enough=majority)
        if not views:
            return await self._look_at_startup_nodes(errors, probes)
        return await self._finish(views)

    def _check_reachable(self, topology: Topology) -> None:
        nodes = [node for node in topology.nodes.values() if node.addressable]
        if nodes and all(self._probe(node.address).silent for node in nodes):
            log.warning(
                "announced_addresses_unreachable",
                addresses=sorted(str(TCPLocation(*node.address)) for node in nodes),
                cure="give address_remap, or let the nodes announce what clients can reach;"
                " with TLS they need tls-cluster yes",
            )

    def _next(self, known: Topology, prefer: Collection[str]) -> NodeProbe | None:
        """Return the probe of the node whose turn it is; None where all are silent."""
        nodes = _by_id(known)
        wanted = [node for node in nodes if node.id in prefer]
        for some in (wanted, nodes):
            answering = [p for p in map(self._probe_of, some) if not p.silent]
            if answering:
                self._turn += 1
                return answering[self._turn % len(answering)]
        return None

    def _others(
        self, known: Topology, prefer: Collection[str], asked: NodeProbe | None
    ) -> list[NodeProbe]:
        """Return the probes of all nodes but ``asked``, those of ``prefer`` first."""
        nodes = _by_id(known)
        nodes.sort(key=lambda node: node.id not in prefer)
        probes = [probe for probe in map(self._probe_of, nodes) if probe is not asked]
        answering = [probe for probe in probes if not probe.silent]
        return answering or [probe for probe in probes if probe.due] or probes

    def _ask_silent_ones(self, known: Topology) -> None:
        """Ask the silent nodes whose pause is over; nobody waits for their answers."""
        for probe in map(self._probe_of, _by_id(known)):
            if probe.silent and probe.due and not probe.busy:
                probe.ask()

    def _probe_of(self, node: Node) -> NodeProbe:
        return self._probe(node.address)

    def _probe(self, address: Address) -> NodeProbe:
        probe = self._probes.get(address)
        if probe is None:
            probe = NodeProbe(self._class, self._settings, TCPLocation(*address))
            self._probes[address] = probe
        return probe

    async def _collect(
        self,
        probes: Iterable[NodeProbe],
        errors: dict[Address, BaseException],
        *,
        wait: float,
        enough: int,
    ) -> list[tuple[NodeProbe, Topology]]:
        """Return the answers that came within ``wait`` seconds, in the order of ``probes``.

        With ``enough`` answers of nodes in touch with the rest, only the grace is left for the
        others. Errors are added to ``errors``.
        """
        now = asyncio.get_running_loop().time
        began = now()
        deadline = began + wait
        expected = [probe for probe in probes if not probe.silent]
        tasks = {probe: probe.ask() for probe in probes}
        awaited = {tasks[probe] for probe in expected} or set(tasks.values())
        while awaited and now() < deadline:
            _, awaited = await asyncio.wait(
                awaited, timeout=deadline - now(), return_when=asyncio.FIRST_COMPLETED
            )
            views = [task.result() for task in tasks.values() if _answered(task)]
            if sum(map(in_touch, views)) >= enough:
                grace = min(max(_GRACE_MIN, now() - began), _GRACE_MAX)
                deadline = min(deadline, now() + grace)
            elif not awaited and not views:
                awaited = {task for task in tasks.values() if not task.done()}
        for probe, task in tasks.items():
            if not task.done():
                probe.silent = True
                errors[probe.address] = TimeoutError(f"no answer within {wait:g} s")
            elif (error := _error(task)) is not None:
                errors[probe.address] = error
        return [(probe, task.result()) for probe, task in tasks.items() if _answered(task)]

    # --- What becomes of the answers --------------------------------------------------------------

    async def _as_seen(self, answers: list[tuple[NodeProbe, Topology]]) -> Topology:
        """Return what the nodes say, at the addresses that clients should use."""
        # A node that was asked by two of its addresses has one voice.
        views = list({view.myself or id(view): view for _, view in answers}.values())
        merged = merge(views)
        await self._learn_endpoints(merged, answers)
        return at_addresses(merged, self.address_of)

    async def _finish(self, answers: list[tuple[NodeProbe, Topology]]) -> Topology:
        topology = tidy(await self._as_seen(answers))
        await self._forget_others({node.address for node in topology.nodes.values()})
        return topology

    async def _learn_endpoints(
        self, merged: Topology, answers: list[tuple[NodeProbe, Topology]]
    ) -> None:
        """Ask for the endpoints when nodes are new, and once in a while.

        Only CLUSTER SHARDS and SLOTS tell host names, which are preferred for TLS for instance.
        """
        now = asyncio.get_running_loop().time()
        keys = {(node.id, node.address) for node in merged.nodes.values() if node.addressable}
        if keys <= self._endpoints.keys() and now < self._learn_again_at:
            return
        self._learn_again_at = now + _LEARN_PERIOD
        shown: Mapping[str, Node] = {}
        for probe, view in answers:
            if not in_touch(view) and len(answers) > 1:
                continue
            try:
                shown = (await probe.endpoints()).nodes
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

    async def _forget_others(self, addresses: set[Address]) -> None:
        """Close the connections to whoever is no node of the cluster (any more)."""
        gone = [at for at, probe in self._probes.items() if at not in addresses and not probe.busy]
        await asyncio.gather(*(self._probes.pop(at).close() for at in gone))


def _answered(task: asyncio.Task[Topology]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


def _error(task: asyncio.Task[Topology]) -> BaseException | None:
    if task.cancelled():
        return exceptions.ConnectionError("the pool was left")
    return task.exception()


def _by_id(topology: Topology) -> list[Node]:
    """Return the nodes that can be reached, in an order that does not depend on the answers."""
    return sorted((n for n in topology.nodes.values() if n.addressable), key=lambda n: n.id)
