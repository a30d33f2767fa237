"""The position against a model of a server, in any order of events (R2).

The model is what the position cannot see: the history of each of two branches, a publisher, and
messages on their way, which come late, twice, and in any order. It trims, deletes, and fails over
with the end of the history and without it.
"""

from __future__ import annotations

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from actors.pubsub.recovery.position import Lost, Output, Position, Wish
from actors.redis.history.entries import BEFORE_FIRST, Entry, EntryId, Envelope


class PositionMachine(RuleBasedStateMachine):
    @initialize(before=st.integers(0, 3))
    def start(self, before: int) -> None:
        self.now = 1000
        self.stream: list[Entry] = []
        #: What nodes have yet to deliver; whatever was published, from the subscription on.
        self.coming: list[Envelope] = []
        #: Every payload that was appended since the subscription, in order.
        self.appended: list[bytes] = []
        self.payloads = 0
        self.subscribed = False
        for _ in range(before):
            self.publish(1)
        self.appended.clear()
        self.coming.clear()
        self.now += 1
        self.position = Position()
        self.first = self.payloads
        #: How much had been published when the position got the answer that it began with.
        self.begun: int | None = None
        #: The read under way: what was asked for, and the reply as the server made it.
        self.reading: tuple[Wish, EntryId, list[Entry]] | None = None
        #: What the consumer got: payloads, and None or a number for a loss.
        self.got: list[bytes | Lost] = []

    # -- the server --------------------------------------------------------------------------------

    @rule(count=st.integers(1, 4), tick=st.integers(0, 2))
    def publish_some(self, count: int, tick: int) -> None:
        self.now += tick
        for _ in range(count):
            self.publish(1)

    def publish(self, count: int) -> None:
        last = self.stream[-1].id if self.stream else BEFORE_FIRST
        entry = EntryId(max(self.now, last.ms), last.n + 1)
        self.payloads += 1
        payload = b"%d" % self.payloads
        self.stream.append(Entry(entry, payload))
        self.appended.append(payload)
        self.coming.append(Envelope(entry, last.ms, payload))

    # A position that has delivered nothing yet cannot know what a damaged history had. And where a
    # history is deleted, and the next one trimmed before it was read, the numbers may go on by
    # chance.

    @precondition(lambda self: self.stream and self.got and self.is_whole())
    @rule(left=st.integers(1, 3))
    def trim(self, left: int) -> None:
        del self.stream[:-left]

    def is_whole(self) -> bool:
        return any(one.id == self.position.last for one in self.stream)

    @precondition(lambda self: self.got)
    @rule()
    def delete(self) -> None:
        self.now += 1
        self.stream.clear()

    @precondition(lambda self: self.stream and self.got)
    @rule(missing=st.integers(1, 3))
    def fail_over_without_the_end(self, missing: int) -> None:
        """The promotion is seen: otherwise a tail that nobody had seen is lost without a trace."""
        self.now += 1
        del self.stream[-missing:]
        self.position.doubt("a primary died")

    # -- what nodes deliver ------------------------------------------------------------------------

    @precondition(lambda self: self.coming)
    @rule(data=st.data(), again=st.booleans())
    def deliver(self, data: st.DataObject, again: bool) -> None:
        place = data.draw(st.integers(0, len(self.coming) - 1))
        envelope = self.coming[place] if again else self.coming.pop(place)
        self.take(self.position.envelope(envelope))

    @precondition(lambda self: self.coming)
    @rule(count=st.integers(1, 5))
    def deliver_in_order(self, count: int) -> None:
        for _ in range(min(count, len(self.coming))):
            self.take(self.position.envelope(self.coming.pop(0)))

    @precondition(lambda self: self.coming)
    @rule(count=st.integers(1, 5))
    def lose(self, count: int) -> None:
        """A connection ends; the table tells of the gap."""
        lost = self.coming[:count]
        del self.coming[:count]
        early = self.begun is not None and any(int(one.payload) <= self.begun for one in lost)
        self.position.interrupted(min(one.id.ms for one in lost), early=early)

    # -- the reader --------------------------------------------------------------------------------

    @precondition(lambda self: self.reading is None and self.position.wish is not None)
    @rule()
    def begin_read(self) -> None:
        wish = self.position.wish
        assert wish is not None
        self.position.begin_read()
        start = self.position.start
        self.reading = wish, start, list(self.stream)
        self.asked = self.payloads

    @precondition(lambda self: self.reading is not None)
    @rule(most=st.integers(2, 6), ok=st.sampled_from([True, True, True, False]))
    def end_read(self, most: int, ok: bool) -> None:
        assert self.reading is not None
        (wish, start, stream), self.reading = self.reading, None
        if not ok:
            self.position.read_again()
        elif wish is Wish.LAST:
            if self.begun is None:
                self.begun = self.asked
            self.take(self.position.last_entry(stream[-1].id if stream else None))
        else:
            entries = [one for one in stream if one.id >= start]
            complete = len(entries) < most
            self.take(self.position.page(start, entries[:most], complete=complete))

    def take(self, output: Output) -> None:
        for one in output:
            if isinstance(one, Lost):
                self.got.append(one)
            elif one.payload is not None:
                self.got.append(one.payload)

    # -- what must hold ----------------------------------------------------------------------------

    def teardown(self) -> None:
        if not hasattr(self, "position"):
            return
        self.in_order_and_once()
        # Everything that is still to come comes, and everything is read.
        while self.coming:
            self.take(self.position.envelope(self.coming.pop(0)))
        for _ in range(200):
            if self.reading is None and self.position.wish is not None:
                self.begin_read()
            if self.reading is None:
                break
            self.end_read(most=4, ok=True)
        assert self.position.wish is None
        assert not self.position.held
        self.in_order_and_once()
        self.nothing_is_missing_untold()

    def in_order_and_once(self) -> None:
        numbers = [int(one) for one in self.got if isinstance(one, bytes)]
        assert numbers == sorted(set(numbers)), self.got
        assert all(number > self.first for number in numbers), self.got

    def nothing_is_missing_untold(self) -> None:
        """Between two losses of unknown size the numbers of all losses add up."""
        got = Counter(one for one in self.got if isinstance(one, bytes))
        if any(isinstance(one, Lost) and one.count is None for one in self.got):
            return
        told = sum(one.count or 0 for one in self.got if isinstance(one, Lost))
        # What was published before the position began may come behind what was published later.
        delivered = [payload for payload in self.appended if got[payload]]
        early = [one for one in self.appended if not got[one] and int(one) <= (self.begun or 0)]
        missing = len(self.appended) - len(delivered)
        assert missing - len(early) <= told <= missing, (self.got, self.appended)


TestPosition = PositionMachine.TestCase
TestPosition.settings = settings(max_examples=100, stateful_step_count=30)
