"""Targets that a node refused for good: asked for each by itself, named once in the log (P11)."""

from __future__ import annotations

from actors.pubsub.model.types import Kind, Target
from actors.pubsub.subscriptions.refusals import Refusals

X, Y = Target(Kind.SHARD, b"x"), Target(Kind.SHARD, b"y")


def test_a_refused_target_is_news_once():
    refusals = Refusals()
    assert not refusals
    assert not refusals.is_news(X), "nobody refused it"
    refusals.add(X)
    assert refusals
    assert X in refusals
    assert Y not in refusals
    assert refusals.is_news(X)
    assert not refusals.is_news(X)
    refusals.add(X)
    assert not refusals.is_news(X), "refused again is no news"


def test_a_target_that_was_forgiven_is_news_when_it_is_refused_again():
    refusals = Refusals()
    refusals.add(X)
    assert refusals.is_news(X)
    refusals.forgive(X)
    assert not refusals
    assert X not in refusals
    refusals.add(X)
    assert refusals.is_news(X)
    refusals.forgive(Y)
    assert refusals.targets == {X}


def test_refusals_of_a_crashed_manager_are_inherited_for_the_targets_there_still_are():
    former, refusals = Refusals(), Refusals()
    for target in (X, Y):
        former.add(target)
        assert former.is_news(target)
    refusals.inherit(former, {X})
    assert refusals.targets == {X}
    assert not refusals.is_news(X), "the log has named it"
    refusals.add(Y)
    assert refusals.is_news(Y)
    assert former.targets == {X, Y}, "the crashed manager's are its own"
