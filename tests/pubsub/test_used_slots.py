"""The index of used slots: what the plain way over all channels finds, without that way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hypothesis import given
from hypothesis import strategies as st

from actors.pubsub.cluster.used_slots import UsedSlots
from actors.pubsub.model.types import Kind, Target
from actors.redis.topology.slots import SlotRange


class Channels:
    """Channels whose names end in their slots, and how often they were looked through."""

    def __init__(self, slots: Sequence[int] = ()) -> None:
        self.version = 0
        self.read = 0
        self.slots = list(slots)
        self.index = UsedSlots(lambda: self.version, self.targets, self.slots_of)

    def targets(self) -> list[Target]:
        self.read += 1
        return [Target(Kind.SHARD, b"%d-%d" % pair) for pair in enumerate(self.slots)]

    @staticmethod
    def slots_of(targets: Iterable[Target]) -> list[int]:
        return [int(target.name.partition(b"-")[2]) for target in targets]


slots = st.integers(0, 60)
runs = st.lists(st.tuples(st.integers(0, 9), st.integers(1, 10)), max_size=6).map(
    lambda pairs: [
        SlotRange(10 * number + min(pair), 10 * number + max(pair) - 1)
        for number, pair in enumerate(pairs)
        if min(pair) < max(pair)
    ]
)


@given(st.lists(slots), runs, st.sets(slots))
def test_it_finds_what_is_there(used, runs, some):
    channels = Channels(used)
    index = channels.index
    inside = [slot for slot in sorted(used) if any(run.start <= slot <= run.end for run in runs)]
    assert list(index.all()) == sorted(used)
    assert index.within(runs) == inside
    assert index.count(runs) == len(inside)
    assert index.among(some) == some & set(used)
    found = index.targets_in(some)
    assert sorted(found) == sorted(
        target for target, slot in zip(channels.targets(), used, strict=True) if slot in some
    )
    assert Channels.slots_of(found) == sorted(Channels.slots_of(found))


def test_it_is_made_once_for_the_same_channels_and_anew_for_others():
    channels = Channels([3, 1, 3])
    first = channels.index.all()
    assert first == [1, 3, 3]
    assert channels.index.count([SlotRange(0, 9)]) == 3
    assert channels.index.all() is first
    assert channels.read == 1
    channels.slots.append(2)
    channels.version += 1
    assert channels.index.all() == [1, 2, 3, 3]
    assert channels.index.among({2, 4}) == {2}
    assert channels.read == 2
