"""The position of a consumer that resumes: nothing before it is unhandled (R4)."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.pubsub.delivery.progress import InHand, Progress, shed, taken


class Watched:
    """A Progress, and how often it said that it has changed."""

    def __init__(self) -> None:
        self.calls = 0
        self.progress = Progress(self._changed)

    def _changed(self) -> None:
        self.calls += 1


@pytest.mark.parametrize(
    ("steps", "position"),
    [
        ("", None),
        ("b0", 0),
        ("r0", 0),
        ("b0 t1", 0),
        ("b0 t1 d1", 1),
        ("b0 t1 t2 d2", 0),
        ("b0 t1 t2 d2 d1", 2),
        ("b0 t1 t2 t3 d1 d3", 1),
        ("b0 t1 d1 t5", 1),  # 2 to 4 were shed
        ("b0 t1 d1 t5 d5", 5),
        ("b0 t1 t1 d1", 1),  # put back, and taken again
        ("b0 t1 t2 t3 d2 t1 t2 d2 d1", 2),
        ("b0 t1 d1 d1", 1),
        ("b0 t1 c1", 0),  # the process ends
        ("b0 t1 t2 c1 d2", 0),
        ("b0 t1 c1 t2", 1),  # the process went on
        ("b0 t1 c1 t2 d2", 2),
        ("b7 t8 d8 b0", 0),  # another history
    ],
)
def test_r4_the_position_is_before_the_oldest_message_in_hand(steps: str, position: Any):
    progress = Watched().progress
    calls = {
        "b": progress.begun,
        "r": progress.resumed,
        "t": progress.take,
        "d": progress.done,
        "c": progress.cut_short,
    }
    for step in steps.split():
        calls[step[0]](int(step[1:]))
    assert progress.position == position


@given(st.lists(st.tuples(st.sampled_from(["take", "done", "shed", "note"]), st.integers(0, 9))))
def test_r4_whatever_is_done_first_nothing_before_the_position_is_in_hand(
    steps: list[tuple[str, int]],
):
    progress = Watched().progress
    progress.begun(0)
    queue, in_hand, noted = list(range(1, 30)), list[int](), progress.noted()
    for step, place in steps:
        if step == "take" and queue:
            in_hand.append(queue.pop(0))
            progress.take(in_hand[-1])
        elif step == "done" and in_hand:
            progress.done(in_hand.pop(place % len(in_hand)))
        elif step == "shed" and queue:
            queue.pop(place % len(queue))
        elif step == "note":
            noted = progress.noted()
        assert progress.position < min([*in_hand, *queue, 30])
        assert progress.in_hand == len(in_hand)
        assert progress.position >= noted  # it never goes back
        assert not progress.is_noted or progress.position == noted
    for one in in_hand:
        progress.done(one)
    taken_last = progress.position
    progress.take(31)
    assert progress.position == taken_last


def test_a_change_is_said_once_until_it_is_noted():
    watched = Watched()
    progress = watched.progress
    progress.begun(0)
    for number in range(1, 5):
        progress.take(number)
        progress.done(number)
    assert watched.calls == 1
    assert progress.noted() == 4
    progress.take(5)
    assert watched.calls == 1
    progress.done(5)
    assert watched.calls == 2


def message(channel: str, name: str | None) -> dict[str, Any]:
    one = {"type": "message", "channel": channel, "data": "x"}
    return one if name is None else one | {"id": name}


def test_only_messages_of_channels_that_resume_are_taken():
    progress = Watched().progress
    known = {"a": progress}
    assert taken(message("a", "1-1"), known) == (progress, "1-1")
    assert taken(message("b", "1-1"), known) is None
    assert taken(message("a", None), known) is None
    assert taken("a timer's message", known) is None
    shed(message("a", "1-1"), known)
    shed(message("b", "1-1"), known)
    assert progress.position == "1-1"


def test_the_reader_has_handled_what_it_has_when_it_asks_for_more():
    progress = Watched().progress
    queue: deque[Any] = deque([message("a", "1-1"), message("b", None), message("a", "1-2")])
    hand = InHand(queue, {"a": progress})
    hand.popleft()
    assert (progress.in_hand, progress.position) == (1, None)
    hand.popleft()
    assert (progress.in_hand, progress.position) == (0, "1-1")
    hand.popleft()
    with pytest.raises(IndexError):
        hand.popleft()
    assert progress.position == "1-2"
    hand.gave([message("a", "1-3"), message("a", "1-4")])
    assert progress.position == "1-2"
    hand.asked()
    assert progress.position == "1-4"
