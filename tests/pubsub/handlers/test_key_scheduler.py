"""The order of workers: each key's own, and nobody in the way of anybody else."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from actors.pubsub.handlers.key_scheduler import NO_KEY, KeyScheduler

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(["a", "b", "c", "d", None])),
        st.tuples(st.just("done"), st.integers(0, 7)),
        st.tuples(st.just("shed"), st.none()),
        st.tuples(st.just("shed newest"), st.none()),
    ),
    max_size=120,
)


@given(workers=st.integers(1, 4), steps=STEPS)
def test_p12_keys_keep_their_order_and_no_lane_idles_beside_work(workers, steps):
    scheduler = KeyScheduler(workers)
    at_work: dict[int, tuple] = {}  # worker -> (key, number)
    parked: list[tuple] = []
    started: dict[object, list[int]] = defaultdict(list)

    def begin(worker: int, work: tuple) -> None:
        assert worker not in at_work
        at_work[worker] = work
        started[work[0]].append(work[1])

    for number, (step, what) in enumerate(steps):
        if step == "put" and not scheduler.full:
            work = (what, number)
            worker = scheduler.put(NO_KEY if what is None else what, work)
            if worker is None:
                parked.append(work)
            else:
                begin(worker, work)
        elif step == "done" and at_work:
            worker = sorted(at_work)[what % len(at_work)]
            key, _ = at_work.pop(worker)
            following = scheduler.done(worker)
            if following is not None:
                # The oldest of this key: its others are parked for good reason.
                assert following == next(one for one in parked if one[0] == key)
                parked.remove(following)
                begin(worker, following)
            else:
                assert key is None or all(one[0] != key for one in parked)
        elif step == "shed" and parked:
            assert scheduler.shed_oldest() == parked.pop(0)
        elif step == "shed newest" and parked:
            assert scheduler.shed_newest() == parked.pop()
        keys = [key for key, _ in at_work.values() if key is not None]
        assert len(keys) == len(set(keys)), "a key in two workers"
        assert {key for key, _ in parked} <= set(keys), "parked for nothing"
        assert scheduler.parked == len(parked)
        assert scheduler.busy == len(at_work)
        assert scheduler.full == (len(at_work) == workers)
    assert all(numbers == sorted(numbers) for key, numbers in started.items() if key is not None)
    assert scheduler.clear() == parked
    for worker in list(at_work):
        assert scheduler.done(worker) is None
    assert not scheduler.busy
    assert not scheduler._waiting  # it keeps no key that has no message


def test_lanes_are_used_in_turns():
    scheduler = KeyScheduler(3)
    assert [scheduler.put(NO_KEY, n) for n in range(3)] == [0, 1, 2]
    for worker in (1, 0, 2):
        scheduler.done(worker)
    assert [scheduler.put(NO_KEY, n) for n in range(3)] == [1, 0, 2]


def test_what_is_through_is_counted_up_to_the_first_that_is_not():
    scheduler = KeyScheduler(2)
    first = scheduler.put("a", "a1")
    assert first is not None
    assert scheduler.put("a", "a2") is None
    second = scheduler.put("b", "b1")
    assert second is not None
    assert (scheduler.taken, scheduler.finished) == (3, 0)
    scheduler.done(second)
    assert scheduler.finished == 0
    assert scheduler.done(first) == "a2"
    assert scheduler.finished == 1  # a2 is in hand, b1 after it is through
    scheduler.done(first)
    assert scheduler.finished == scheduler.taken == 3
    third = scheduler.put("a", "a3")
    assert third is not None
    assert scheduler.put("a", "a4") is None
    scheduler.shed_oldest()
    assert scheduler.finished == 3
    scheduler.done(third)
    assert scheduler.finished == 5
