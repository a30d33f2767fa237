"""The order of lanes: each key's own, and nobody in the way of anybody else."""

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


@given(lanes=st.integers(1, 4), steps=STEPS)
def test_p12_keys_keep_their_order_and_no_lane_idles_beside_work(lanes, steps):
    rota = KeyScheduler(lanes)
    at_work: dict[int, tuple] = {}  # lane -> (key, number)
    parked: list[tuple] = []
    started: dict[object, list[int]] = defaultdict(list)

    def begin(lane: int, work: tuple) -> None:
        assert lane not in at_work
        at_work[lane] = work
        started[work[0]].append(work[1])

    for number, (step, what) in enumerate(steps):
        if step == "put" and not rota.full:
            work = (what, number)
            lane = rota.put(NO_KEY if what is None else what, work)
            if lane is None:
                parked.append(work)
            else:
                begin(lane, work)
        elif step == "done" and at_work:
            lane = sorted(at_work)[what % len(at_work)]
            key, _ = at_work.pop(lane)
            following = rota.done(lane)
            if following is not None:
                # The oldest of this key: its others are parked for good reason.
                assert following == next(one for one in parked if one[0] == key)
                parked.remove(following)
                begin(lane, following)
            else:
                assert key is None or all(one[0] != key for one in parked)
        elif step == "shed" and parked:
            assert rota.shed() == parked.pop(0)
        elif step == "shed newest" and parked:
            assert rota.shed_newest() == parked.pop()
        keys = [key for key, _ in at_work.values() if key is not None]
        assert len(keys) == len(set(keys)), "a key in two lanes"
        assert {key for key, _ in parked} <= set(keys), "parked for nothing"
        assert rota.parked == len(parked)
        assert rota.busy == len(at_work)
        assert rota.full == (len(at_work) == lanes)
    assert all(numbers == sorted(numbers) for key, numbers in started.items() if key is not None)
    assert rota.clear() == parked
    for lane in list(at_work):
        assert rota.done(lane) is None
    assert not rota.busy
    assert not rota._waiting  # it keeps no key that has no message


def test_lanes_are_used_in_turns():
    rota = KeyScheduler(3)
    assert [rota.put(NO_KEY, n) for n in range(3)] == [0, 1, 2]
    for lane in (1, 0, 2):
        rota.done(lane)
    assert [rota.put(NO_KEY, n) for n in range(3)] == [1, 0, 2]


def test_what_is_through_is_counted_up_to_the_first_that_is_not():
    rota = KeyScheduler(2)
    first = rota.put("a", "a1")
    assert first is not None
    assert rota.put("a", "a2") is None
    second = rota.put("b", "b1")
    assert second is not None
    assert (rota.taken, rota.through) == (3, 0)
    rota.done(second)
    assert rota.through == 0
    assert rota.done(first) == "a2"
    assert rota.through == 1  # a2 is in hand, b1 after it is through
    rota.done(first)
    assert rota.through == rota.taken == 3
    third = rota.put("a", "a3")
    assert third is not None
    assert rota.put("a", "a4") is None
    rota.shed()
    assert rota.through == 3
    rota.done(third)
    assert rota.through == 5
