"""An hour of a worker as samples: what was added between two snapshots, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.worker.observe.history import COLUMNS, EVERY, MOST_HANDLERS, SAMPLES, Columns, History
from actors.worker.observe.percentile import percentile
from actors.worker.observe.snapshot import Durations, HandlerState, Snapshot, State, WorkerSnapshot
from supervisor import TreeNode

TREE = TreeNode("worker", "worker", "supervisor", "running")
BOUNDS = (0.001, 0.01, 0.1, 1.0)


def handler(name: str = "orders", **changes: Any) -> HandlerState:
    path = f"worker/handlers/{name}"
    known: dict[str, Any] = {"status": "running", "depth": 0, "age": 0.0, "handled": 0}
    known |= {"failed": 0, "shed": 0, "restarts": 0}
    return HandlerState(name, "pubsub-1", path, **(known | changes))


def worker(*handlers: HandlerState, **changes: Any) -> WorkerSnapshot:
    return several(snapshot(handlers, **changes))


def several(*snapshots: Snapshot) -> WorkerSnapshot:
    return WorkerSnapshot("worker", (), len(snapshots), snapshots, TREE)


def snapshot(handlers: Iterable[HandlerState], process: int = 0, **changes: Any) -> Snapshot:
    known: dict[str, Any] = {
        "name": "worker",
        "process": process,
        "pid": 1,
        "state": State.RUNNING,
        "at": 0.0,
        "uptime": 1.0,
        "lag": 0.001,
        "partition": "0/1",
        "unconfirmed": (),
        "handlers": tuple(handlers),
        "paths": (),
        "probe_interval": None,
        "received": 0,
        "gaps": 0,
        "reconnects": 0,
        "restarts": 0,
        "failed": 0,
        "recent_gaps": (),
        "recent_failures": (),
        "tree": TREE,
        "bounds": BOUNDS,
    }
    return Snapshot(**(known | changes))


def filled(history: History, *workers: WorkerSnapshot) -> History:
    for number, one in enumerate(workers):
        history.add(number * EVERY, one)
    return history


def of_orders(history: History) -> Columns:
    return history.of_handler(0, "worker/handlers/orders")


def test_counts_become_what_was_added_between_two_samples():
    history = filled(
        History(),
        worker(handler(handled=1000, failed=7), gaps=5),
        worker(handler(handled=1010, failed=8, shed=2, depth=3, age=1.5), gaps=5),
        worker(handler(handled=1030, failed=8, shed=2), gaps=6, lag=0.5),
    )
    whole = history.of_worker()
    assert whole.at == (0.0, EVERY, 2 * EVERY)
    assert whole.values["handled"] == (0, 10, 20)
    assert whole.values["failed"] == (0, 1, 0)
    assert whole.values["shed"] == (0, 2, 0)
    assert whole.values["depth"] == (0, 3, 0)
    assert whole.values["age"] == (0, 1.5, 0)
    assert whole.values["gaps"] == (0, 0, 1)
    assert whole.values["lag"] == (0.001, 0.001, 0.5)
    one = of_orders(history)
    assert one.values["handled"] == (None, 10, 20)  # idle at first
    assert set(one.values) == set(COLUMNS)


def test_counts_that_begin_anew_add_what_they_are():
    history = filled(
        History(),
        worker(handler(handled=1000)),
        worker(handler(handled=30)),  # its process was restarted
        worker(handler(handled=30), handler("new", handled=5)),  # one more was subscribed
    )
    assert history.of_worker().values["handled"] == (0, 30, 5)


def test_latencies_are_percentiles_of_the_time_between_two_samples():
    slow = Durations((100, 0, 0, 10, 0), 10.0)
    slower = Durations((100, 0, 0, 20, 0), 20.0)
    whole = filled(
        History(),
        worker(handler(handled=110, handling=slow, waiting=slow)),
        worker(handler(handled=120, handling=slower, waiting=slow)),
    ).of_worker()
    assert whole.values["took_p50"][0] is None
    assert whole.values["took_p50"][1] == pytest.approx(0.55)  # not the fast ones of before
    assert whole.values["took_p99"][1] == pytest.approx(0.991)
    assert whole.values["waited_p50"] == (None, None)


def test_several_processes_are_one_worker_and_each_has_its_handlers():
    history = filled(
        History(),
        several(snapshot([handler()], 0), snapshot([handler()], 1)),
        several(snapshot([handler(handled=1)], 0, lag=0.2), snapshot([handler(handled=2)], 1)),
    )
    assert history.of_worker().values["handled"] == (0, 3)
    assert history.of_worker().values["lag"] == (0.001, 0.2)
    assert of_orders(history).values["handled"] == (None, 1)
    assert history.of_handler(1, "worker/handlers/orders").values["handled"] == (None, 2)


def test_a_handler_that_is_gone_has_gaps_in_its_history():
    history = filled(History(), worker(handler()), worker(handler(handled=1)), worker())
    assert of_orders(history).values["handled"] == (None, 1, None)


def test_idle_handlers_have_no_history_and_lose_it_after_an_hour():
    history = History()
    busy = [worker(handler(), handler("idle")), worker(handler(handled=1), handler("idle"))]
    filled(history, *busy)
    assert history.of_handler(0, "worker/handlers/idle") == Columns((), {})
    assert of_orders(history).at
    for number in range(SAMPLES):
        assert of_orders(history).at
        history.add(1000.0 + number, worker(handler(handled=1), handler("idle")))
    assert of_orders(history) == Columns((), {})


def test_the_history_of_many_handlers_is_bounded_and_says_so():
    history = History()
    names = [f"h{number}" for number in range(MOST_HANDLERS + 7)]
    for count in (0, 1, 2):
        history.add(count * EVERY, worker(*(handler(name, handled=count) for name in names)))
    assert history.left_out == 7
    assert history.of_handler(0, f"worker/handlers/{names[0]}").at
    assert not history.of_handler(0, f"worker/handlers/{names[-1]}").at
    assert history.of_worker().values["handled"][1:] == (len(names), len(names))


@settings(max_examples=20)
@given(st.integers(0, 3 * SAMPLES))
def test_the_last_hour_is_kept_oldest_first(samples):
    history = History()
    for number in range(samples):
        history.add(float(number), worker(handler(handled=number * number)))
    whole = history.of_worker()
    kept = list(range(samples))[-SAMPLES:]
    assert list(whole.at) == kept
    expected = [0 if number == 0 else 2 * number - 1 for number in kept]
    assert list(whole.values["handled"]) == expected
    assert {len(values) for values in whole.values.values()} <= {len(kept)}


def test_it_is_json_with_null_where_there_is_no_value():
    encoded = msgspec.json.encode(filled(History(), worker(handler())).of_worker())
    assert msgspec.json.decode(encoded)["values"]["took_p50"] == [None]


@given(st.lists(st.floats(0.0001, 0.99), min_size=1), st.sampled_from([0.5, 0.9, 0.99, 1.0]))
def test_a_percentile_lies_within_the_part_that_has_the_true_one(durations, share):
    counts = [0] * (len(BOUNDS) + 1)
    for one in durations:
        counts[next(place for place, bound in enumerate(BOUNDS) if one <= bound)] += 1
    true = sorted(durations)[max(0, math.ceil(share * len(durations)) - 1)]
    place = next(place for place, bound in enumerate(BOUNDS) if true <= bound)
    low = BOUNDS[place - 1] if place else 0.0
    assert low <= percentile(share, counts, BOUNDS) <= BOUNDS[place]


def test_percentiles_at_the_ends():
    assert math.isnan(percentile(0.5, [0, 0], [1.0]))
    assert math.isnan(percentile(0.5, [], []))
    assert percentile(0.5, [0, 3], [1.0]) == 1.0  # above the last bound
    assert percentile(1.0, [4, 0], [1.0]) == 1.0
