"""The control connections to the nodes of a cluster: whose turn it is, and what they answer."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection, Iterable

from actors.redis import exceptions
from actors.redis.config.locations import TCPLocation
from actors.redis.config.settings import ConnectionSettings
from actors.redis.discovery.bus_contacts import BusContacts
from actors.redis.discovery.endpoints import Answer
from actors.redis.discovery.node_probe import ANSWER_TIMEOUT, NodeProbe
from actors.redis.topology.merge_views import in_touch
from actors.redis.topology.model import Address, Node, Topology
from actors.redis.wire.connection import Connection

# Seconds in which each node that is not preferred is asked once, and the share of that by which it
# may be asked early: looks are not taken all the time.
_REST_PERIOD, _EARLY = 10.0, 0.1
# Seconds that the slower half of the nodes gets at least and at most, once the faster one answered.
_GRACE_MIN, _GRACE_MAX = 0.02, 0.1


class NodeProbes:
    """One control connection for each address, opened when needed.

    Args:
        connection_class: the class of the connections.
        settings: theirs.
        contacts: says which nodes may be out of touch with the others.
    """

    def __init__(
        self,
        connection_class: type[Connection],
        settings: ConnectionSettings,
        contacts: BusContacts,
    ) -> None:
        self._class = connection_class
        self._settings = settings
        self._contacts = contacts
        self._probes: dict[Address, NodeProbe] = {}
        self._turn = 0
        self._rest_asked_at = -math.inf

    async def close(self) -> None:
        """End all connections."""
        probes, self._probes = self._probes, {}
        await asyncio.gather(*(probe.close() for probe in probes.values()))

    async def keep(self, addresses: Collection[Address]) -> None:
        """Close the connections to whoever is no node of the cluster (any more)."""
        gone = [at for at, probe in self._probes.items() if at not in addresses and not probe.busy]
        await asyncio.gather(*(self._probes.pop(at).close() for at in gone))

    def silent(self, address: Address) -> bool:
        """Whether the node at ``address`` did not answer when it was last asked."""
        probe = self._probes.get(address)
        return probe is not None and probe.silent

    def of(self, node: Node) -> NodeProbe:
        """Return the probe of ``node``."""
        return self.at(node.address)

    def at(self, address: Address) -> NodeProbe:
        """Return the probe of the node at ``address``."""
        probe = self._probes.get(address)
        if probe is None:
            probe = NodeProbe(self._class, self._settings, TCPLocation(*address))
            self._probes[address] = probe
        return probe

    # --- Whose turn it is -------------------------------------------------------------------------

    def next(self, known: Topology, prefer: Collection[str], now: float) -> NodeProbe | None:
        """Return the probe of the node whose turn it is; None where all are silent."""
        nodes = _by_id(known)
        wanted = [node for node in nodes if node.id in prefer]
        if wanted and (another := self._next_of_rest(nodes, prefer, now)) is not None:
            return another
        for some in (wanted, nodes):
            answering = [node for node in some if not self.of(node).silent]
            if answering:
                # One that may have lost touch with the others is asked again before its turn.
                doubtful = [n for n in answering if self._contacts.doubtful(n.id)]
                hasty = [n for n in doubtful if not self._contacts.deaf(n.id)]
                self._turn += 1
                return self.of((hasty or answering)[self._turn % len(hasty or answering)])
        return None

    def _next_of_rest(
        self, nodes: list[Node], prefer: Collection[str], now: float
    ) -> NodeProbe | None:
        """Return the probe of a node that is not preferred, where it is time to ask one.

        Only other nodes can tell that they have forgotten those on which something is subscribed.
        """
        rest = [self.of(node) for node in nodes if node.id not in prefer]
        rest = [probe for probe in rest if not probe.silent and probe.connected]
        if not rest or now - self._rest_asked_at < _REST_PERIOD / len(rest) * (1 - _EARLY):
            return None
        self._rest_asked_at = now
        return min(rest, key=lambda probe: probe.asked_at)

    def others(
        self, known: Topology, prefer: Collection[str], asked: Collection[NodeProbe]
    ) -> list[NodeProbe]:
        """Return the probes of all nodes that were not ``asked``, those of ``prefer`` first."""
        nodes = _by_id(known)
        nodes.sort(key=lambda node: node.id not in prefer)
        probes = [probe for probe in map(self.of, nodes) if probe not in asked]
        answering = [probe for probe in probes if not probe.silent]
        return answering or [probe for probe in probes if probe.due] or probes

    def ask_silent_ones(self, known: Topology) -> None:
        """Ask the silent nodes whose pause is over; nobody waits for their answers."""
        for probe in map(self.of, _by_id(known)):
            if probe.silent and probe.due and not probe.busy:
                probe.ask()

    # --- What they answer -------------------------------------------------------------------------

    async def collect(
        self,
        probes: Iterable[NodeProbe],
        errors: dict[Address, BaseException],
        *,
        wait: float,
        enough: int | None,
    ) -> list[Answer]:
        """Return the answers that came within ``wait`` seconds, in the order of ``probes``.

        With ``enough`` answers of nodes in touch with the rest, only the grace is left for the
        others. None: half of those that have not failed are enough, and with one answer half a
        second is left. Errors are added to ``errors``.
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
            if views and enough is None:
                half = 2 * len(views) >= len(views) + len(awaited)
                deadline = min(deadline, now() + (_GRACE_MAX if half else ANSWER_TIMEOUT))
            elif enough is not None and sum(map(in_touch, views)) >= enough:
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


def _answered(task: asyncio.Task[Topology]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


def _error(task: asyncio.Task[Topology]) -> BaseException | None:
    if task.cancelled():
        return exceptions.ConnectionError("the pool was left")
    return task.exception()


def _by_id(topology: Topology) -> list[Node]:
    """Return the nodes that can be reached, in an order that does not depend on the answers."""
    return sorted((n for n in topology.nodes.values() if n.addressable), key=lambda n: n.id)
