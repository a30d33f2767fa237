"""One process of the simulated world: carries out what a FleetMember decides."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Any

from actors.worker.fleet import decisions as d
from actors.worker.fleet.member import FleetMember
from actors.worker.fleet.members import Member
from actors.worker.fleet.messages import Commit, Prepare, Reply
from tests.worker.fleet.scheduler import Wire
from tests.worker.fleet.server import Connection, Node

if TYPE_CHECKING:
    from tests.worker.fleet.world import World

# Seconds: until a call counts as unanswered, and between two attempts to connect.
_CALL_TIMEOUT = 0.5
_RECONNECT = 0.02
_SLOW_RECONNECT = 0.5


class Process:
    """Attributes: ``member``, what decides; ``alive`` and ``paused``, what faults change."""

    def __init__(self, world: World, me: Member) -> None:
        self.world, self.me = world, me
        self.scheduler = world.scheduler
        # Clocks run up to 4 in 100 too fast or too slow, from different beginnings.
        self._rate = 1 + self.scheduler.rng.uniform(-0.04, 0.04)
        self._offset = self.scheduler.rng.uniform(0, 1000)
        self.member = FleetMember(me, world.names, world.settings)
        self.alive, self.paused, self.ended, self.leaving = True, False, False, False
        self.stuck = False  # Its subscriptions are not acknowledged.
        self.wanted: set[str] = set()
        self._connections: dict[Node, Connection] = {}
        self._inbox: deque[Callable[[], None]] = deque()
        self._decisions: deque[d.Decision] = deque()
        self._busy = False
        self._calls, self._replies = Wire(self.scheduler), Wire(self.scheduler)
        self._alarm = inf
        for node in world.servers.nodes:
            self._connect(node)

    @property
    def clock(self) -> float:
        return self._offset + self.scheduler.now * self._rate

    # --- being a process ---------------------------------------------------------------------

    def do(self, step: Callable[[], None]) -> None:
        """Take a step, when the process is not stopped; never, when it is dead."""
        if self.alive and self.paused:
            self._inbox.append(step)
        elif self.alive:
            step()

    def resume(self) -> None:
        self.paused = False
        while self._inbox and self.alive and not self.paused:
            self._inbox.popleft()()

    def die(self, *, connections_stay: bool = False) -> None:
        """End at once. The connections of a machine that lost its power stay open."""
        self.alive = False
        for connection in [] if connections_stay else list(self._connections.values()):
            connection.close()

    def leave(self) -> None:
        self.leaving = True
        self.do(lambda: self._carry_out(self.member.leave(self.clock)))

    # --- connections -------------------------------------------------------------------------

    def _connect(self, node: Node) -> None:
        def attempt() -> None:
            if self.alive and not self.ended and node.is_up and not self.paused:
                connection = Connection(self.scheduler, self, node)
                connection.names = set(self.wanted)
                node.connections[connection] = None
                self._connections[node] = connection
                connection.send_ready()
            elif self.alive and not self.ended:
                self.scheduler.after(_RECONNECT, attempt)

        rng = self.scheduler.rng
        self.scheduler.after(rng.choice([_RECONNECT, _SLOW_RECONNECT]) * rng.random(), attempt)

    def ready(self, connection: Connection) -> None:
        """The control channel is subscribed on ``connection``."""
        if self._connections.get(connection.node) is connection:
            self._carry_out(self.member.connected(connection.node.name, self.clock))

    def cut(self, connection: Connection) -> None:
        """``connection`` has ended."""
        if self._connections.get(connection.node) is connection:
            del self._connections[connection.node]
            self._carry_out(self.member.disconnected(connection.node.name, self.clock))
            self._connect(connection.node)

    def received(self, connection: Connection, item: Prepare | Commit | tuple[str, int]) -> None:
        if self._connections.get(connection.node) is not connection or self.ended:
            return
        node = connection.node.name
        if isinstance(item, tuple):
            name, number = item
            if self.member.delivers(name, node, self.clock):
                self.world.delivered(self, name, number)
        else:
            self._carry_out(self.member.told(node, item, self.clock))

    # --- decisions ---------------------------------------------------------------------------

    def _carry_out(self, decisions: list[d.Decision]) -> None:
        self._decisions.extend(decisions)
        while self._decisions and not self._busy and self.alive:
            self._one(self._decisions.popleft())
        self._set_alarm()

    def _one(self, decision: d.Decision) -> None:
        self.world.trace(self.me, decision)
        match decision:
            case d.Call():
                self._call(decision)
            case d.Subscribe(names):
                self.wanted |= names
                self._send_names(lambda connection: connection.names.update(names))
            case d.Unsubscribe(names):
                self.wanted -= names
                self._send_names(lambda connection: connection.names.difference_update(names))
            case d.ReportLive(number):
                self._report_live(number)
            case d.Fence(members):
                self._busy = True
                self._ask(lambda: self.world.servers.kill_connections(members), self._fenced)
            case d.CountSubscribers(members):
                self._ask(lambda: self.world.servers.count_subscribers(members), self._counted)
            case d.StopDelivering():
                for node, connection in list(self._connections.items()):
                    del self._connections[node]
                    connection.close()
                    self._connect(node)
            case d.Left():
                self.scheduler.after(
                    self.scheduler.rng.choice([0.0, 0.01, 0.3]),
                    lambda: self.do(lambda: self._carry_out(self.member.worked_off(self.clock))),
                )
            case d.Ended():
                self.ended = True
                self.die()
            case d.Gained() | d.Lost() | d.WaitForId():
                pass

    def _send_names(self, change: Callable[[Connection], object]) -> None:
        for connection in self._connections.values():
            connection.to_node.send(lambda connection=connection: change(connection))

    def _report_live(self, number: int) -> None:
        """Report when all that was sent to the nodes so far has arrived there."""
        if self.stuck or len(self._connections) < len(self.world.servers.nodes):
            self.scheduler.after(_RECONNECT, lambda: self.do(lambda: self._report_live(number)))
            return
        waiting = set(self._connections)

        def arrived(node: Node) -> None:
            waiting.discard(node)
            if not waiting:
                self.do(lambda: self._carry_out(self.member.live(number, self.clock)))

        for node, connection in self._connections.items():
            connection.to_node.send(lambda node=node: arrived(node))

    def _call(self, call: d.Call) -> None:
        answered = False

        def finish(reply: Reply | None) -> None:
            nonlocal answered
            if not answered:
                answered = True
                if reply is None:
                    self._carry_out(self.member.unanswered(call, self.clock))
                else:
                    self._carry_out(self.member.replied(call, reply, self.clock))

        self._ask(lambda: self.world.servers.call(self.me, call.action, call.value), finish)
        self.scheduler.after(_CALL_TIMEOUT, lambda: self.do(lambda: finish(None)))

    def _ask(self, question: Callable[[], Any], take: Callable[[Any], None]) -> None:
        def arrive() -> None:
            answer = question()
            self._replies.send(lambda: self.do(lambda: take(answer)))

        self._calls.send(arrive)

    def _fenced(self, _: None) -> None:
        self._busy = False
        self._carry_out([])

    def _counted(self, subscribers: dict[Member, int] | None) -> None:
        self._carry_out(self.member.counted(subscribers, self.clock))

    def _set_alarm(self) -> None:
        due = self.member.wake_at()
        if due == inf:
            return
        time = max((due - self._offset) / self._rate, self.scheduler.now + 1e-6)
        if time < self._alarm:
            self._alarm = time
            self.scheduler.at(time, lambda: self.do(self._wake))

    def _wake(self) -> None:
        self._alarm = inf
        self._carry_out(self.member.tick(self.clock))
