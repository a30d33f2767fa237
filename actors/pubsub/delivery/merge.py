"""Several nodes feed one target for a while: each message passes once, in order (P7).

The nodes of a shard deliver the same messages, each once, some later than others: the cluster bus
takes milliseconds, under load tens of them. What one publisher sends to one node comes in its order
everywhere; what two nodes accept, while they change roles, may come in one order here and in
another there. One node *leads*:

- What the leader delivers passes at once.
- What another one delivers was passed already, and is dropped; or the leader has yet to deliver it,
  and it is held until it does. When the leader or the node itself delivers a later one that passed,
  or the leader does not deliver it in time, then what was held passes: late is better than never.
  Not so what may be from before the leader was live: a gap was reported for that. It may be for a
  while, and longer, up to ``memory`` seconds, if the node has delivered nothing yet that the leader
  did: messages come from it in their order.
- When another node leads from now on, what was held of it passes first, in order; what it delivers
  late is known and dropped. Again not so what may be from before the last one was live, where later
  ones have passed.

What is dropped so is told: it may be from after the leader was live, which missed it.

Equal payloads. Messages carry no number. Where a payload is known to come more than once, a node
that has just become live and delivers that payload again may repeat a message, or deliver the next
one: nobody can decide. The message is taken for a repeat, and the *doubt* is reported as a gap
before the next message passes.

Messages are told apart by their payloads, those of a pattern by their channels, too. A node *owes*
each message that passed since it is live: the next one of that payload from it is the one it owes,
in whatever order, for ``OWED`` seconds. Of what passed before it was live it may repeat the end: in
order for ``memory`` seconds, in another order as long as a message is on its way. A payload that
comes again after that is another message.

Nodes of different shards never deliver the same message. While a slot moves from one to the other,
the new owner's are held until the old one has said its last word. Then pass first what was held of
those of the new owner's shard that were live before it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from math import inf
from operator import attrgetter, itemgetter
from typing import Any

from actors.pubsub.delivery.merge_input import MergeInput

__all__ = ["LAG", "MEMORY", "OWED", "Merge", "MergeInput"]

#: Seconds by which the nodes of a shard may be apart, with ample room.
MEMORY = 0.25
#: Seconds that a message takes from one to another at most, when all is well.
LAG = 0.1
#: Seconds for which a node may stand still before it counts as silent, and is not listened to.
OWED = 1.25
_SINCE = attrgetter("since")
# So many messages within that time are as good as any number.
_MOST = 8192


class Merge:
    """The ways of several nodes into one writer.

    Args:
        writer: where messages go.
        now: returns the time in seconds.
        key: returns what tells a message from others: its payload.
        memory: seconds for which what passed before a node was live may be repeated, or held.
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
        dropped: Callable[[float, float, str], None] = lambda _since, _until, _why: None,
    ) -> None:
        self.writer = writer
        self._key = key
        self._memory = memory
        self._dropped = dropped
        self.ports: dict[Hashable, MergeInput] = {}
        self.leader: MergeInput | None = None
        self.now = now
        #: Which stream a node delivers, or delivered; for whoever adds them.
        self.streams: dict[Hashable, Hashable] = {}
        # What passed lately, by number: (key, when). The first one's number is ``_forgotten``.
        self._passed: deque[tuple[tuple[Hashable, Any], float]] = deque()
        self._forgotten = 0
        # The numbers of what passed with one payload, in one stream.
        self._numbers: dict[tuple[Hashable, Any], list[int]] = {}
        self._closed: list[MergeInput] = []
        # What was dropped lately: of another node it does not pass either, unless that one leads.
        self._gone: dict[tuple[Hashable, Any], float] = {}
        # Payloads that came more than once, by stream; and since when a doubt is to be reported.
        self._repeated_keys: set[tuple[Hashable, Any]] = set()
        self._doubtful_since = inf
        # Who leads, or led last.
        self._led: MergeInput | None = None

    def remember(self, keys: Iterable[Any], stream: Hashable, repeated: Iterable[Any] = ()) -> None:
        """Note what passed of ``stream`` before there was a merge; later ports may repeat it.

        Args:
            keys: of the messages that passed lately, in order.
            stream: which stream they are of.
            repeated: the keys that came more than once, also longer ago.
        """
        for key in keys:
            self._note((stream, key))
        self._repeated_keys.update((stream, key) for key in repeated)

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
        end = self._forgotten + len(self._passed)
        port = self.ports[node] = MergeInput(self, stream, self._forgotten if repeats else end, end)
        if since is not None:
            port.since = since
        return port

    def remove(self, node: Hashable) -> None:
        """``node`` delivers nothing more; what is held of it waits for the leader still."""
        port = self.ports.pop(node)
        if port is self.leader:
            self.leader = None
        elif port.held:
            self._closed.append(port)

    def unite(self) -> Hashable:
        """Return the stream that all nodes are of from now on, and were: any may repeat another."""
        ports = [*self.ports.values(), *self._closed]
        streams = {*self.streams.values(), *(port.stream for port in ports)}
        if len(streams) == 1:
            return streams.pop()
        one = object()
        self.streams = dict.fromkeys(self.streams, one)
        for port in [*ports, *([] if self._led is None else [self._led])]:
            port.stream = one
        self._passed = deque(((one, key[1]), at) for key, at in self._passed)
        self._gone = {(one, key[1]): at for key, at in self._gone.items()}
        self._repeated_keys = {(one, key[1]) for key in self._repeated_keys}
        self._numbers = {}
        for number, (key, _) in enumerate(self._passed, self._forgotten):
            self._numbers.setdefault(key, []).append(number)
        for port in ports:
            self._know_again(port)
        return one

    def _know_again(self, port: MergeInput) -> None:
        """What is held of ``port`` passed already, it turns out, by another node."""
        held, port.held = port.held, deque()
        for message, came in held:
            if not self._known(port, self._key(message)):
                port.held.append((message, came))

    def lead(self, node: Hashable) -> None:
        """Let ``node`` lead: what is held of it passes."""
        port = self.ports[node]
        if port is self.leader:
            return
        if self.leader is None and port.ambiguous_at > self.now() - OWED:
            # The former leader is gone, and cannot deliver what was taken for its messages.
            self._doubt(port.ambiguous_at - self._memory)
        self.leader = port
        # Nobody else will say when what ended nodes had before the change is due: it is, now.
        for closed in self._closed:
            self._release_in_order(closed)
        self._closed.clear()
        if self._led is not None and self._led.stream != port.stream:
            # The slot has moved. What came to those who were there before it, it never delivers.
            for other in sorted(self._earlier_mates(port), key=_SINCE):
                self._release_in_order(other)
        self._release_in_order(port)
        self._led = port

    def _earlier_mates(self, port: MergeInput) -> list[MergeInput]:
        mates = [other for other in self.ports.values() if other.stream == port.stream]
        return [mate for mate in mates if mate.since < port.since]

    def expire(self) -> bool:
        """Give up waiting for what the leader should have delivered; return whether all is quiet.

        Quiet: one node is left, and it delivers nothing that passed already.
        """
        now = self.now()
        due = now - self._memory
        for port in [*self.ports.values(), *self._closed]:
            if port is not self.leader and port.held and port.held[0][1] < due:
                self._drop(port, min(due, self._limit(port), self._last_passed(port)))
                while port.held and port.held[0][1] < due:
                    self._pass_late(port)
        self._closed = [port for port in self._closed if port.held]
        self._report_doubt()
        self._forget(now - OWED)
        self._gone = {key: at for key, at in self._gone.items() if at >= now - OWED}
        if len(self.ports) > 1 or self._closed:
            return False
        end = self._forgotten + len(self._passed)
        for port in self.ports.values():
            if port.owing < end:
                return False
            end = port.joined
        # What passed before the one node was live, it may repeat.
        index = end - 1 - self._forgotten
        return index < 0 or self._passed[index][1] < now - self._memory

    def finish(self) -> None:
        """No node delivers any more: what is still held, nobody else has."""
        for port in [*self.ports.values(), *self._closed]:
            self._release(port)
        self._report_doubt()

    # -- messages ----------------------------------------------------------------------------------

    def put(self, port: MergeInput, message: Any) -> None:
        """Take a message that ``port``'s node delivered."""
        if self._known(port, self._key(message)):
            return
        if port is self.leader:
            self._pass(port, message)
        else:
            port.held.append((message, self.now()))
            if len(port.held) > _MOST:
                self._pass_late(port)

    def _known(self, port: MergeInput, key: Any) -> bool:
        """Whether it passed already, and ``port`` has yet to deliver it."""
        numbers = self._numbers.get((port.stream, key))
        if numbers is None:
            return False
        number = self._owed(port, numbers)
        if number is None:
            number = self._repeated(port, numbers)
        if number is None:
            return False
        if (port.stream, key) in self._repeated_keys:
            self._may_be_new(port, number)
        port.deliver(number)
        # What came before it and waits, the leader may deliver late, or never.
        if port.held:
            self._drop(port, self._limit(port))
            self._release(port)
        if self._led is not None and self._led.delivered_since_live(number):
            port.met = self._led
        return True

    def _may_be_new(self, port: MergeInput, number: int) -> None:
        """What is taken for a repeat of ``number`` may be another message of its payload."""
        if port is self.leader:
            self._doubt(self._passed[number - self._forgotten][1] - LAG)
        else:
            port.ambiguous_at = self.now()  # the leader delivers it, as long as there is one

    def _doubt(self, since: float) -> None:
        self._doubtful_since = min(self._doubtful_since, since)

    def _report_doubt(self) -> None:
        since, self._doubtful_since = self._doubtful_since, inf
        if since < inf:
            self._dropped(since, self.now(), "equal payloads: a repeat, or another message")

    @property
    def _led_since(self) -> float:
        """Since when the one that leads, or led last, is live."""
        return -inf if self._led is None else self._led.since

    def _limit(self, port: MergeInput) -> float:
        """Return until when what came from ``port`` may be from before the leader was live.

        It is no longer, once it delivers what the leader did; or by the time it takes at most.
        """
        if self._led is None or port.stream != self._led.stream:
            return -inf  # what it delivers, the leader never does
        return self._led_since + (LAG if port.met is self._led else self._memory)

    def _owed(self, port: MergeInput, numbers: list[int]) -> int | None:
        start = bisect_left(numbers, max(port.owing, port.joined))
        return next((n for n in numbers[start:] if n not in port.delivered), None)

    def _repeated(self, port: MergeInput, numbers: list[int]) -> int | None:
        """Of what passed before the node was live, what it repeats: in order, or just passed."""
        now = self.now()
        before = numbers[bisect_left(numbers, port.first) : bisect_left(numbers, port.joined)]
        late = None
        for number in before:
            at = self._passed[number - self._forgotten][1]
            if number >= port.position and at >= now - self._memory:
                return number
            if late is None and at >= now - LAG and number not in port.delivered:
                late = number
        return late

    def _pass(self, port: MergeInput, message: Any) -> None:
        key = self._key(message)
        is_repeated = (port.stream, key) in self._repeated_keys
        holders = [port]
        for other in (*self.ports.values(), *self._closed):
            if not other.held or other is port or other.stream != port.stream:
                continue
            place = next((i for i, held in enumerate(other.held) if self._key(held[0]) == key), -1)
            if place > 0 and is_repeated:
                continue  # a later message of the same payload, as likely as not
            for _ in range(place):
                # This came before it, and the leader has missed it.
                self._pass_late(other)
            if place >= 0:
                other.held.popleft()
                holders.append(other)
                if is_repeated:
                    other.ambiguous_at = self.now()
        number = self._note((port.stream, key))
        for holder in holders:
            holder.deliver(number)
            if port is self._led:
                holder.met = port
        self._report_doubt()
        self.writer.put(message)

    def _release(self, port: MergeInput) -> None:
        while port.held:
            self._pass_late(port)

    def _pass_late(self, port: MergeInput) -> None:
        """Let the first that is held pass, unless it was dropped where another node had it."""
        message, _ = port.held.popleft()
        if (port.stream, self._key(message)) not in self._gone:
            self._pass(port, message)

    def _release_in_order(self, port: MergeInput) -> None:
        """Let pass what is held, but not after later ones what may be from before all was live."""
        self._drop(port, min(self._led_since + LAG, self._last_passed(port)))
        self._release(port)

    def _last_passed(self, port: MergeInput) -> float:
        """Return when something of the port's stream passed last."""
        passed = (at for (stream, _), at in reversed(self._passed) if stream == port.stream)
        return next(passed, -inf)

    def _drop(self, port: MergeInput, limit: float) -> None:
        dropped = port.drop(limit)
        if dropped:
            now = self.now()
            self._gone.update(((port.stream, self._key(one)), now) for one, _ in dropped)
            since = min(self._led_since, dropped[0][1])
            self._dropped(since, dropped[-1][1], "messages came too late to be in order")

    def _note(self, key: tuple[Hashable, Any]) -> int:
        number = self._forgotten + len(self._passed)
        self._passed.append((key, self.now()))
        numbers = self._numbers.setdefault(key, [])
        numbers.append(number)
        if len(numbers) > 1:
            self._repeated_keys.add(key)
        if len(self._passed) > _MOST:
            self._drop_first()
        return number

    def _forget(self, limit: float) -> None:
        while self._passed and self._passed[0][1] < limit:
            self._drop_first()

    def _drop_first(self) -> None:
        key, _ = self._passed.popleft()
        numbers = self._numbers[key]
        del numbers[0]
        if not numbers:
            del self._numbers[key]
        self._forgotten += 1
        for port in self.ports.values():
            port.forget(self._forgotten)
