"""Batches: a handler that takes many messages in one call, and what became of each of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from actors.pubsub.model.types import PubSubMessage
from supervisor import SpecError

#: Why messages of a batch failed, by their place in it.
Failures = dict[int, Exception]

_MOST = 100_000


class Batch(msgspec.Struct, frozen=True):
    """How many messages a handler takes in one call: ``Handler(fn, batch=Batch(max=500))``.

    Attributes:
        max: messages in one call at the most.
        wait: seconds to wait for more messages after the first one; 0: take what is there.
    """

    max: int = 100
    wait: float = 0.0

    def __post_init__(self) -> None:
        problems = []
        if type(self.max) is not int or not 1 <= self.max <= _MOST:
            problems.append(f"max must be 1 to {_MOST:,} messages, not {self.max!r}")
        if not isinstance(self.wait, int | float) or not 0 <= self.wait <= 3600:
            problems.append(f"wait must be 0 to 3600 seconds, not {self.wait!r}")
        if problems:
            raise SpecError("batch", problems)


class BatchError(Exception):
    """Raised by a handler of batches: some of the messages failed, and the others did not.

    Args:
        failures: the exception for each message that failed, by its place in the list that the
            handler was called with.
    """

    def __init__(self, failures: Mapping[int, Exception]) -> None:
        super().__init__(f"{len(failures)} messages of the batch failed")
        self.failures = dict(failures)


#: Handles decoded messages in one call: (messages, payloads).
RunBatch = Callable[[list[PubSubMessage], list[Any]], Any]


async def handle(
    run: RunBatch, decode: Callable[[PubSubMessage], Any], messages: Sequence[PubSubMessage]
) -> Failures:
    """Decode ``messages``, handle those that decode in one call; return what failed."""
    failures: Failures = {}
    numbers, payloads = [], []
    for number, message in enumerate(messages):
        try:
            payloads.append(decode(message))
        except Exception as error:
            failures[number] = error
        else:
            numbers.append(number)
    if numbers:
        found = await _call(run, [messages[number] for number in numbers], payloads)
        failures.update((numbers[place], error) for place, error in found.items())
    return failures


async def handle_around(
    run: RunBatch,
    decode: Callable[[PubSubMessage], Any],
    around: Callable[..., Any],
    messages: Sequence[PubSubMessage],
) -> Failures:
    """As :func:`handle`, each message by way of the middleware ``around``.

    Each message passes the middleware in a task of its own, and waits at the end for the others.
    The messages that arrive there are handled in one call; each one's outcome goes back through
    the middleware.
    """
    loop = asyncio.get_running_loop()
    arrived: dict[int, tuple[PubSubMessage, Any, asyncio.Future[None]]] = {}
    on_the_way = set(range(len(messages)))
    all_there = loop.create_future()

    def note(number: int) -> None:
        on_the_way.discard(number)
        if not on_the_way and not all_there.done():
            all_there.set_result(None)

    async def last(number: int, message: PubSubMessage) -> None:
        payload, outcome = decode(message), loop.create_future()
        arrived[number] = message, payload, outcome
        note(number)
        await outcome

    async def pass_one(number: int, message: PubSubMessage) -> None:
        try:
            await around(message, partial(last, number))
        finally:
            note(number)

    tasks = [asyncio.ensure_future(pass_one(*one)) for one in enumerate(messages)]
    try:
        await all_there
        numbers = sorted(arrived)
        entries = [arrived[number] for number in numbers]
        if entries:
            found = await _call(run, [one[0] for one in entries], [one[1] for one in entries])
            for place, (_, _, outcome) in enumerate(entries):
                _settle(outcome, found.get(place))
        results = await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        for task in tasks:
            task.cancel()
    failed = ((number, error) for number, error in enumerate(results) if error is not None)
    return {number: _as_failure(error) for number, error in failed}


def _settle(outcome: asyncio.Future[None], error: Exception | None) -> None:
    if outcome.done():  # its middleware has given up waiting
        return
    if error is None:
        outcome.set_result(None)
    else:
        outcome.set_exception(error)


def _as_failure(error: Any) -> Exception:
    if isinstance(error, Exception):
        return error
    if isinstance(error, asyncio.CancelledError):
        return TimeoutError("the middleware cancelled this message")
    raise error


async def _call(run: RunBatch, messages: list[PubSubMessage], payloads: list[Any]) -> Failures:
    try:
        partly = await run(messages, payloads)
    except Exception as error:
        return dict.fromkeys(range(len(messages)), error)
    return partly.failures if isinstance(partly, BatchError) else {}


def tells_which(call: Callable[[Any, Any], Any]) -> RunBatch:
    """Return ``call`` with a BatchError as its result: for the breaker such a call succeeded."""

    async def run(messages: list[PubSubMessage], payloads: list[Any]) -> Any:
        try:
            return await call(payloads, messages)
        except BatchError as error:
            places = range(len(messages))
            if wrong := [place for place in error.failures if place not in places]:
                raise IndexError(
                    f"BatchError names the places {wrong} of a batch of {len(messages)} messages"
                ) from error
            return error

    return run
