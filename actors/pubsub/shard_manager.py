"""The manager of shard subscriptions: moves them as slots, roles and connections move.

What it knows comes from three sides, and each alone is enough to act: the topology that the watch
reports; the connections, lost or silent; and what servers say to a subscription, revocations and
redirections. Where a channel belongs follows from that in ``placement``; what to do about it, in
the table.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from math import inf
from operator import attrgetter
from typing import Any

from actors.pubsub.manager import ManagerOptions, SubscriptionManager
from actors.pubsub.mates import Mates
from actors.pubsub.move_watch import MoveWatch
from actors.pubsub.parts import READERS_READY
from actors.pubsub.placement import Sight, standbys
from actors.pubsub.roles import Revocations, Roles, new_replicas, promoted
from actors.pubsub.seconds import first_of, is_second
from actors.pubsub.silence import Silences
from actors.pubsub.slot_places import SlotPlaces, TargetSlots
from actors.pubsub.table import HandOver, NodeId
from actors.pubsub.topology_watch import CALM, URGENT, TopologyChecked, WatchDesk
from actors.pubsub.tries import Tries
from actors.pubsub.types import Target
from actors.pubsub.used_slots import UsedSlots
from actors.redis.cluster_patch import move_slot
from actors.redis.cluster_pool import ClusterConnectionPool
from actors.redis.exceptions import (
    AskError,
    BusyLoadingError,
    ClusterDownError,
    MovedError,
    PrimaryDownError,
    RedisError,
    TryAgainError,
)
from actors.redis.locations import TCPLocation
from actors.redis.slots import SlotRange
from actors.redis.topology import Topology
from supervisor import ExitReason

__all__ = ["NodeFailed", "ShardManager"]

_places_of_row, _nodes_of_row = attrgetter("places"), attrgetter("nodes")

# Answers that say: not here, or not now.
_PASSING = (AskError, BusyLoadingError, ClusterDownError, PrimaryDownError, TryAgainError)

#: Seconds between two looks at what is not as it should be, and at what is.
_BUSY, _IDLE = 0.05, 0.25
#: Seconds for which both nodes feed a target when the source changes: longer than the cluster bus
#: is ever late.
_HAND_OVER = 0.1
#: Seconds by which the cluster bus may be late: seen were 32 ms at a replica, and 50 ms until a
#: primary knew of its successor, under load.
_BUS_LAG = 0.07
#: Seconds for which a slot that was taken from us is looked for on all nodes of its shard, at least
#: and at most: nodes may name the old owner for a while.
_SETTLING, _UNSETTLED = 0.5, 1.5
#: Seconds after which a reader that nothing is placed on is let go.
_UNUSED = 5.0
#: Most primaries that are asked for a slot that was taken from us.
_MOST_ASKED = 8
#: Second connections are made where each node may have so many, and so many at a time.
_ROOMY, _MOST_SECONDS = 4, 2
#: Seconds between two looks at which readers are needed, for each channel: one costs a tenth.
_PER_ROW = 0.000_003
#: Seconds between two attempts to subscribe to what is live elsewhere at nodes that refused it.
_RETRY = 0.25
#: Seconds between two attempts to connect to a node that a target has no other place than.
_HASTEN = 0.25


class NodeFailed:
    """A node could not be connected to."""

    __slots__ = ("node",)

    def __init__(self, node: NodeId) -> None:
        self.node = node


class Tick(Enum):
    """The manager's own timers."""

    LOOK = "look"
    PLACE = "place"
    WATCH = "watch"
    MOVES = "moves"
    JOBS = "jobs"


class _HandingOver:
    """A primary that hands over.

    Attributes:
        since: when it was last seen to hold its publishers for that.
        after: when it was seen last not to, before.
    """

    __slots__ = ("after", "since")

    def __init__(self, since: float, after: float) -> None:
        self.since = since
        self.after = after


class ShardManager(SubscriptionManager):
    """Keeps shard channels live; see the module's docstring."""

    def __init__(
        self, options: ManagerOptions, pool: ClusterConnectionPool, desk: WatchDesk, replicas: bool
    ) -> None:
        super().__init__(options)
        self.pool = pool
        self.desk = desk
        self.replicas_first = replicas
        self.topology = pool.topology
        self._compared = self.topology
        self._checked_at = 0.0
        # Nodes whose connection was lost, or could not be had, and when.
        self._down: dict[NodeId, float] = {}
        self._silences = Silences()
        # Primaries about to hand over, or that just did.
        self._handing_over: dict[NodeId, _HandingOver] = {}
        self._roles = Roles()
        self._revocations = Revocations()
        # Slots taken from us, each with since when.
        self._unsettled: dict[int, float] = {}
        self._places = SlotPlaces(lambda: (self.topology, self._sight()), self._place_soon)
        self._slots = TargetSlots(lambda: len(self.parts.book.subscriptions))
        self._used_slots = UsedSlots(
            lambda: self.router.table.changes,
            lambda: self.router.table.rows,
            self._slots.of,
        )
        self._idle_since: dict[NodeId, float] = {}
        self._look_due = inf
        self._hastened_at = 0.0
        self._retried_at = 0.0
        self._refusals = False
        self._placing, self._placed_at = False, -inf
        # How many slots each primary has, and the topology that says so.
        self._counted: tuple[Topology | None, dict[NodeId, int]] = (None, {})
        # Primaries that may have died: what is live on their replicas, and between which times
        # these may not have heard all.
        self._last_words: dict[NodeId, tuple[list[Target], float, float]] = {}
        # Nodes that took something from us.
        self._to_watch: set[NodeId] = set()

    async def on_start(self) -> None:
        """Make a router; take reports."""
        self.loop = self.context.system.loop
        self._checked_at = self.loop.time()
        self._mates = Mates(self.loop.time)
        self._mates.note(self.topology)
        self.moves = MoveWatch(
            self.loop.time,
            self._used_slots,
            self._runs_of,
            self._moves_changed,
            self._hands_over,
        )
        await super().on_start()
        self._tries = Tries(self.router, self.moves, self.slot, self._used_slots.targets_in)
        self.desk.report = self.context.self_ref.tell
        self.desk.prefer = lambda: {first_of(node) for node in self.readers}
        self._look_again(self.loop.time(), _IDLE)
        self.context.timers.after(_IDLE, Tick.MOVES)

    async def on_stop(self, reason: ExitReason) -> None:
        """Take no more reports."""
        self.desk.report = lambda _: None
        await super().on_stop(reason)

    async def receive(self, message: Any) -> None:
        """Take a report, look after everything, or do what every manager does."""
        match message:
            case TopologyChecked(_, asked_at):
                self._topology_checked(asked_at)
            case NodeFailed():
                self._node_failed(message.node)
            case Tick.LOOK:
                self._look()
            case Tick.PLACE:
                self.place_readers()
            case Tick.WATCH:
                while self._to_watch:
                    self.moves.watch(self._to_watch.pop())
            case Tick.MOVES:
                self._watch_moves()
            case Tick.JOBS:
                self._try_jobs()
            case _:
                await super().receive(message)
                if message is READERS_READY:
                    self.parts.ready.set()  # a cluster can be subscribed to without connections
                self._place_soon()

    # -- placement ---------------------------------------------------------------------------------

    def slot(self, target: Target) -> int:
        """Return the slot of a shard channel."""
        return self._slots[target]

    def places(self, target: Target) -> tuple[NodeId, ...]:
        """Return where ``target`` should be live, best first."""
        return self._places.all()[self._slots[target]]

    def places_of(self, targets: Iterable[Target]) -> list[tuple[NodeId, ...]]:
        """Return where each of ``targets`` should be live."""
        return list(map(self._places.all().__getitem__, self._slots.of(targets)))

    def _sight(self) -> Sight:
        connected = [] if not self._unsettled else list(self.router.links)
        nodes = self.topology.nodes
        primaries = [node for node in connected if node in nodes and nodes[node].is_primary]
        if len(primaries) > 1:
            # Slots move to where there are few: that one is asked first.
            counts = self._slot_counts()
            primaries.sort(key=lambda node: counts.get(node, 0))
        return Sight(
            self._down.keys(),
            self._silences.silent,
            self._handing_over.keys(),
            self._unsettled.keys(),
            self.moves.moves.sources.keys(),
            tuple(primaries[:_MOST_ASKED]),
            self.moves.moves.targets,
            self.replicas_first,
            self._roles.unsure.keys(),
        )

    def _slot_counts(self) -> dict[NodeId, int]:
        """Return how many slots each primary has; counted once for each topology."""
        if self._counted[0] is not self.topology:
            counts = {
                shard.primary.id: sum(run.end - run.start + 1 for run in shard.slots)
                for shard in self.topology.shards
                if shard.primary is not None
            }
            self._counted = self.topology, counts
        return self._counted[1]

    def hopeless(self, target: Target) -> bool:
        """Return whether no node that should take ``target`` can be connected to."""
        down = self._down
        return bool(down) and all(first_of(node) in down for node in self.places(target))

    def group(self, target: Target) -> int:
        """Return the slot: channels of different slots cannot share a command (P4)."""
        return self.slot(target)

    def asking(self, node: NodeId, target: Target) -> bool:
        """Return whether ``node`` is importing the target's slot."""
        return self.moves.moves.targets.get(self.slot(target)) == first_of(node)

    def same_stream(self, node: NodeId, other: NodeId) -> bool:
        """Return whether two nodes are of one shard."""
        return self._mates.are(first_of(node), first_of(other))

    def trusted(self, node: NodeId) -> bool:
        """Return whether ``node`` answers, and hears what its primary accepts."""
        node = first_of(node)
        return node not in self._silences and not self._roles.returning(node)

    def complete(self, node: NodeId, heard: float, taken: Target | None = None) -> float:
        """Return until when ``node`` delivered all that was accepted in its shard.

        A primary hands over at some time after it was last seen not to; what its successor accepts
        from then on may come too late to it. Where that was not seen, the primary hears over the
        bus that it has a successor. A replica is behind by the bus, as long as there is a primary
        that accepts messages.
        """
        node = first_of(node)
        if node in self._handing_over:
            return min(heard, self._handing_over[node].after)
        known = self.topology.nodes.get(node)
        if known is None or known.is_primary:
            unseen = taken is not None and self.slot(taken) in self._unsettled
            return heard - _BUS_LAG if unseen else heard
        ended = self._down.get(known.primary_id or "")
        if ended is not None and heard - ended >= _BUS_LAG:
            return heard  # of the dead one nothing is on its way any more
        return heard - _BUS_LAG

    def giver(self, node: NodeId, target: Target) -> NodeId | None:
        """Return the primary of the replica ``node`` that gives the target's slot away."""
        taker = self.moves.moves.targets.get(self.slot(target))
        known = self.topology.nodes.get(node)
        if taker is None or known is None or known.is_primary or self.same_stream(node, taker):
            return None
        return known.primary_id

    def linger(self, hand_over: HandOver) -> float | None:
        """Return how long both nodes feed a target."""
        if not self.trusted(hand_over.old):
            return 0.0
        if self.same_stream(hand_over.old, hand_over.new):
            return _HAND_OVER
        if self.asking(hand_over.new, hand_over.target):
            return None  # until the slot has moved: both own it in turn, neither repeats the other
        return _HAND_OVER

    def _replace(self) -> None:
        self._places.clear()
        self.router.replace()
        self._place_soon()

    # -- what is reported --------------------------------------------------------------------------

    def lost(self, node: NodeId) -> bool:
        """A connection ended: its channels move to the shard's other nodes at once (P6)."""
        if is_second(node):
            return False  # the first connection says what is to be done
        now = self.loop.time()
        self._down.setdefault(node, now)
        self._silences.forget(node)
        if self.replicas_first:
            self._note_last_words(node, now)
        # Where all of them end, nothing is to be done about it, and nobody would come to do it.
        return not self.parts.winding_down and self._changed()

    def _note_last_words(self, node: NodeId, now: float) -> None:
        """If ``node`` is a primary, and died, what it had not passed on died with it."""
        shard = self.topology.shard_of(node)
        if shard is None or shard.primary is None or shard.primary.id != node:
            return
        since = now - _BUS_LAG
        replicas = [replica.id for replica in shard.replicas]
        self._last_words[node] = self.router.table.live_since(replicas, since), since, now

    def found(self, node: NodeId) -> bool:
        """A node is connected."""
        if is_second(node) or (node not in self._down and not self._unsettled):
            return False
        self._last_words.pop(node, None)
        known = self.topology.nodes.get(node)
        if self._down.pop(node, None) and self.replicas_first and known and not known.is_primary:
            now = self.loop.time()
            self._roles.back(node, now)
            self.router.doubt(node, now, "the node was away")
        return self._changed()

    def _changed(self) -> bool:
        self._places.clear()
        self._place_soon()
        self.desk.look()
        return True

    def _node_failed(self, node: NodeId) -> None:
        if node not in self._down and not is_second(node):
            self._down[node] = self.loop.time()
            self.desk.look()
            self._replace()
            self.router.queue_hopeless("no connection could be had")

    def revoked(self, node: NodeId, target: Target) -> bool:
        """A node took a target away: because the slot moves, or because its shard changes (P5)."""
        node, slot = first_of(node), self.slot(target)
        moves, now = self.moves.moves, self.loop.time()
        # Not where replicas are listened to: one may have given it up long before its primary.
        gone_on = not self.replicas_first and moves.is_over(slot, now)
        if gone_on and moves.targets.get(slot) == node:
            moves.forget(slot)  # it came a while ago, and goes on now
        new = moves.targets.get(slot)
        if new is not None and new in self.topology.nodes:
            if new != node:
                moves.changed_hands(slot, now)
                self._repeat(new, target)
                if self._is_early(node, target):
                    return False
                self.topology = move_slot(self.topology, slot, new)
            # Else it is the new owner that takes over, and is asked again.
            self._places.drop(slot)
            self._place_soon()
            self.desk.confirm()
            return False
        shard = self.topology.shard_for(slot)
        mates = [] if shard is None else [mate.id for mate in shard.nodes]
        former = next((mate for mate in mates if mate in self._handing_over), None)
        if former is None:
            self._unsettled[slot] = self.loop.time()
            self._roles.taken(node, mates, self.loop.time())
            # If it is a move that nobody saw, there may be more of them. First this one.
            if not self._to_watch:
                self.context.self_ref.tell(Tick.WATCH)
            self._to_watch.add(node)
            self._places.drop(slot)
            self._place_soon()
        self.desk.look()
        return self._revocations.promoted(
            node,
            target,
            replica=shard is not None and any(node == replica.id for replica in shard.replicas),
            former=former,
            now=self.loop.time(),
        )

    def _is_early(self, node: NodeId, target: Target) -> bool:
        """Whether ``node`` is a replica, and its primary goes on with ``target`` for a moment.

        A replica may hear first that the slot has a new owner. Its primary accepts messages until
        it hears so itself, and says so then.
        """
        row, giver = self.router.table.rows.get(target), self.giver(node, target)
        return row is not None and row.is_live(giver)

    def _repeat(self, node: NodeId, target: Target) -> None:
        """``node`` owns the slot of ``target`` from now on, and ended what it took before that.

        It says so, perhaps after those who publish were sent there: it is asked before all else.
        """
        link, row = self.router.links.get(node), self.router.table.rows.get(target)
        # Where it is being left, it is not asked again.
        if link is not None and row is not None and row.wanted and row.asked(node):
            link.repeat(target.kind, target.name)

    def redirected(self, node: NodeId, targets: list[Target], error: RedisError) -> bool:
        """Follow MOVED; wait for what passes."""
        if isinstance(error, MovedError):
            if all(self._is_early(node, target) for target in targets):
                self._refusals = True
                return True
            if not self._follow(node, error):
                return True  # it names the owner that we know
            self.router.replace(targets)
        elif not isinstance(error, _PASSING):
            return False
        self._refusals = True
        self._place_soon()
        self.desk.look()
        return True

    def _follow(self, node: NodeId, error: MovedError) -> bool:
        """Take what a MOVED says; return whether it is news."""
        link = self.router.links.get(node)
        location = None if link is None else link.connection.location
        asked = (location.host, location.port) if isinstance(location, TCPLocation) else None
        reached = self.pool.resolve((error.host, error.port), asked=asked)
        owner = None if reached is None else self.topology.at(reached)
        if owner is None:
            return True
        known = self.topology.primary_for(error.slot)
        if known is not None and known.id == owner.id:
            return False
        if not owner.is_primary and known is not None and owner.primary_id == known.id:
            # Roles are the topology's to tell, and any node of the shard takes a subscription. The
            # others go on to name the former primary for a while.
            return True
        if owner.failing or owner.id in self._down or owner.id in self._silences:
            return True  # some nodes name a dead one for a while
        if known is not None and known.id == node:
            self.moves.watch(node)
        self.pool.note_moved(error.slot, (error.host, error.port), asked=asked)
        self.topology = self.pool.topology
        self._unsettled.pop(error.slot, None)
        self._places.drop(error.slot)
        return True

    def _topology_checked(self, asked_at: float) -> None:
        # Not the one that was reported: what a server said since then is newer.
        topology = self.topology = self.pool.topology
        old, self._compared = self._compared, topology
        for owner in topology.primaries:
            self.moves.note(
                owner.id,
                {
                    slot: target
                    for slot, target in topology.migrating.items()
                    if topology.primary_for(slot) == owner
                },
            )
        if topology != old:
            self._mates.note(topology)
            self._roles.note(old, topology, self.loop.time())
            self._settle_roles(new_replicas(old, topology), asked_at)
            self._find_misplaced(old, topology)
            for primary in promoted(old, topology).values():
                if last := self._last_words.pop(primary, None):
                    self.router.missed(*last, "the primary died")
            known = topology.nodes.keys()
            self._down = {node: at for node, at in self._down.items() if node in known}
            self._silences.keep(known)
            self._last_words = {k: v for k, v in self._last_words.items() if k in known}
            self._replace()
            self.router.finish_hand_overs(self.linger)
        self._checked_at = asked_at

    def _settle_roles(self, replicas: set[NodeId], asked_at: float) -> None:
        """Slots were taken from us because nodes changed their roles: where they are is known."""
        for slot, since in list(self._unsettled.items()):
            shard = self.topology.shard_for(slot)
            if since < asked_at and shard and any(node.id in replicas for node in shard.replicas):
                del self._unsettled[slot]

    def _find_misplaced(self, old: Topology, new: Topology) -> None:
        """Find the sources that changed their shard: no server says so to their subscribers."""
        for node in {row.source for row in self.router.table.rows.values() if row.source}:
            before, after = old.nodes.get(node), new.nodes.get(node)
            if before is None or after is None or before.is_primary or after.is_primary:
                continue
            if before.primary_id == after.primary_id:
                continue
            shard = new.shard_of(node)
            stays = shard.slots if shard is not None else ()
            lost = [
                target
                for target, row in self.router.table.rows.items()
                if row.source == node
                and not any(start <= self.slot(target) <= end for start, end in stays)
            ]
            self._places.clear()
            self.router.misplaced(node, lost, self._checked_at, "the replica changed its primary")

    def _hands_over(self, node: NodeId) -> None:
        """A primary holds its publishers until a replica has taken over: be there, too (P7)."""
        now = self.loop.time()
        if node in self._handing_over:
            self._handing_over[node].since = now
            return
        for mate in [mate for mate in self._handing_over if self.same_stream(mate, node)]:
            del self._handing_over[mate]
        free = self.moves.free.get(node, now)
        self._handing_over[node] = _HandingOver(now, free)
        self._revocations.forget(node, free)
        self._replace()
        self.desk.look()

    # -- slots on the move -------------------------------------------------------------------------

    def _watch_moves(self) -> None:
        """Ask the primaries that we listen on what they are about to do."""
        nodes = self.topology.nodes
        links = {
            node: link
            for node, link in self.router.links.items()
            if node in nodes and nodes[node].is_primary and node not in self._silences
        }
        counts = self._slot_counts()
        delay = self.moves.tick(links, len(nodes), {n for n in links if not counts.get(n)})
        self.context.timers.after(delay, Tick.MOVES)

    def _try_jobs(self) -> None:
        pause = self._tries.again(self.loop.time())
        if pause is not None:
            self.context.timers.after(pause, Tick.JOBS)

    def accepted(self, node: NodeId, target: Target) -> None:
        """Hear that ``node`` took ``target``: a move in one step may be at its end."""
        if self.moves.moves.jobs and self.asking(node, target):
            self.moves.taken(self.slot(target))

    def _runs_of(self, node: NodeId) -> Iterable[SlotRange]:
        shard = self.topology.shard_of(node)
        owns = shard is not None and shard.primary is not None and shard.primary.id == node
        return shard.slots if shard is not None and owns else ()

    def _moves_changed(self, slots: set[int]) -> None:
        for slot in slots:
            self._places.drop(slot)
        targets = self._used_slots.targets_in(slots)
        self.router.replace(targets)
        self.router.retry(targets)
        self._try_jobs()
        self._place_soon()

    # -- the look ----------------------------------------------------------------------------------

    def _look(self) -> None:
        """Look after what no event brings up."""
        now = self.loop.time()
        orphans = self._look_for_silence(now, now - self._look_due)
        if self._unsettled or self._handing_over:
            self._look_for_settled(now)
        if self._roles.expire(now):
            self._replace()
        for node in self._roles.trusted(self.topology):
            if node not in self._silences:
                self.router.trust(node, nothing_lost=False)
                self.router.retrust()
        self._revocations.expire(now - 2 * _UNSETTLED)
        homeless = self.router.homeless()
        if self._refusals and now - self._retried_at > _RETRY:
            self._refusals, self._retried_at = False, now
            self.router.retry()
        elif homeless:
            self.router.retry(homeless)
        self.desk.interval = URGENT if homeless or self._unsettled else CALM
        if homeless:
            self._refusals = True
            if self._hasten(now):
                self.desk.look()
        self._let_go_unused(now)
        merging = self.router.expire()
        busy = (
            homeless
            or self._unsettled
            or self._handing_over
            or self._refusals
            or self._silences.pinged
            or orphans
            or merging
        )
        self._look_again(now, _BUSY if busy else _IDLE)

    def _look_again(self, now: float, seconds: float) -> None:
        self._look_due = now + seconds
        self.context.timers.after(seconds, Tick.LOOK)

    def _look_for_settled(self, now: float) -> None:
        at_home = dict.fromkeys(self._unsettled, True)
        for target, row in self.router.table.rows.items():
            slot = self.slot(target)
            if slot in at_home:
                owner = self.topology.primary_for(slot)
                at_home[slot] &= owner is not None and first_of(row.source or "") == owner.id
        settled = [
            slot
            for slot, since in self._unsettled.items()
            if now - since > (_SETTLING if at_home[slot] else _UNSETTLED)
        ]
        over = [n for n, it in self._handing_over.items() if now - it.since > _UNSETTLED]
        for slot in settled:
            del self._unsettled[slot]
        for node in over:
            del self._handing_over[node]
        if settled or over:
            self._replace()

    def _look_for_silence(self, now: float, late: float) -> bool:
        """Do without the nodes that fell silent; return whether there are orphans.

        Those are replicas of a dead primary. They have nothing to deliver, and one of them will
        take its targets away when it is promoted: the gap begins with the latest sign of life
        before that.
        """
        nodes = self.topology.nodes
        links = self.router.links
        orphans = {node for node in links if node in nodes and nodes[node].primary_id in self._down}
        news = self._silences.look(links, orphans, now, inf if self.router.paused else late)
        for node in news.found:
            self.router.trust(node, nothing_lost=True)
        for node in news.lost:
            self.router.doubt(node, links[node].connection.proof, "the node fell silent")
            self.desk.look()
        if news.found or news.lost:
            self._replace()
            self.router.retrust()
        return bool(orphans)

    def _hasten(self, now: float) -> bool:
        """Connect to the nodes that something has no other place than."""
        if now - self._hastened_at < _HASTEN:
            return False
        self._hastened_at = now
        for node in {node for places in self._places_in_use() for node in places}:
            if node in self.readers and node not in self.router.links:
                self.parts.hasten_reader(self.readers[node])
        return True

    def _places_in_use(self) -> set[tuple[NodeId, ...]]:
        return set(self.places_of(self.router.homeless()))

    # -- readers -----------------------------------------------------------------------------------

    def _place_soon(self) -> None:
        if self._placing:
            return
        self._placing = True
        # At once, but with many channels not all the time: it looks at all of them.
        rows = len(self.parts.book.subscriptions)
        left = self._placed_at + _PER_ROW * rows - self.loop.time()
        if left > 0:
            self.context.timers.after(left, Tick.PLACE)
        else:
            self.context.self_ref.tell(Tick.PLACE)

    def place_readers(self) -> None:
        """Have a reader for each node in use, and for none that left the cluster."""
        self._placing, self._placed_at = False, self.loop.time()
        known = self.topology.nodes
        used = self._used()
        for node in [*used, *self._standbys(used)]:
            where = known.get(first_of(node))
            if where is not None and node not in self.readers and self._has_room(node):
                name = f"{where.host}:{where.port} {where.id[:8]}"
                self.keep_reader(node, f"{name} (second)" if is_second(node) else name)
        for node in [node for node in self.readers if first_of(node) not in known]:
            self.readers[node].request_stop()

    def _has_room(self, node: NodeId) -> bool:
        """Whether ``node`` may have a connection: a second one is never one that others lack."""
        if not is_second(node):
            return True
        pool, seconds = self.pool, sum(map(is_second, self.readers))
        if pool.max_connections_per_node:
            return pool.max_connections >= _ROOMY
        return len(self.readers) + 1 <= pool.max_connections // 2 and seconds < _MOST_SECONDS

    def _used(self) -> set[NodeId]:
        rows = self.router.table.rows.values()
        # Tens of thousands of rows, and a handful of nodes: without a line of ours for each row.
        return set().union(*set(map(_places_of_row, rows)), *map(_nodes_of_row, rows))

    def _standbys(self, used: set[NodeId]) -> set[NodeId]:
        pool = self.pool
        most = None if pool.max_connections_per_node else pool.max_connections // 2
        firsts = {node for node in used if not is_second(node)}
        return standbys(self.topology, firsts, self._down, most)

    def _let_go_unused(self, now: float) -> None:
        if len(self.readers) == len(self._idle_since) == 0:
            return
        used = self._used()
        used |= self._standbys(used)
        for node in list(self.readers):
            if node in used:
                self._idle_since.pop(node, None)
            elif now - self._idle_since.setdefault(node, now) > _UNUSED:
                self._idle_since.pop(node, None)
                self.readers[node].request_stop()

    def reader_ended(self, ref: Any, reason: Any) -> None:
        """A reader ended for good."""
        for node in [node for node, other in self.readers.items() if other is ref]:
            self._idle_since.pop(node, None)
            self._down.pop(node, None)
            if is_second(node):
                del self.readers[node]  # a help, while it lasts: nothing fails with it
                return
        super().reader_ended(ref, reason)
        self._place_soon()
