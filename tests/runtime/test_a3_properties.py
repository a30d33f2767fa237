"""A3 against a naive model: nothing is lost uncounted, order and bound are kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors import Lagged, MailboxFull, MailboxSpec
from actors.runtime.messages.ask import Ask
from actors.runtime.messages.envelopes import Envelope
from actors.runtime.messages.mailbox import Mailbox
from actors.runtime.messages.overflow import Overflow


class News(Envelope):
    """Must not be lost."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number


# What happens to a mailbox: a tell, an ask, news, a reader that takes some, a batch that is
# appended first and trimmed after it, as a socket reader does.
OPERATIONS = st.lists(
    st.one_of(
        st.just(("tell", 1)),
        st.just(("ask", 1)),
        st.just(("news", 1)),
        st.tuples(st.just("take"), st.integers(1, 6)),
        st.tuples(st.just("batch"), st.integers(1, 12)),
        st.tuples(st.just("batch with news"), st.integers(1, 12)),
    ),
    max_size=60,
)


class Model:
    """Sends numbered messages; takes them out and checks what it is told."""

    def __init__(self, capacity: int, policy: str) -> None:
        self.loop = asyncio.new_event_loop()
        self.mailbox = Mailbox(MailboxSpec(capacity, policy), self.loop)
        self.policy = policy
        self.sent = 0
        self.refused = 0
        self.news = 0
        self.asks: dict[int, asyncio.Future[Any]] = {}
        # What came out: numbers of messages, of news, and lags.
        self.delivered: list[int] = []
        self.heard: list[int] = []
        self.lagged = 0
        self.before: list[tuple[int, int]] = []

    def put(self, message: Any) -> None:
        """As ``ActorRef.tell`` does."""
        mailbox = self.mailbox
        if len(mailbox.queue) < mailbox.limit:
            mailbox.queue.append(message)
            return
        try:
            mailbox.put_full(message, "model")
        except MailboxFull:
            assert self.policy in ("fail", "block")
            if not isinstance(message, News):
                self.refused += 1
                self.sent -= 1

    def number(self) -> int:
        self.sent += 1
        return self.sent - 1

    def put_news(self) -> None:
        self.mailbox.put_last(News(self.news))
        self.news += 1

    def take(self) -> None:
        if not self.mailbox.queue:
            return
        item = self.mailbox.queue.popleft()
        if isinstance(item, Lagged):
            self.lagged += item.count
        elif isinstance(item, News):
            self.heard.append(item.number)
        else:
            self.before.append((len(self.delivered) + self.lagged, _number(item)))
            self.delivered.append(_number(item))

    def run(self, name: str, count: int) -> None:
        match name:
            case "tell":
                self.put(self.number())
            case "ask":
                number = self.number()
                reply = self.asks[number] = self.loop.create_future()
                refused = self.refused
                self.put(Ask(number, reply))
                if self.refused > refused:
                    del self.asks[number]
            case "news":
                self.put_news()
            case "take":
                for _ in range(count):
                    self.take()
            case _:
                for _ in range(count):
                    self.mailbox.queue.append(self.number())
                if name == "batch with news":
                    self.put_news()
                self.mailbox.trim("model")

    def check_bound(self) -> None:
        news = sum(isinstance(item, News) for item in self.mailbox.queue)
        # One more is the Lagged; news that would not go has no bound.
        assert len(self.mailbox.queue) <= self.mailbox.limit + 1 + news

    def close(self) -> None:
        for reply in self.asks.values():
            if reply.done() and not reply.cancelled():
                reply.exception()
        self.loop.close()


def _number(item: Any) -> int:
    return item.message if isinstance(item, Ask) else item


def _run(capacity: int, policy: str, operations: list[tuple[str, int]]) -> Model:
    model = Model(capacity, policy)
    try:
        for name, count in operations:
            model.run(name, count)
            model.check_bound()
        while model.mailbox.queue:
            model.take()
    finally:
        model.close()
    return model


@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest", "fail", "block"])
@given(capacity=st.integers(1, 8), operations=OPERATIONS)
def test_a3_delivered_and_lagged_add_up_to_what_was_sent(policy, capacity, operations):
    model = _run(capacity, policy, operations)
    assert len(model.delivered) + model.lagged == model.sent
    assert model.lagged == model.mailbox.shed


@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest"])
@given(capacity=st.integers(1, 8), operations=OPERATIONS)
def test_a3_each_lag_is_reported_exactly_before_the_next_message(policy, capacity, operations):
    model = _run(capacity, policy, operations)
    # When message n is delivered, all n before it have been delivered or reported as lost.
    assert all(before == number for before, number in model.before)


@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest", "fail", "block"])
@given(capacity=st.integers(1, 8), operations=OPERATIONS)
def test_a3_order_is_kept_and_news_is_never_lost(policy, capacity, operations):
    model = _run(capacity, policy, operations)
    assert model.delivered == sorted(set(model.delivered))
    assert model.heard == list(range(model.news))


@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest"])
@given(capacity=st.integers(1, 8), operations=OPERATIONS)
def test_a3_an_ask_is_either_delivered_or_told_that_it_was_shed(policy, capacity, operations):
    model = _run(capacity, policy, operations)
    delivered = set(model.delivered)
    for number, reply in model.asks.items():
        shed = reply.done() and isinstance(reply.exception(), MailboxFull)
        assert shed != (number in delivered)


def _naive(policy: str, capacity: int) -> Callable[[list[Any]], list[Any]]:
    """Return the obvious way to enforce the bound on a list without news."""

    def oldest(queue: list[Any]) -> list[Any]:
        lost = sum(item.count for item in queue if isinstance(item, Lagged))
        numbers = [item for item in queue if not isinstance(item, Lagged)]
        while len(numbers) > capacity:
            numbers.pop(0)
            lost += 1
        return [Lagged(lost), *numbers] if lost else numbers

    def newest(queue: list[Any]) -> list[Any]:
        queue = list(queue)
        lost = 0
        while len(queue) > capacity:
            last = queue.pop()
            lost += last.count if isinstance(last, Lagged) else 1
        return [*queue, Lagged(lost)] if lost else queue

    return oldest if policy == Overflow.DROP_OLDEST else newest


@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest"])
@given(
    capacity=st.integers(1, 6),
    operations=st.lists(
        st.one_of(
            st.just(("tell", 1)),
            st.tuples(st.just("take"), st.integers(1, 6)),
            st.tuples(st.just("batch"), st.integers(1, 12)),
        ),
        max_size=60,
    ),
)
def test_a3_the_queue_is_what_the_naive_model_has(policy, capacity, operations):
    model, naive, bound = Model(capacity, policy), [], _naive(policy, capacity)
    try:
        for name, count in operations:
            if name == "take":
                naive = naive[count:]
            else:
                for i in range(count):
                    naive.append(model.sent + i)
                if name == "batch" or len(naive) > capacity:
                    naive = bound(naive)
            model.run(name, count)
            assert list(model.mailbox.queue) == naive
    finally:
        model.close()
