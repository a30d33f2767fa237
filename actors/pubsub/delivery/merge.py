"""Merges what several nodes deliver of one target: each message passes once, in order (P7).

All nodes of a shard deliver the same messages, each node every message once. Some nodes are late:
the cluster bus takes milliseconds, under load tens of them. Messages of one publisher to one node
arrive in their order at every node; messages that two nodes accept while they change roles may
arrive in different orders. One node *leads*:

- A message from the leader passes at once.
- A message from another node has passed already, and is dropped; or the leader has yet to deliver
  it, and it is *held*. When the leader passes a later message, or is silent about the held one
  for ``memory`` seconds, then the held message passes: late is better than never.
- When its own node delivers a later message that has passed, or has yet to deliver one at the end
  of that time, the held message is *overtaken*: only the leader can still deliver it in order.
  After ``memory`` seconds it is dropped.
- A held message that may be older than the leader's subscription is dropped, too, because later
  messages may have passed already. How old a message may be: ``LAG`` seconds, or ``memory`` seconds
  as long as its node has delivered nothing that the leader, too, delivered.
- Each drop is reported as a gap.
- When another node becomes the leader, what was held of that node passes first, in order. What the
  former leader still delivers has passed, and is dropped.

How a repeat is recognised. Messages carry no number, so a message's *key* is its payload (with its
channel, where the target is a pattern). From the moment when a node is live, it will deliver every
message that passes: it *owes* those messages. The next message with the key of an owed one is taken
for the owed one, for ``OWED`` seconds. A node may also repeat the end of what passed before it was
live: in order for ``memory`` seconds, in any order for ``LAG`` seconds. On a busy machine the
cluster bus is later than that: a payload that came only once is taken for a repeat for ``late``
seconds, and reported as a doubt.

Equal payloads. Where a key is known to come more than once, nobody can decide whether a node that
has just become live repeats a message, or delivers a new one. Such a message is taken for a repeat,
and the *doubt* is reported as a gap before the next message passes.

Nodes of different shards never deliver the same message: they have different *streams*. While a
slot moves from one shard to another, messages from the new owner are held until the former owner
has ended the subscription. Then what was held of the new owner's replicas passes first, as far as
these were live before the new owner.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterable
from math import inf
from operator import attrgetter, itemgetter
from typing import Any

from actors.pubsub.delivery.merge_input import MergeInput, before
from actors.pubsub.delivery.merge_memory import DroppedMessages, PassedMessages, StreamKey

#: Seconds by which the nodes of a shard may be apart, with ample room.
MEMORY = 0.25
#: Seconds that a message takes from one node to another at most, when all is well.
LAG = 0.1
#: Seconds for which a node owes a message: after that long without a byte it counts as silent.
OWED = 1.25
_SINCE = attrgetter("since")
# Messages that are held of one node at the most.
_MOST = 8192


class Merge:
    """Several nodes feed one writer.

    Args:
        writer: the way to the consumer.
        now: returns the time in seconds.
        key: returns the key of a message.
        memory: seconds for which a node may repeat what passed before it was live.
        late: the same on a busy machine, ``OWED`` at most.
        dropped: called with the times between which messages were accepted that did not pass, or
            may not have, and with the reason.
    """

    def __init__(
        self,
        writer: Any,
        now: Callable[[], float],
        *,
        key: Callable[[Any], Any] = itemgetter("data"),
        memory: float = MEMORY,
        late: float = OWED,
        dropped: Callable[[float, float, str], None] = lambda _since, _until, _why: None,
    ) -> None:
        self.writer = writer
        self._key = key
        self._memory = memory
        self._late = late
        self.inputs: dict[Hashable, MergeInput] = {}
        self.leader: MergeInput | None = None
        self.now = now
        #: The stream of each node that is, or was, in the merge; kept by whoever adds the nodes.
        self.streams: dict[Hashable, Hashable] = {}
        self._passed = PassedMessages()
        # What another node delivers of these is dropped, too.
        self._gone = DroppedMessages(dropped)
        self._closed: list[MergeInput] = []
        # The node that leads, or led last.
        self._led: MergeInput | None = None

    def remember(self, keys: Iterable[Any], stream: Hashable, repeated: Iterable[Any] = ()) -> None:
        """Note what passed of ``stream`` before there was a merge: nodes may repeat it.

        Args:
            keys: of the messages that passed lately, in order.
            stream: which stream they are of.
            repeated: the keys that came more than once, also longer ago.
        """
        for key in keys:
            self._note((stream, key))
        self._passed.repeat((stream, key) for key in repeated)

    def add(
        self,
        node: Hashable,
        stream: Hashable,
        *,
        repeats: bool = True,
        since: float | None = None,
    ) -> MergeInput:
        """Return the way in for ``node``.

        Args:
            node: any name.
            stream: the same for nodes of one shard.
            repeats: it may deliver what passed already.
            since: when it became live; None: now.
        """
        end = self._passed.end
        feeder = self.inputs[node] = MergeInput(
            self, stream, self._passed.first if repeats else end, end
        )
        if since is not None:
            feeder.since = since
        return feeder

    def remove(self, node: Hashable) -> None:
        """Take ``node`` out of the merge; messages held of it still wait for the leader."""
        feeder = self.inputs.pop(node)
        if feeder is self.leader:
            self.leader = None
        elif feeder.held or feeder.overtaken:
            self._closed.append(feeder)

    def unite(self) -> Hashable:
        """Make all nodes one stream, also for the past; return the stream."""
        inputs = [*self.inputs.values(), *self._closed]
        streams = {*self.streams.values(), *(feeder.stream for feeder in inputs)}
        if len(streams) == 1:
            return streams.pop()
        one = object()
        self.streams = dict.fromkeys(self.streams, one)
        for feeder in [*inputs, *([] if self._led is None else [self._led])]:
            feeder.stream = one
        self._passed.unite(one)
        self._gone.unite(one)
        for feeder in inputs:
            self._know_again(feeder)
        return one

    def _know_again(self, feeder: MergeInput) -> None:
        """Drop the messages held of ``feeder`` that have passed, as the joined streams show."""
        waiting = [*feeder.overtaken, *feeder.held]
        feeder.overtaken.clear()
        feeder.held.clear()
        for message, came in waiting:
            if not self._known(feeder, self._key(message)):
                feeder.held.append((message, came))

    def lead(self, node: Hashable) -> None:
        """Make ``node`` the leader: what is held of it passes."""
        feeder = self.inputs[node]
        if feeder is self.leader:
            return
        if self._led is not None and feeder.ambiguous_at > self.now() - OWED:
            # The former leader is left, and does not deliver what was taken for its messages.
            self._gone.doubt(feeder.ambiguous_since - self._memory)
        self.leader = feeder
        # Nothing else tells when messages of nodes that left are due: they pass now.
        for closed in self._closed:
            self._release_in_order(closed)
        self._closed.clear()
        if self._led is not None and self._led.stream != feeder.stream:
            # The slot has moved. The new leader never delivers what only its replicas, which were
            # live before it, have got.
            for other in sorted(self._earlier_peers(feeder), key=_SINCE):
                self._release_in_order(other)
        self._release_in_order(feeder)
        self._led = feeder

    def _earlier_peers(self, feeder: MergeInput) -> list[MergeInput]:
        peers = [other for other in self.inputs.values() if other.stream == feeder.stream]
        return [peer for peer in peers if peer.since < feeder.since]

    def expire(self) -> bool:
        """Pass what was held for too long; return whether the merge is over.

        A merge is over when one node is left that cannot repeat anything any more.
        """
        now = self.now()
        due = now - self._memory
        for feeder in [*self.inputs.values(), *self._closed]:
            self._drop_overtaken(feeder, due)
            if feeder is not self.leader and feeder.held and feeder.held[0][1] < due:
                self._drop(
                    feeder, min(due, self._limit(feeder), self._passed.last_at(feeder.stream))
                )
                while feeder.held and feeder.held[0][1] < due:
                    if self._others_passed(feeder, feeder.held[0][1]):
                        feeder.overtaken.append(feeder.held.popleft())
                        self._drop_overtaken(feeder, due)
                    else:
                        self._pass_late(feeder)
        self._closed = [feeder for feeder in self._closed if feeder.held or feeder.overtaken]
        self._gone.report_doubt(now)
        self._forget(now - OWED)
        self._gone.forget(now - OWED)
        if len(self.inputs) > 1 or self._closed:
            return False
        end = self._passed.end
        for feeder in self.inputs.values():
            if feeder.owing < end:
                return False
            end = feeder.joined
        # The one node may repeat what passed before it was live.
        return end <= self._passed.first

    def finish(self) -> None:
        """Drop what is overtaken, and pass everything else that is held: no node delivers more."""
        for feeder in [*self.inputs.values(), *self._closed]:
            self._drop_overtaken(feeder, inf)
            self._release(feeder)
        self._gone.report_doubt(self.now())

    # -- messages ----------------------------------------------------------------------------------

    def put(self, feeder: MergeInput, message: Any) -> None:
        """Take a message that ``feeder``'s node delivered."""
        if self._known(feeder, self._key(message)):
            return
        if feeder is self.leader:
            self._pass(feeder, message)
        else:
            feeder.held.append((message, self.now()))
            if len(feeder.held) > _MOST:
                self._pass_late(feeder)

    def _known(self, feeder: MergeInput, key: Any) -> bool:
        """Whether the message has passed; if so, note that ``feeder`` has delivered it."""
        numbers = self._passed.numbers((feeder.stream, key))
        if numbers is None:
            return False
        number = self._owed(feeder, numbers)
        if number is None:
            number = self._repeated(feeder, numbers)
        if number is None and (feeder.stream, key) not in self._passed.repeated:
            number = self._repeated_late(feeder, numbers[0])
        if number is None:
            return False
        passed_at = self._passed.passed_at(number)
        late = number < feeder.joined and passed_at < self.now() - self._memory
        if late or (feeder.stream, key) in self._passed.repeated:
            self._may_be_new(feeder, number)
        feeder.deliver(number)
        # What is held from before this message: the leader delivers it late, or never.
        if feeder.held:
            self._drop(feeder, self._limit(feeder))
            feeder.overtake()
            if len(feeder.overtaken) > _MOST:
                self._drop_overtaken(feeder, inf)
        if self._led is not None and self._led.delivered_since_live(number):
            feeder.met = self._led
        return True

    def _may_be_new(self, feeder: MergeInput, number: int) -> None:
        """What is taken for a repeat of ``number`` may be another message of its payload."""
        if feeder is self.leader:
            self._gone.doubt(self._passed.passed_at(number) - LAG)
        else:
            self._note_ambiguous(feeder)  # the leader delivers it, as long as it leads

    def _note_ambiguous(self, feeder: MergeInput) -> None:
        """Note that what ``feeder`` delivered just now was taken for a message of the leader."""
        now = self.now()
        if feeder.ambiguous_at <= now - OWED:
            feeder.ambiguous_since = now
        feeder.ambiguous_at = now

    @property
    def _led_since(self) -> float:
        """Since when the node that leads, or led last, is live."""
        return -inf if self._led is None else self._led.since

    def _limit(self, feeder: MergeInput) -> float:
        """Return until when messages of ``feeder`` may be older than the leader's subscription."""
        if self._led is None or feeder.stream != self._led.stream:
            return -inf  # the leader never delivers what this node does
        return self._led_since + (LAG if feeder.met is self._led else self._memory)

    def _owed(self, feeder: MergeInput, numbers: list[int]) -> int | None:
        start = bisect_left(numbers, max(feeder.owing, feeder.joined))
        return next((n for n in numbers[start:] if n not in feeder.delivered), None)

    def _repeated(self, feeder: MergeInput, numbers: list[int]) -> int | None:
        """Return the number of the message from before the node was live that it repeats."""
        now = self.now()
        before = numbers[bisect_left(numbers, feeder.first) : bisect_left(numbers, feeder.joined)]
        late = None
        for number in before:
            at = self._passed.passed_at(number)
            if number >= feeder.position and at >= now - self._memory:
                return number
            if late is None and at >= now - LAG and number not in feeder.delivered:
                late = number
        return late

    def _repeated_late(self, feeder: MergeInput, number: int) -> int | None:
        """Return ``number``, of the only message of its payload, if the node may repeat it late."""
        if not feeder.first <= number < feeder.joined or number in feeder.delivered:
            return None
        return number if self._passed.passed_at(number) >= self.now() - self._late else None

    def _pass(self, feeder: MergeInput, message: Any) -> None:
        key = self._key(message)
        is_repeated = (feeder.stream, key) in self._passed.repeated
        holders = [feeder]
        for other in (*self.inputs.values(), *self._closed):
            if other is feeder or other.stream != feeder.stream:
                continue
            if other.overtaken and not is_repeated and self._take_overtaken(other, key):
                holders.append(other)
                continue
            if not other.held:
                continue
            place = next((i for i, held in enumerate(other.held) if self._key(held[0]) == key), -1)
            if place > 0 and is_repeated and other.held[0][1] >= feeder.since:
                # The leader was live when the first one came, and will deliver that one itself: the
                # later one of this payload is another message.
                continue
            for _ in range(place):
                # Held from before this message: the leader has missed it.
                self._pass_late(other)
            if place >= 0:
                other.held.popleft()
                holders.append(other)
                if is_repeated:
                    self._note_ambiguous(other)
        number = self._note((feeder.stream, key))
        for holder in holders:
            holder.deliver(number)
            if feeder is self._led:
                holder.met = feeder
        self._gone.report_doubt(self.now())
        self.writer.put(message)

    def _take_overtaken(self, feeder: MergeInput, key: Any) -> bool:
        """Take the message with ``key`` out of what is overtaken of ``feeder``, if it is there."""
        for entry in feeder.overtaken:
            if self._key(entry[0]) == key:
                feeder.overtaken.remove(entry)
                return True
        return False

    def _release(self, feeder: MergeInput) -> None:
        while feeder.held:
            self._pass_late(feeder)

    def _pass_late(self, feeder: MergeInput) -> None:
        """Pass the first held message, unless it was dropped as another node's."""
        message, came = feeder.held.popleft()
        if (feeder.stream, self._key(message)) not in self._gone:
            self._pass(feeder, message)
        elif not self._is_told(feeder, message):
            self._gone.doubt(came - self._memory)

    def _release_in_order(self, feeder: MergeInput) -> None:
        """Pass what is held, except messages older than all subscriptions and passed ones."""
        self._drop_overtaken(feeder, inf)
        self._drop(feeder, min(self._led_since + LAG, self._passed.last_at(feeder.stream)))
        self._release(feeder)

    def _others_passed(self, feeder: MergeInput, since: float) -> bool:
        """Whether a message that ``feeder`` has yet to deliver has passed after ``since``."""
        for number, at in self._passed.latest(feeder.stream):
            if at <= since or number < feeder.owing:
                return False
            if number not in feeder.delivered:
                return True
        return False

    def _drop(self, feeder: MergeInput, limit: float) -> None:
        dropped = before(feeder.held, limit)
        if dropped:
            self._tell_dropped(feeder, dropped, min(self._led_since, dropped[0][1]))

    def _drop_overtaken(self, feeder: MergeInput, limit: float) -> None:
        dropped = [
            entry
            for entry in before(feeder.overtaken, limit)
            if not self._is_told(feeder, entry[0])
        ]
        if dropped:
            self._tell_dropped(feeder, dropped, dropped[0][1] - self._memory)

    def _is_told(self, feeder: MergeInput, message: Any) -> bool:
        """Whether the drop of ``message`` was reported, when another node had delivered it.

        Where payloads repeat, the message that was dropped then may have been another one.
        """
        key = feeder.stream, self._key(message)
        return key in self._gone and key not in self._passed.repeated

    def _tell_dropped(
        self, feeder: MergeInput, dropped: list[tuple[Any, float]], since: float
    ) -> None:
        keys = [(feeder.stream, self._key(one)) for one, _ in dropped]
        self._gone.add(keys, since, dropped[-1][1], self.now())

    def _note(self, key: StreamKey) -> int:
        first = self._passed.first
        number = self._passed.add(key, self.now())
        if self._passed.first != first:
            self._tell_first()
        return number

    def _forget(self, limit: float) -> None:
        self._passed.forget(limit)
        self._tell_first()

    def _tell_first(self) -> None:
        for feeder in self.inputs.values():
            feeder.forget(self._passed.first)
