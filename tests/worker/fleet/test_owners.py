"""F1: each name has one owner, and a change of members moves what it must."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.worker.fleet.owners import owned, owner

NAMES = frozenset(f"orders.{n}" for n in range(3000))
IDS = tuple(f"host-{n}" for n in range(8))
PINNED = ["host-7", "host-2", "host-5", "host-6", "host-7", "host-4"]
names = st.frozensets(st.text(max_size=12), max_size=30)
ids = st.lists(st.text("abc-019", min_size=1, max_size=6), unique=True, max_size=8).map(tuple)


def owners(names: frozenset[str], ids: tuple[str, ...]) -> dict[str, str | None]:
    return {name: owner(name, ids) for name in names}


def test_f1_owners_are_the_same_in_every_process_and_version():
    """These owners are part of the protocol: members of two versions have to agree."""
    assert [owner(f"orders.{n}", IDS) for n in range(6)] == PINNED
    assert owner("čaj \udcff", IDS) == "host-0"


def test_f1_hash_randomization_changes_no_owner():
    program = (
        "from actors.worker.fleet.owners import owner;"
        "print(*(owner(f'orders.{n}', tuple(f'host-{n}' for n in range(8))) for n in range(6)))"
    )
    for seed in ("0", "1"):
        env = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True
        )
        assert done.stdout.split() == PINNED


@given(names, ids)
def test_f1_each_name_has_one_owner(names, ids):
    shares = [owned(names, ids, each) for each in ids]
    assert sum(map(len, shares)) == (len(names) if ids else 0)
    assert frozenset().union(*shares) == (names if ids else frozenset())
    assert owned(names, ids, "nobody") == frozenset()


@given(names, ids, st.randoms())
def test_f1_the_order_of_members_does_not_matter(names, ids, random):
    shuffled = random.sample(ids, len(ids))
    assert owners(names, tuple(shuffled)) == owners(names, ids)


@given(names, ids, st.text("xyz", min_size=1))
def test_f2_a_member_that_comes_or_goes_moves_its_own_names_only(names, ids, comes):
    after = (*ids, comes)
    old, new = owners(names, ids), owners(names, after)
    moved = {name for name in names if old[name] != new[name]}
    assert moved == owned(names, after, comes)
    assert all(new[name] == comes for name in moved)


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_f1_shares_are_balanced(count):
    shares = Counter(owners(NAMES, IDS[:count]).values())
    fair = len(NAMES) / count
    assert len(shares) == count
    assert 0.85 * fair < min(shares.values()) <= max(shares.values()) < 1.15 * fair


def test_f3_what_a_dead_member_owned_is_spread_over_all_others():
    gone = owned(NAMES, IDS, IDS[0])
    takers = Counter(owner(name, IDS[1:]) for name in gone)
    assert sum(takers.values()) == len(gone)
    assert min(takers[each] for each in IDS[1:]) > len(gone) / 7 / 2
