"""The servers of the simulated world: nodes that publish in one order, and the fleet's record.

A node puts what it publishes into one order, and each of its connections gets that order, from when
it was made until it ends: the one fact that the protocol rests on. The record is on the first node;
what its script publishes reaches the other nodes over a bus.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING

from actors.worker.fleet.members import FleetSettings, Member
from actors.worker.fleet.messages import Commit, Prepare, Reply
from tests.worker.fleet.record import Record
from tests.worker.fleet.scheduler import Scheduler, Wire

if TYPE_CHECKING:
    from tests.worker.fleet.process import Process

# Seconds of the server's clock at the world's beginning.
EPOCH = 1_700_000_000


class Connection:
    """A process's connection to a node, with the control channel subscribed.

    Attributes:
        names: the subscribed names.
        is_open: whether the node sends anything on it.
    """

    def __init__(self, scheduler: Scheduler, process: Process, node: Node) -> None:
        self.process, self.node = process, node
        self.names: set[str] = set()
        self.is_open = True
        self.to_node, self._wire = Wire(scheduler), Wire(scheduler)

    def send_ready(self) -> None:
        """Acknowledge that the control channel is subscribed."""
        self._wire.send(lambda: self.process.do(lambda: self.process.ready(self)))

    def send(self, item: Prepare | Commit | tuple[str, int]) -> None:
        def arrive() -> None:
            if self.is_open:
                self.process.do(lambda: self.process.received(self, item))

        self._wire.send(arrive)

    def close(self) -> None:
        """End the connection at the node's side: what is on its way is lost."""
        if self.is_open:
            self.is_open = False
            self.node.connections.pop(self, None)
            self._wire.send(lambda: self.process.do(lambda: self.process.cut(self)))


class Node:
    def __init__(self, scheduler: Scheduler, name: str) -> None:
        self.name = name
        self.is_up = True
        self.connections: dict[Connection, None] = {}
        self.loses_control = False
        self.bus = Wire(scheduler)

    def publish(self, name: str, id: int) -> None:
        for connection in self.connections:
            if name in connection.names:
                connection.send((name, id))

    def publish_control(self, message: Prepare | Commit) -> None:
        if self.is_up and not self.loses_control:
            for connection in self.connections:
                connection.send(message)

    def cut_all(self) -> None:
        for connection in list(self.connections):
            connection.close()


class Servers:
    """All nodes, and the record."""

    def __init__(self, scheduler: Scheduler, settings: FleetSettings, nodes: int) -> None:
        self.scheduler, self.settings = scheduler, settings
        self.nodes = [Node(scheduler, f"node-{n}") for n in range(nodes)]
        self.record = Record(settings)
        self.snapshot = copy.deepcopy(self.record)
        self.lease_ends: dict[Member, int] = {}
        self.on_call: Callable[[Member, str, str, Reply, list[Prepare | Commit]], None]
        self.on_call = lambda *_: None

    @property
    def now_ms(self) -> int:
        return int((EPOCH + self.scheduler.now) * 1000)

    def call(self, me: Member, action: str, value: str) -> Reply | None:
        """Run the script; None where the server is down."""
        if not self.nodes[0].is_up:
            return None
        reply, published = self.record.call(self.now_ms, me, action, value)
        for lease in self.record.leases.values():
            # A record that lost its data does not take back what it granted.
            self.lease_ends[lease.member] = max(lease.ends, self.lease_ends.get(lease.member, 0))
        self.on_call(me, action, value, reply, published)
        for message in published:
            self.nodes[0].publish_control(message)
            for node in self.nodes[1:]:
                node.bus.send(lambda node=node, message=message: node.publish_control(message))
        return reply

    def count_subscribers(self, members: tuple[Member, ...]) -> dict[Member, int] | None:
        if not self.nodes[0].is_up:
            return None
        present = [connection.process.me for connection in self.nodes[0].connections]
        return {member: present.count(member) for member in members}

    def kill_connections(self, members: tuple[Member, ...]) -> None:
        for node in self.nodes:
            for connection in list(node.connections):
                if connection.process.me in members:
                    connection.close()

    def save(self) -> None:
        self.snapshot = copy.deepcopy(self.record)

    def forget_record(self) -> None:
        self.record = Record(self.settings)

    def go_down(self, seconds: float, data: str) -> None:
        """Restart the first node: with its ``data`` kept, lost, or as of the last snapshot."""
        node = self.nodes[0]
        node.is_up = False
        node.cut_all()
        if data == "lost":
            self.forget_record()
        elif data == "stale":
            self.record = copy.deepcopy(self.snapshot)

        def up() -> None:
            node.is_up = True

        self.scheduler.after(seconds, up)
