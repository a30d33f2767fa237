"""Watches the nodes that we listen on for what they are about to do (P6).

The questions go over the connections that are there; how often each is asked, says ``rhythm``:

- which slots are leaving the node, one by one or in one step, and where to;
- whether publishers are held, which a primary does that is handing over to a replica, or giving
  slots away in one step.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from actors.pubsub.cluster.jobs import BELIEVED, FEW, MOST_AHEAD, parse_jobs
from actors.pubsub.cluster.moves import Moves, parse_setslot
from actors.pubsub.cluster.rhythm import (
    LEAST,
    SELDOM,
    SPEAKS,
    Question,
    Situation,
    hint_interval,
    interval,
)
from actors.pubsub.cluster.used_slots import UsedSlots
from actors.pubsub.connection.subscriber import Subscriber
from actors.pubsub.table.state import NodeId
from actors.redis.topology.slots import SlotRange

__all__ = ["MoveWatch"]

#: Seconds between two ticks at the least.
_TICK = LEAST
#: Seconds for which a node is watched closely after a slot of it was seen to move.
_MOVING = 2.0
#: Seconds over which messages are counted.
_COUNTED = 0.25

_CONNECTED = re.compile(rb"connected_clients:(\d+)")
_SUBSCRIBED = re.compile(rb"pubsub_clients:(\d+)")


class _Pace:
    """What is known of one connection, for the next questions.

    Attributes:
        last: when each question was asked last.
        asked: the questions on their way.
        unknown: questions that the server does not answer, or keeps the answer from us.
        sharers: how many clients of the server may ask as we do.
        jobs: how many moves in one step the server's answer had: those that are over, too.
        clients: how many the server had, of any kind, when it was asked last.
        hinted: when moves in one step were asked about last because there were more clients.
        rate: how many messages come in a second.
    """

    def __init__(self, subscriber: Subscriber) -> None:
        self.subscriber = subscriber
        self.last: dict[Question, float] = {}
        self.asked: dict[Question, float] = {}
        self.unknown: set[Question] = {Question.COUNT}
        self.sharers = 1
        self.jobs = 0
        self.clients = 0
        self.hinted = 0.0
        self.rate = 0.0
        self._spoke_at = 0.0
        self._received = 0
        # Since when messages are counted, and how many there had been then.
        self._counted = (0.0, subscriber.received)

    def speaks(self, now: float) -> bool:
        """Whether messages come, or came a moment ago."""
        if self.subscriber.received != self._received:
            self._received, self._spoke_at = self.subscriber.received, now
        since, before = self._counted
        if now - since >= _COUNTED:
            self.rate = (self._received - before) / (now - since)
            self._counted = now, self._received
        return now - self._spoke_at < SPEAKS


class MoveWatch:
    """Asks, and keeps what is known.

    Attributes:
        moves: what is known.
        free: when a primary was asked last that did not hold its publishers.

    Args:
        now: returns the time in seconds.
        used: the slots of interest.
        runs_of: returns the slots that a node owns.
        changed: called with the slots whose target is another one now.
        handing_over: called with a node that is about to hand over to a replica.
    """

    def __init__(
        self,
        now: Callable[[], float],
        used: UsedSlots,
        runs_of: Callable[[NodeId], Iterable[SlotRange]],
        changed: Callable[[set[int]], None],
        handing_over: Callable[[NodeId], None],
    ) -> None:
        self.moves = Moves()
        self.free: dict[NodeId, float] = {}
        self._now = now
        self._used = used
        self._runs_of = runs_of
        self._changed = changed
        self._failovers = handing_over
        self._paces: dict[NodeId, _Pace] = {}
        # Where single slots go to, by the node that they leave, and when that was seen last.
        self._single: dict[NodeId, tuple[set[NodeId], float]] = {}
        # Nodes that have no slots, or had none when the first one came.
        self._new: set[NodeId] = set()

    def watch(self, node: NodeId) -> None:
        """Watch ``node`` closely for a while: a slot has left it, or is leaving."""
        known = node in self.moves.sources
        self.moves.sources[node] = self._now() + _MOVING
        if not known:
            # Where replicas are listened to, the node itself is from now on, too.
            self._report(set(self._used.all()))

    def note(self, node: NodeId, under_way: Mapping[int, str]) -> None:
        """Take what somebody else found: slots of ``node`` on their way."""
        if under_way:
            now = self._now()
            self.moves.takers |= dict.fromkeys(under_way.values(), now + _MOVING)
            self._single[node] = set(under_way.values()), now
            self.watch(node)
            self._report(self.moves.note_setslot(under_way, self._used.among(under_way), now))
            target, *more = set(under_way.values())
            if not more:
                self._expect_others(node, target, now)

    def _expect_others(self, source: NodeId, target: NodeId, now: float) -> None:
        """One slot moves: so may the others of the node do, and all to a node that had none."""
        used, new = self._used, target in self._new
        if new and len(used.all()) - used.count(self._runs_of(target)) <= MOST_AHEAD:
            owned = set(used.within(self._runs_of(target)))
            others = [slot for slot in used.all() if slot not in owned]
        elif used.count(self._runs_of(source)) <= (MOST_AHEAD if new else FEW):
            others = used.within(self._runs_of(source))
        else:
            return
        self._report(self.moves.expect(target, others, now))

    def taken(self, slot: int) -> None:
        """The slot's target has taken a subscription."""
        if self.moves.jobs:
            self._report(self.moves.taken(slot, self._now()))

    def sharers(self) -> int:
        """Return how many clients of a node may do as we do, at the most."""
        return max((pace.sharers for pace in self._paces.values()), default=1)

    def tick(
        self, subscribers: Mapping[NodeId, Subscriber], nodes: int, empty: Collection[NodeId] = ()
    ) -> float:
        """Ask the primaries in ``subscribers`` what is due; return the seconds until the next time.

        Args:
            subscribers: by node.
            nodes: how many the cluster has: so many lines has the answer about single slots.
            empty: those that have no slots.
        """
        now = self._now()
        before = len(self.moves.sources)
        gone = self.moves.expire(now)
        self._new = (self._new & self.moves.takers.keys()).union(empty)
        sources = self.moves.sources
        self._report(gone if len(sources) == before else set(self._used.all()))
        delay = SELDOM
        for node, subscriber in subscribers.items():
            if node not in self._paces or self._paces[node].subscriber is not subscriber:
                self._paces[node] = _Pace(subscriber)
        speaking = {node for node in subscribers if self._paces[node].speaks(now)}
        # Where nobody has subscribed yet, those who ask are not seen: they are elsewhere.
        most = max((self._paces[node].sharers for node in subscribers), default=1)
        rate = sum(self._paces[node].rate for node in subscribers)
        ranges = self.moves.ranges(now)
        self._single = {k: v for k, v in self._single.items() if now - v[1] < BELIEVED}
        ends = self._single.keys() | set().union(*(takers for takers, _ in self._single.values()))
        for node in subscribers:
            pace = self._paces[node]
            new = node in empty or node in self.moves.takers
            here = Situation(
                leaving=node in sources,
                taking=node in self.moves.takers,
                waiting=bool(speaking) and node in empty,
                moving=bool(sources),
                speaking=node in speaking,
                nodes=nodes,
                subscribers=len(subscribers),
                sharers=most if new else pace.sharers,
                jobs=pace.jobs,
                ranges=node in ranges,
                imminent=ranges.get(node, False),
                single=node in ends,
                followed=node in self._single and self._single[node][0] <= subscribers.keys(),
                rate=rate,
            )
            delay = min(delay, self._ask_what_is_due(node, pace, here, now))
        for node in self._paces.keys() - subscribers.keys():
            del self._paces[node]
        return max(_TICK, delay)

    def _ask_what_is_due(self, node: NodeId, pace: _Pace, here: Situation, now: float) -> float:
        """Return the seconds until the next question is due."""
        delay = SELDOM
        for question in Question:
            every = interval(question, here)
            if every is None or question in pace.unknown:
                continue
            left = pace.last.get(question, 0.0) + every - now
            # A tick too early rather than a tick late.
            if left < _TICK / 2:
                self._ask(node, pace, question)
                pace.last[question], left = now, every
            delay = min(delay, left)
        pace.subscriber.send()
        return delay

    def _ask(self, node: NodeId, pace: _Pace, question: Question) -> None:
        if question in pace.asked or not pace.subscriber.connection.usable:
            return
        pace.asked[question] = self._now()

        def answered(reply: Any) -> None:
            self._heard(node, pace, question, reply, pace.asked.pop(question))

        pace.subscriber.put_query(question.value, answered)

    def _heard(
        self, node: NodeId, pace: _Pace, question: Question, reply: Any, asked_at: float
    ) -> None:
        if isinstance(reply, Exception):
            # A server that has no such thing, or a user who may not ask.
            pace.unknown.add(question)
        elif question is Question.SLOTS:
            for source, under_way in parse_setslot(reply, node).items():
                self.note(source, under_way)
        elif question is Question.JOBS:
            pace.jobs = len(reply)
            for job in parse_jobs(reply, node, self.moves.jobs):
                self.watch(job.source)
                self.moves.takers[job.target] = self._now() + _MOVING
                self._report(self.moves.note_job(job, self._used.all(), self._now()))
        elif question is Question.COUNT:
            pace.sharers = reply.count(b"\n")
        else:
            self._heard_clients(node, pace, reply, asked_at)

    def _heard_clients(self, node: NodeId, pace: _Pace, reply: bytes, asked_at: float) -> None:
        subscribed = _SUBSCRIBED.search(reply)
        if subscribed is not None:
            pace.sharers = int(subscribed[1])
        else:
            pace.unknown.discard(Question.COUNT)
        if b"paused_reason:" not in reply:
            pace.unknown.add(Question.CLIENTS)
        elif b"paused_reason:failover" in reply:
            self._failovers(node)
        else:
            self.free[node] = asked_at
            if b"paused_reason:slot_migration" in reply:
                self._report(self.moves.held(node, self._now()))
                self._ask_for_jobs(node, pace)
            else:
                self._count_clients(node, pace, reply)

    def _count_clients(self, node: NodeId, pace: _Pace, reply: bytes) -> None:
        found = _CONNECTED.search(reply)
        before, pace.clients = pace.clients, int(found[1]) if found is not None else 0
        # One more: it may be the other end of a move in one step.
        now = self._now()
        here = Situation(jobs=pace.jobs, sharers=pace.sharers)
        if 0 < before < pace.clients and now - pace.hinted >= hint_interval(here):
            pace.hinted = now
            self._ask_for_jobs(node, pace)

    def _ask_for_jobs(self, node: NodeId, pace: _Pace) -> None:
        """Ask at once: their own turn comes seldom where the log is long."""
        if node not in self.moves.ranges(self._now()) and Question.JOBS not in pace.unknown:
            self._ask(node, pace, Question.JOBS)
            pace.subscriber.send()

    def _report(self, slots: set[int]) -> None:
        if slots:
            self._changed(slots)
