"""The subscription table against a model of three servers, in any order of events (P1, P7, P10).

The model is what the table cannot see: per connection the commands on their way, what the server
has subscribed, and the pushes on their way back. Pushes are told apart as ``Subscriber``
does it: an end of a subscription belongs to the oldest command that waits, or it is a revocation.

Places come out of thin air here; ``test_placed_machine`` takes them from a cluster that changes.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from actors.pubsub.model.types import Kind, Target
from actors.pubsub.table.state import (
    Command,
    GapEnded,
    Handover,
    NodeStatus,
    SetSource,
    Subscribe,
    Unsubscribe,
)
from actors.pubsub.table.table import Table

NODES = ("a", "b", "c")
TARGETS = tuple(Target(Kind.SHARD, name) for name in (b"x", b"y"))

nodes = st.sampled_from(NODES)
targets = st.sampled_from(TARGETS)
places = st.lists(nodes, unique=True, max_size=3).map(tuple)


Sent = Subscribe | Unsubscribe


@dataclass
class Connection:
    """One connection of one node, as the server and the wire have it."""

    #: Commands that the server has not seen.
    sent: deque[Sent] = field(default_factory=deque)
    #: Commands without an answer yet, the oldest first: the subscriber's side.
    pending: deque[Sent] = field(default_factory=deque)
    #: Answers and pushes that the client has not seen.
    pushes: deque[tuple[str, Target]] = field(default_factory=deque)
    subscribed: set[Target] = field(default_factory=set)

    def serve(self, *, refuse: bool = False) -> None:
        """Have the server carry out the next command."""
        command = self.sent.popleft()
        if isinstance(command, Unsubscribe):
            self.subscribed.discard(command.target)
            self.pushes.append(("unsubscribed", command.target))
        elif refuse:
            self.pushes.append(("error", command.target))
        else:
            self.subscribed.add(command.target)
            self.pushes.append(("subscribed", command.target))

    def revoke(self, target: Target) -> None:
        """Have the server end a subscription by itself."""
        self.subscribed.discard(target)
        self.pushes.append(("unsubscribed", target))


class TableMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.table = Table()
        self.now = 0.0
        self.wanted: dict[Target, tuple[str, ...]] = {}
        self.up: dict[str, Connection] = {}
        self.handovers: list[Handover] = []
        # What the commands say: the source, and the node that hands over to it.
        self.routes: dict[Target, tuple[str | None, str | None]] = dict.fromkeys(
            TARGETS, (None, None)
        )
        self.gaps: dict[Target, float] = {}
        self.doubted: set[str] = set()
        # Who takes over next, and of what.
        self.promoted: tuple[str, Target] | None = None

    @rule(node=nodes, of=targets)
    def promote(self, node: str, of: Target) -> None:
        self.promoted = node, of

    def tick(self) -> float:
        self.now += 1.0
        return self.now

    def run(
        self,
        commands: list[Command],
        *,
        given_up: Target | None = None,
        cleared: tuple[Target, ...] = (),
    ) -> None:
        """Carry out commands, and look at what they say about routes and gaps."""
        ended: dict[Target, GapEnded] = {}
        for command in commands:
            match command:
                case Subscribe(node, target) | Unsubscribe(node, target):
                    self.send(node, command)  # never to a node that is down
                case SetSource(target, node):
                    self.routes[target] = (node, None)
                case Handover(target, old, new):
                    assert self.routes[target] == (old, None)
                    self.routes[target] = (new, old)
                    self.handovers.append(command)
                case GapEnded(target):
                    assert target not in ended, "one gap, one report"
                    ended[target] = command
        self.check_gaps(ended, given_up, cleared)

    def check_gaps(
        self,
        ended: dict[Target, GapEnded],
        given_up: Target | None,
        cleared: tuple[Target, ...],
    ) -> None:
        for target in TARGETS:
            row = self.table.rows.get(target)
            since = row.gap_since if row is not None else None
            before = self.gaps.get(target)
            if target in ended:
                assert before == ended[target].since
                assert since is None
            elif before is not None:
                assert since == before or target in (given_up, *cleared), "a gap ends with a report"
            if since is not None:
                assert row is not None
                live = {node for node, actual in row.nodes.items() if actual is NodeStatus.LIVE}
                if row.gap_awaits is None:
                    assert live <= self.doubted, "no gap while it is surely live anywhere"
                else:
                    assert row.nodes[row.gap_awaits] is NodeStatus.SUBSCRIBING
                self.gaps[target] = since
            else:
                self.gaps.pop(target, None)

    # -- what users and the topology want ----------------------------------------------------------

    @rule(of=targets, where=places)
    def want(self, of: Target, where: tuple[str, ...]) -> None:
        self.wanted[of] = where
        self.run(self.table.want(of, where))

    @rule(of=targets)
    def unwant(self, of: Target) -> None:
        self.wanted.pop(of, None)
        self.run(self.table.unwant(of), given_up=of)

    @rule(of=targets)
    def drain(self, of: Target) -> None:
        self.wanted.pop(of, None)
        self.run(self.table.unwant(of, drain=True), given_up=of)

    @rule(of=targets, where=places)
    def place(self, of: Target, where: tuple[str, ...]) -> None:
        if of in self.wanted:
            self.wanted[of] = where
        self.run(self.table.place(of, where))

    @rule(of=targets)
    def open_gap(self, of: Target) -> None:
        self.table.open_gap(of, self.tick(), "not connected")
        self.run([])

    @rule(of=targets, node=nodes)
    def misplaced(self, of: Target, node: str) -> None:
        self.run(self.table.misplaced(node, of, self.tick(), "another node has the slot"))

    @rule(some=st.none() | st.lists(targets, unique=True))
    def retry(self, some: list[Target] | None) -> None:
        self.run(self.table.retry(some))

    # -- what connections do -----------------------------------------------------------------------

    @rule(node=nodes)
    def node_up(self, node: str) -> None:
        if node not in self.up:
            self.up[node] = Connection()
            self.run(self.table.node_up(node))

    @rule(node=nodes)
    def node_down(self, node: str) -> None:
        if node not in self.up:
            return
        del self.up[node]
        lost = [target for target in self.wanted if self.surely_live(target) == {node}]
        proof = self.tick()
        self.run(self.table.node_down(node, proof, "gone"))
        self.doubted.discard(node)
        assert all(self.gaps[target] == proof for target in lost)

    def surely_live(self, target: Target) -> set[str]:
        nodes = self.table.rows[target].nodes.items()
        return {node for node, state in nodes if state is NodeStatus.LIVE} - self.doubted

    @rule(node=nodes)
    def doubt(self, node: str) -> None:
        if node not in self.up or node in self.doubted:
            return
        lost = [target for target in self.wanted if self.surely_live(target) == {node}]
        self.doubted.add(node)
        proof = self.tick()
        self.table.doubt(node, proof, "silent")
        self.run([])
        assert all(self.gaps[target] == proof for target in lost)

    @rule(node=nodes, nothing_lost=st.booleans())
    def trust(self, node: str, nothing_lost: bool) -> None:
        rows = self.table.rows
        cleared = [t for t in self.gaps if nothing_lost and rows[t].gap_doubt == node]
        self.doubted.discard(node)
        commands = self.table.trust(node, self.tick(), nothing_lost=nothing_lost)
        self.run(commands, cleared=tuple(cleared))
        for target in self.gaps:
            assert self.surely_live(target) != {node} or rows[target].gap_awaits is not None

    def send(self, node: str, command: Sent) -> None:
        self.up[node].sent.append(command)
        self.up[node].pending.append(command)

    @precondition(lambda self: any(c.sent for c in self.up.values()))
    @rule(data=st.data(), refuse=st.booleans())
    def serve(self, data: st.DataObject, refuse: bool) -> None:
        busy = sorted(node for node, connection in self.up.items() if connection.sent)
        self.up[data.draw(st.sampled_from(busy))].serve(refuse=refuse)

    @precondition(lambda self: any(c.subscribed for c in self.up.values()))
    @rule(data=st.data())
    def revoke(self, data: st.DataObject) -> None:
        there = sorted((n, t) for n, c in self.up.items() for t in c.subscribed)
        node, target = data.draw(st.sampled_from(there))
        self.up[node].revoke(target)

    @precondition(lambda self: any(c.pushes for c in self.up.values()))
    @rule(data=st.data())
    def hear(self, data: st.DataObject) -> None:
        talking = sorted(node for node, connection in self.up.items() if connection.pushes)
        self._hear(data.draw(st.sampled_from(talking)))

    def _hear(self, node: str) -> None:
        connection, table = self.up[node], self.table
        what, target = connection.pushes.popleft()
        head = connection.pending[0] if connection.pending else None
        if what == "error":
            connection.pending.popleft()
            row = table.rows.get(target)
            called_off = (target,) if row is not None and row.gap_awaits == node else ()
            self.run(table.refused(node, target), cleared=called_off)
        elif what == "subscribed":
            assert head == Subscribe(node, target)
            connection.pending.popleft()
            self.run(table.confirmed(node, target, self.tick()))
        elif head == Unsubscribe(node, target):
            connection.pending.popleft()
            self.run(table.removed(node, target))
        else:
            promoted = self.promoted == (node, target)
            self.run(table.revoked(node, target, self.tick(), promoted=promoted))

    @precondition(lambda self: self.handovers)
    @rule(data=st.data())
    def handover_done(self, data: st.DataObject) -> None:
        # The oldest or a later one: of two that run, either may end first, and some are stale.
        index = data.draw(st.integers(0, len(self.handovers) - 1))
        done = self.handovers.pop(index)
        self.run(self.table.handover_done(done.target, done.old))

    # -- the end of it all -------------------------------------------------------------------------

    @rule()
    def settle(self) -> None:
        """Nothing new happens: all is carried out, and the table has what it wants."""
        for _ in range(30):
            for node, connection in self.up.items():
                while connection.sent:
                    connection.serve()
                while connection.pushes:
                    self._hear(node)
            while self.handovers:
                done = self.handovers.pop(0)
                self.run(self.table.handover_done(done.target, done.old))
            self.run(self.table.retry())
            if not any(c.sent for c in self.up.values()) and not self.handovers:
                break
        else:
            raise AssertionError("it never comes to rest")
        for target in TARGETS:
            self.check_rest(target)

    def check_rest(self, target: Target) -> None:
        there = {node for node, connection in self.up.items() if target in connection.subscribed}
        row = self.table.rows.get(target)
        if target not in self.wanted:
            assert not there, "nobody wants it, and a server has it"
            assert row is None
            return
        assert row is not None
        live = {node for node, actual in row.nodes.items() if actual is NodeStatus.LIVE}
        assert there == live, "what the table believes is what is"
        reachable = [node for node in self.wanted[target] if node in self.up]
        assert set(reachable) <= live
        if reachable:
            assert live == set(reachable), "a place that is none any more is left"
            assert row.source == reachable[0]
            assert row.leaving is None
            assert row.gap_since is None or set(reachable) <= self.doubted

    # -- always ------------------------------------------------------------------------------------

    @invariant()
    def wanted_targets_have_a_next_step(self) -> None:
        for target, where in self.wanted.items():
            row = self.table.rows[target]
            assert row.wanted
            assert row.places == where
            for node in where:
                # Somewhere on its way, or refused and to be asked again, or waiting for node_up.
                assert node in row.nodes or node in row.blocked or node not in self.up

    @invariant()
    def what_is_in_flight_has_a_command(self) -> None:
        for target, row in self.table.rows.items():
            for node, actual in row.nodes.items():
                pending = self.up[node].pending
                if actual is NodeStatus.SUBSCRIBING:
                    assert Subscribe(node, target) in pending
                elif actual is NodeStatus.UNSUBSCRIBING:
                    assert Unsubscribe(node, target) in pending

    @invariant()
    def the_source_is_one_live_node_and_the_commands_say_so(self) -> None:
        for target in TARGETS:
            row = self.table.rows.get(target)
            if row is None:
                assert self.routes[target] == (None, None)
                continue
            assert self.routes[target] == (row.source, row.leaving)
            live = [node for node in row.nodes if row.feeds(node)]
            assert row.source in live or row.source is None
            assert row.leaving in live or row.leaving is None
            assert row.leaving is None or row.source not in (None, row.leaving)
            if (row.wanted or row.draining) and live:
                assert row.source is not None, "live, and nobody listens"
            if row.leaving is not None:
                assert any(h.target == target and h.old == row.leaving for h in self.handovers)

    @invariant()
    def unwanted_targets_are_on_their_way_out(self) -> None:
        for target, row in self.table.rows.items():
            if target in self.wanted:
                continue
            assert not row.wanted
            assert row.source is None or row.draining
            assert row.nodes, "a row that says nothing is gone"
            assert NodeStatus.LIVE not in row.nodes.values()


TestTableMachine = TableMachine.TestCase
TestTableMachine.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, print_blob=True
)
