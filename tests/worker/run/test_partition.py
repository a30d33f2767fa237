from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.worker.run.partition import WHOLE, Partition, owner

names = st.one_of(st.text(min_size=1), st.binary(min_size=1))
counts = st.integers(1, 12)


@given(names, counts)
def test_each_name_is_in_exactly_one_share(name, count):
    assert sum(Partition(index, count).has(name) for index in range(count)) == 1


@given(names, counts)
def test_with_one_more_process_a_name_stays_or_goes_to_the_new_one(name, count):
    assert owner(name, count + 1) in (owner(name, count), count)


@given(names, counts, st.integers(1, 5))
def test_the_shares_of_a_share_split_the_whole(name, machines, processes):
    shares = [
        share
        for machine in range(machines)
        for share in Partition(machine, machines).split(processes)
    ]
    assert len(set(shares)) == machines * processes
    assert sum(share.has(name) for share in shares) == 1


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
def test_about_one_in_n_plus_one_moves_to_a_new_process(count):
    all_names = [f"channel-{number}" for number in range(4000)]
    moved = sum(owner(name, count) != owner(name, count + 1) for name in all_names)
    assert moved / len(all_names) == pytest.approx(1 / (count + 1), abs=0.03)


def test_shares_are_of_about_the_same_size():
    shares = [share for machine in range(2) for share in Partition(machine, 2).split(3)]
    sizes = [sum(share.has(f"orders.{number}") for number in range(6000)) for share in shares]
    assert sum(sizes) == 6000
    assert min(sizes) > 850
    assert max(sizes) < 1150


def test_the_answer_is_the_same_for_ever():
    # What is deployed in one place with this release and in another with the next must agree.
    assert [owner(name, 5) for name in ("orders", "users", "audit", "a", "b", "c")] == GOLDEN
    assert owner("orders", 5) == owner(b"orders", 5)


GOLDEN = [0, 3, 4, 0, 4, 2]


@pytest.mark.parametrize(
    ("text", "share"),
    [("0/1", WHOLE), ("2/3", Partition(2, 3)), ("2/3:1/2", Partition(2, 3, 1, 2))],
)
def test_shares_are_written_as_index_and_count(text, share):
    assert Partition.parse(text) == share
    assert str(share) == text


@pytest.mark.parametrize("text", ["", "1", "3/3", "-1/3", "a/b", "1/0", "1/2/3", "/3", "0/2:2/2"])
def test_what_is_no_share_is_refused(text):
    with pytest.raises(ValueError, match=r"partition|I/N"):
        Partition.parse(text)
