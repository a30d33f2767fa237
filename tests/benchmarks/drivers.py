"""One round: start the contestants' processes, feed them in turns, take their results.

All of them are there at the same time and have their turns in quick succession, burst by burst: so
what disturbs the machine for a while disturbs all of them, and ratios of neighbouring bursts hold
where single figures do not.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Self, TypeAlias

from tests.benchmarks.consumer import Consumer, Over, Result
from tests.benchmarks.jobs import Job, channel_names
from tests.benchmarks.load import Envelopes, NotSubscribedError, Publisher, packed
from tests.benchmarks.meter import DONE, END, GO, READY
from tests.benchmarks.places import Place

__all__ = ["DRIVERS", "Driver"]

#: Plays one round of a job each; returns a result each.
Driver: TypeAlias = Callable[[Sequence[Job], Place], list[Result]]

# Chunks that may be on their way in a stream.
_WINDOW = 8
_RESUBSCRIBE_PATIENCE = 10.0
# A client may hold back after connections that are lost again within a second: that is a policy,
# and no measure of its speed.
_HEALTHY = 1.1
_COUNT = re.compile(rb"pubsub_channels:(\d+)")


class _Feed:
    """The publishers of one job, each with its part of a burst."""

    def __init__(self, job: Job, place: Place) -> None:
        names = channel_names(job)
        command = b"SPUBLISH" if job.by == "shard" else b"PUBLISH"
        payload = job.payload.encode() or b"x" * job.size
        self._parts: list[tuple[Publisher, Callable[[], bytes], int]] = []
        left = job.burst
        for url in place.primaries:
            own = [name for name in names if place.owner(name) == url]
            count = min(left, -(-job.burst * len(own) // len(names)))
            left -= count
            if count:
                commands = (
                    partial(Envelopes(own, payload, command).packed, count)
                    if job.history
                    else partial(_same, packed(own, payload, count, command))
                )
                self._parts.append((Publisher(url), commands, count))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *unused: object) -> None:
        for publisher, _, _ in self._parts:
            publisher.close()

    def burst(self) -> None:
        """Publish, and return once the servers have it all."""
        for publisher, commands, _ in self._parts:
            publisher.send(commands())
        for publisher, _, count in self._parts:
            publisher.confirm(count)


def _same(commands: bytes) -> bytes:
    return commands


class _Round:
    """The consumers of a round; those that ended early have their result."""

    def __init__(self, stack: ExitStack, jobs: Sequence[Job]) -> None:
        self.jobs = jobs
        self.results: list[Result] = [{} for _ in jobs]
        self.consumers = [stack.enter_context(Consumer(job)) for job in jobs]
        for number in self.playing():
            self.attempt(number, lambda consumer: consumer.wait(READY))

    def playing(self) -> Iterable[int]:
        """Return who still plays."""
        return [number for number, result in enumerate(self.results) if not result]

    def attempt(self, number: int, turn: Callable[[Consumer], object]) -> None:
        """Have one take its turn."""
        try:
            turn(self.consumers[number])
        except Over as over:
            self.results[number] = over.result
        except NotSubscribedError as error:
            self.results[number] = {"error": f"it lost its subscription: {error}"}

    def finish(self) -> list[Result]:
        """Take the results of those who came to the end."""
        for number in self.playing():
            self.results[number] = self.consumers[number].result()
        return self.results


def drive_bursts(jobs: Sequence[Job], place: Place) -> list[Result]:
    """Have each take bursts that wait at its socket, one burst after another's."""
    with ExitStack() as stack:
        feeds = [stack.enter_context(_Feed(job, place)) for job in jobs]
        return _take_turns(stack, jobs, lambda number: feeds[number].burst())


def drive_turns(jobs: Sequence[Job], place: Place) -> list[Result]:
    """Have each do what it does by itself, so many operations in turn."""
    with ExitStack() as stack:
        return _take_turns(stack, jobs, lambda number: None)


def _take_turns(
    stack: ExitStack, jobs: Sequence[Job], prepare: Callable[[int], None]
) -> list[Result]:
    game = _Round(stack, jobs)

    def one_turn(consumer: Consumer, number: int) -> None:
        prepare(number)
        consumer.tell(GO)
        consumer.wait(DONE)

    for _ in range(jobs[0].warm + jobs[0].bursts):
        for number in game.playing():
            game.attempt(number, lambda consumer, number=number: one_turn(consumer, number))
    for number in game.playing():
        game.attempt(number, lambda consumer: consumer.tell(END))
    return [_without(result, jobs[0].warm) for result in game.finish()]


def _without(result: Result, warm: int) -> Result:
    return {
        name: value[warm:] if isinstance(value, list) else value for name, value in result.items()
    }


def drive_streams(jobs: Sequence[Job], place: Place) -> list[Result]:
    """Have each take messages as they come, a window of them on their way."""
    return [_drive_stream(job, place) for job in jobs]


def _drive_stream(job: Job, place: Place) -> Result:
    chunks = job.warm + job.bursts
    with ExitStack() as stack:
        feed = stack.enter_context(_Feed(job, place))
        game = _Round(stack, [job])

        def turn(consumer: Consumer) -> None:
            consumer.tell(GO)
            for chunk in range(chunks):
                if chunk >= _WINDOW:
                    consumer.wait(DONE)
                feed.burst()
            for _ in range(min(_WINDOW, chunks)):
                consumer.wait(DONE)

        for number in game.playing():
            game.attempt(number, turn)
        return game.finish()[0]


def drive_paces(jobs: Sequence[Job], place: Place) -> list[Result]:
    """Have all of them wait for messages, which come at a pace, in segments to one at a time."""
    with ExitStack() as stack:
        publisher = stack.enter_context(Publisher(place.url))
        game = _Round(stack, jobs)
        for number in game.playing():
            game.attempt(number, lambda consumer: consumer.tell(GO))
        for _ in range(jobs[0].warm + jobs[0].bursts):
            for number in game.playing():
                game.attempt(
                    number, lambda _, number=number: _publish_segment(publisher, jobs[number])
                )
        return game.finish()


def _publish_segment(publisher: Publisher, job: Job) -> None:
    name = channel_names(job)[0]
    between = 1 / job.rate
    begun = time.perf_counter()
    for count in range(job.burst):
        delay = begun + count * between - time.perf_counter()
        if delay > 0:
            time.sleep(delay)
        stamp = b"%d" % time.perf_counter_ns()
        publisher.send(packed([name], stamp, 1, b"PUBLISH"))
        publisher.confirm(1)


def drive_alone(jobs: Sequence[Job], place: Place) -> list[Result]:
    """Have each do everything by itself."""
    results = []
    for job in jobs:
        with Consumer(job) as consumer:
            results.append(consumer.result())
    return results


def drive_resubscribe(jobs: Sequence[Job], place: Place) -> list[Result]:
    """Kill connections, and wait until the server has all of their subscriptions again."""
    return [_drive_resubscribe(job, place) for job in jobs]


def _drive_resubscribe(job: Job, place: Place) -> Result:
    times: list[float] = []
    with ExitStack() as stack:
        publisher = stack.enter_context(Publisher(place.url))
        game = _Round(stack, [job])

        def turn(consumer: Consumer) -> None:
            consumer.tell(GO)
            for _ in range(job.warm + job.bursts):
                times.append(_kill_and_wait(publisher, job.channels))
                time.sleep(_HEALTHY)
            # The end is a message: whoever is subscribed gets it.
            publisher.ask(b"PUBLISH", channel_names(job)[-1].encode(), b"end")
            if consumer.result(_RESUBSCRIBE_PATIENCE):
                raise Over({"error": "subscribed again, and nothing arrived"})
            raise Over({"seconds": times[job.warm :]})

        for number in game.playing():
            game.attempt(number, turn)
        return game.results[0]


def _kill_and_wait(publisher: Publisher, channels: int) -> float:
    publisher.ask(b"CLIENT", b"KILL", b"TYPE", b"pubsub")
    begun = time.perf_counter()
    killed = False
    while True:
        count = int(_COUNT.search(publisher.ask(b"INFO", b"stats"))[1])  # type: ignore[index]
        if count < channels:
            killed = True
        elif killed:
            return time.perf_counter() - begun
        if time.perf_counter() - begun > _RESUBSCRIBE_PATIENCE:
            raise Over({"error": f"not within {_RESUBSCRIBE_PATIENCE:g} s"})
        time.sleep(0.001)


DRIVERS: dict[str, Driver] = {
    "bursts": drive_bursts,
    "turns": drive_turns,
    "publish": drive_turns,
    "stream": drive_streams,
    "pace": drive_paces,
    "alone": drive_alone,
    "resubscribe": drive_resubscribe,
}
