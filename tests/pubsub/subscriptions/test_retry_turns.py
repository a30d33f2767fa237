"""How often servers are asked again that refused for the moment (pure)."""

from __future__ import annotations

from actors.pubsub.subscriptions.retry_turns import RetryTurns


def nobody(target: int) -> bool:
    """No node feeds any target."""
    return False


def test_the_pause_grows_to_its_limit_and_few_are_asked_for_in_turn():
    turns = RetryTurns(0.5)
    assert turns.pause == 0.05
    refused = list(range(12))
    asked = [turns.take(refused, nobody) for _ in range(4)]
    assert asked == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [10, 11, 0, 1, 2], [3, 4, 5, 6, 7]]
    assert turns.pause == 0.5
    for _ in range(2000):
        turns.take(refused, nobody)
    assert turns.pause == 0.5


def test_many_more_are_asked_for_once_some_were_accepted():
    turns = RetryTurns(0.5)
    refused = list(range(10_000))
    rounds = 0
    while refused:
        asked = set(turns.take(refused, set(range(10_000)).difference(refused).__contains__))
        refused = [one for one in refused if one not in asked]
        rounds += 1
        assert rounds == 1 or turns.pause == 0.05
    assert rounds < 9


def test_nothing_refused_is_nothing_to_ask_for():
    assert RetryTurns(0.5).take([], nobody) == []


def test_p6b_targets_that_are_sent_elsewhere_are_accepted_by_nobody():
    turns = RetryTurns(0.5)
    for attempt in range(20):
        turns.take([0, 1, 2, 3] if attempt % 2 else [0, 1], nobody)
    assert (turns.pause, turns.count) == (0.5, 1)
