"""How often a slot is followed to another node (P6b): at once, and then ever more seldom."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actors.pubsub.cluster.redirects import Redirects


def test_a_slot_that_moves_now_and_then_is_always_followed_at_once():
    redirects = Redirects()
    assert all(redirects.may_follow(1, 20.0 * number) for number in range(50))


def test_the_first_redirections_in_a_row_are_followed_and_then_there_is_a_pause():
    redirects = Redirects()
    assert [redirects.may_follow(1, 0.001 * n) for n in range(5)] == [
        True,
        True,
        True,
        False,
        False,
    ]
    assert redirects.may_follow(2, 0.005), "another slot is none of its business"
    assert redirects.may_follow(1, 0.15)
    assert not redirects.may_follow(1, 0.3)
    assert redirects.may_follow(1, 0.36)


@given(st.floats(0.0001, 0.01), st.integers(1, 2000))
def test_however_often_nodes_contradict_each_other_few_redirections_are_followed(pause, count):
    redirects, now, followed = Redirects(), 0.0, 0
    for _ in range(count):
        now += pause
        followed += redirects.may_follow(1, now)
    assert followed <= 3 + 10 + now / 4


def test_what_was_not_redirected_for_a_while_is_forgotten():
    redirects = Redirects()
    for number in range(100):
        redirects.may_follow(number, 1.0)
    redirects.expire(5.0)
    assert len(redirects._followed) == 100
    redirects.expire(20.0)
    assert not redirects._followed


def test_p6b_a_claim_with_a_higher_epoch_is_news_and_one_with_a_lower_one_is_not():
    redirects = Redirects()
    for move in range(20):
        assert redirects.may_follow(7, 0.01 * move, epoch=10 + move)
    # Two nodes that contradict each other: their claims have the epochs that they had.
    split = Redirects()
    followed = sum(split.may_follow(7, 0.01 * n, epoch=10 + n % 2) for n in range(200))
    assert followed < 10


def test_p6b_many_slots_that_nodes_contradict_each_other_about_share_an_allowance():
    redirects = Redirects()
    for _ in range(3):
        assert all(redirects.may_follow(slot, 0.0) for slot in range(1000)), "a few at once"
    followed = sum(
        redirects.may_follow(slot, 0.1 * step) for step in range(100) for slot in range(1000)
    )
    assert followed <= 4 + 2 * 10
