"""The merge: several delayed copies of one sequence become that sequence (P7)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actors.pubsub.delivery.merge import LAG, MEMORY, OWED, Merge
from actors.pubsub.delivery.merge_input import MergeInput

SHARD, OTHER = "shard", "other"


class Clock:
    """The time, set by hand."""

    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


class Sink:
    """An writer that keeps what it gets."""

    def __init__(self) -> None:
        self.got: list[object] = []

    def put(self, message: dict) -> None:
        self.got.append(message["data"])


def make() -> tuple[Merge, Sink, Clock]:
    sink, clock = Sink(), Clock()
    return Merge(sink, clock), sink, clock


def make_telling() -> tuple[Merge, Sink, Clock, list[tuple[float, float]]]:
    """Return also what the merge tells of what it drops."""
    missed: list[tuple[float, float]] = []
    sink, clock = Sink(), Clock()
    merge = Merge(sink, clock, dropped=lambda since, until, _: missed.append((since, until)))
    return merge, sink, clock, missed


def put(port: MergeInput, *payloads: object) -> None:
    for payload in payloads:
        port.put({"data": payload})


def test_the_leader_passes_at_once_and_copies_are_dropped():
    merge, sink, _ = make()
    old, new = merge.add("old", SHARD), merge.add("new", SHARD)
    merge.lead("old")
    put(old, 1, 2)
    put(new, 1, 2)
    put(old, 3)
    assert sink.got == [1, 2, 3]


def test_what_the_leader_has_yet_to_deliver_waits_for_it():
    merge, sink, _ = make()
    old, new = merge.add("old", SHARD), merge.add("new", SHARD)
    merge.lead("old")
    put(new, 2, 3)
    assert sink.got == []
    put(old, 1, 2)
    assert sink.got == [1, 2]
    put(old, 3, 4)
    put(new, 4)
    assert sink.got == [1, 2, 3, 4]


def test_what_the_leader_missed_passes_before_the_next_that_it_did_not():
    merge, sink, _ = make()
    old, new = merge.add("old", SHARD), merge.add("new", SHARD)
    merge.lead("old")
    put(new, 1, 2, 3)
    put(old, 3)
    assert sink.got == [1, 2, 3]


def test_a_new_leader_begins_with_what_was_held_of_it():
    merge, sink, _ = make()
    old, new = merge.add("old", SHARD), merge.add("new", SHARD)
    merge.lead("old")
    put(old, 1)
    put(new, 1, 2, 3)
    merge.remove("old")
    merge.lead("new")
    put(new, 4)
    assert sink.got == [1, 2, 3, 4]


def test_what_was_delivered_before_there_was_a_merge_is_known():
    merge, sink, _ = make()
    merge.remember([1, 2, 3], SHARD)
    new = merge.add("new", SHARD)
    merge.lead("new")
    put(new, 2, 3, 4)
    assert sink.got == [4]


def test_who_delivered_it_does_not_repeat_it():
    merge, sink, _ = make()
    merge.remember(["tick", "tick"], SHARD)
    old = merge.add("old", SHARD, repeats=False)
    merge.lead("old")
    put(old, "tick")
    assert sink.got == ["tick"]


def test_the_same_payload_later_is_another_message():
    merge, sink, clock = make()
    old, new = merge.add("old", SHARD), merge.add("new", SHARD)
    merge.lead("old")
    put(old, "tick")
    clock.time += 2 * OWED
    merge.expire()
    merge.remove("old")
    merge.lead("new")
    put(new, "tick")
    assert sink.got == ["tick", "tick"]


def test_what_a_node_delivered_itself_is_not_what_it_owes():
    merge, sink, clock = make()
    old, new = merge.add("old", SHARD), merge.add("new", SHARD)
    merge.lead("old")
    put(old, "tick")
    put(new, "tick")
    merge.remove("old")
    merge.lead("new")
    clock.time += 0.1
    put(new, "tick")
    assert sink.got == ["tick", "tick"]


def test_a_node_that_joins_repeats_the_latest_of_equal_payloads():
    merge, sink, clock = make()
    old = merge.add("old", SHARD)
    merge.lead("old")
    put(old, "tick")
    clock.time += 0.1
    new = merge.add("new", SHARD)
    put(old, "tick")
    put(new, "tick")
    clock.time += 0.1
    merge.remove("old")
    merge.lead("new")
    put(new, "tick")
    assert sink.got == ["tick", "tick", "tick"]


def test_two_that_accept_messages_deliver_them_in_different_orders():
    """While roles change: what one relays comes to the other after what that one accepts."""
    merge, sink, clock = make()
    old, new = merge.add("old", SHARD), merge.add("new", SHARD)
    merge.lead("new")
    put(new, 210)
    put(old, 210)
    clock.time += 2 * LAG
    put(old, 212)
    put(new, 213)
    put(old, 213)
    put(new, 211, 212, 214)
    put(old, 214)
    assert sink.got == [210, 213, 211, 212, 214]


def test_what_passed_before_a_node_was_live_may_come_from_it_in_another_order():
    merge, sink, _ = make()
    old = merge.add("old", SHARD)
    merge.lead("old")
    put(old, 148)
    new = merge.add("new", SHARD)
    put(new, 149)
    put(old, 149)
    put(new, 148)
    merge.remove("old")
    merge.lead("new")
    assert sink.got == [148, 149]


def test_what_the_leader_missed_and_a_later_message_has_overtaken_is_dropped_and_told():
    merge, sink, clock, missed = make_telling()
    leader, other = merge.add("leader", SHARD), merge.add("other", SHARD)
    merge.lead("leader")
    put(other, 0)
    put(leader, 0)
    clock.time += 2 * LAG
    put(leader, 2)
    put(other, 1, 2)
    clock.time += MEMORY / 2
    merge.expire()
    assert (sink.got, missed) == ([0, 2], []), "the leader may deliver 1 later"
    clock.time += MEMORY
    merge.expire()
    assert (sink.got, missed) == ([0, 2], [(100.0 + 2 * LAG - MEMORY, 100.0 + 2 * LAG)])
    put(leader, 3)
    put(other, 3)
    assert sink.got == [0, 2, 3]


def test_what_the_leader_has_overtaken_is_not_passed_when_its_time_is_up():
    merge, sink, clock, missed = make_telling()
    leader, other = merge.add("leader", SHARD), merge.add("other", SHARD)
    merge.lead("leader")
    put(leader, 0)
    put(other, 0)
    clock.time += 2 * LAG
    put(other, 1)  # the leader has missed it
    clock.time += 0.9 * MEMORY
    put(leader, 2)
    clock.time += 0.2 * MEMORY
    merge.expire()
    put(other, 2)
    assert (sink.got, len(missed)) == ([0, 2], 1)


def test_a_node_far_ahead_of_the_leader_passes_what_the_leader_is_silent_about():
    merge, sink, clock, missed = make_telling()
    leader, other = merge.add("leader", SHARD), merge.add("other", SHARD)
    merge.lead("leader")
    put(leader, 0)
    put(other, 0)
    clock.time += 2 * LAG
    put(other, 1, 2)
    clock.time += 0.9 * MEMORY
    put(leader, 1)  # the other one has delivered this: it overtakes nothing
    clock.time += 0.2 * MEMORY
    merge.expire()
    put(leader, 2)
    assert (sink.got, missed) == ([0, 1, 2], [])


def test_the_leader_delivers_what_is_overtaken_at_another_node():
    merge, sink, clock, missed = make_telling()
    leader, other = merge.add("leader", SHARD), merge.add("other", SHARD)
    merge.lead("leader")
    put(other, 0)
    put(leader, 0)
    clock.time += 2 * LAG
    put(leader, 2)
    put(other, 1, 2)
    put(leader, 1, 3)
    clock.time += 2 * MEMORY
    merge.expire()
    put(other, 3)
    assert (sink.got, missed) == ([0, 2, 1, 3], [])


def test_what_is_overtaken_of_a_node_that_becomes_the_leader_or_leaves_is_dropped_and_told():
    for leaves in (False, True):
        merge, sink, clock, missed = make_telling()
        leader, other = merge.add("leader", SHARD), merge.add("other", SHARD)
        third = merge.add("third", SHARD)
        merge.lead("leader")
        put(leader, 0)
        put(other, 0)
        put(third, 0)
        clock.time += 2 * LAG
        put(leader, 2)
        put(other, 1, 2, 4)
        put(third, 1, 2, 4)
        merge.remove("other" if leaves else "leader")
        merge.lead("third" if leaves else "other")
        assert sink.got == [0, 2, 4]
        clock.time += 2 * MEMORY
        merge.expire()
        assert missed == [(100.0 + 2 * LAG - MEMORY, 100.0 + 2 * LAG)], "once, of all nodes"


def test_when_all_nodes_are_gone_what_is_overtaken_is_told():
    merge, sink, clock, missed = make_telling()
    leader, other = merge.add("leader", SHARD), merge.add("other", SHARD)
    merge.lead("leader")
    put(leader, 0)
    put(other, 0)
    clock.time += 2 * LAG
    put(leader, 2)
    put(other, 1, 2)
    merge.finish()
    assert sink.got == [0, 2]
    assert len(missed) == 1


def test_what_is_from_before_the_leader_was_live_does_not_come_out_of_order():
    merge, sink, _ = make()
    other = merge.add("other", SHARD)
    leader = merge.add("leader", SHARD)
    merge.lead("leader")
    put(leader, 2)
    put(other, 1, 2)
    assert sink.got == [2]


def test_what_is_from_before_the_leader_was_live_may_be_as_late_as_a_node_that_counts():
    """On a busy machine the bus is slow; who has delivered the leader's first is past that."""
    merge, sink, clock, missed = make_telling()
    leader, other = merge.add("leader", SHARD), merge.add("other", SHARD)
    merge.lead("leader")
    clock.time += 2 * LAG
    put(leader, 2, 3)
    put(other, 1, 2)
    assert sink.got == [2, 3]
    assert missed == [(100.0, 100.0 + 2 * LAG)]
    put(other, 2.5, 3)
    clock.time += 2 * OWED
    merge.expire()
    assert sink.got == [2, 3], "the leader missed 2.5 while it was live"
    assert len(missed) == 2


def test_a_new_leader_does_not_bring_what_is_from_before_the_last_one_was_live_after_later_ones():
    merge, sink, clock, missed = make_telling()
    old, new = merge.add("old", SHARD), merge.add("new", SHARD)
    merge.lead("old")
    clock.time += LAG / 4
    put(new, 1)  # accepted before the old one was live, which never delivers it
    clock.time += LAG / 4
    put(old, 2)
    clock.time += LAG / 4
    put(new, 3)
    merge.lead("new")
    put(new, 2, 4)
    assert sink.got == [2, 3, 4]
    ((since, until),) = missed  # it may be from after that, too: nothing is lost in silence
    assert (since, until) == (100.0, 100.0 + LAG / 4)


def test_what_a_node_had_from_before_the_leader_was_live_does_not_come_late_when_it_is_left():
    merge, sink, clock, missed = make_telling()
    new = merge.add("new", SHARD)
    merge.lead("new")
    clock.time += LAG / 4
    put(merge.add("old", SHARD), 1)
    merge.remove("old")
    clock.time += LAG / 4
    put(new, 2)
    clock.time += 2 * MEMORY
    merge.expire()
    assert sink.got == [2]
    assert missed == [(100.0, 100.0 + LAG / 4)]
    put(merge.add("old", SHARD), 3)
    merge.remove("old")
    clock.time += 2 * MEMORY
    merge.expire()
    assert sink.got == [2, 3], "no later one has passed"


def test_what_was_dropped_of_one_node_does_not_come_late_of_another():
    merge, sink, clock, missed = make_telling()
    leader = merge.add("leader", SHARD)
    merge.lead("leader")
    clock.time += LAG / 4
    near, far = merge.add("near", SHARD), merge.add("far", SHARD)
    put(leader, 2)
    put(far, 1)
    put(near, 1, 2)
    assert len(missed) == 1
    clock.time += 2 * MEMORY
    merge.expire()
    assert sink.got == [2]
    put(leader, 1)
    assert sink.got == [2, 1], "who leads says what is in order"


def test_a_new_leader_brings_what_no_later_one_has_overtaken_or_what_no_gap_tells_of():
    merge, sink, clock = make()
    long_live = merge.add("old", SHARD, repeats=False, since=clock.time - 2 * OWED)
    new = merge.add("new", SHARD)
    merge.lead("old")
    put(new, 1)
    clock.time += LAG / 4
    put(long_live, 2)
    merge.remove("old")
    merge.lead("new")
    assert sink.got == [2, 1], "late is better than lost"
    put(merge.add("third", SHARD), 1, 2, 3)
    merge.remove("new")
    merge.lead("third")
    assert sink.got == [2, 1, 3], "it came from no node that passed anything later"


def test_p7_a_bus_that_is_very_late_repeats_nothing_and_the_doubt_is_told():
    merge, sink, clock, missed = make_telling()
    merge.remember(["once", "often"], SHARD, ["often"])
    passed_at = clock.time
    new = merge.add("new", SHARD)
    merge.lead("new")
    clock.time += 3 * MEMORY
    put(new, "once", "often")
    assert sink.got == ["often"], "a word that comes often is another message"
    assert missed[0][0] < passed_at < missed[0][1], "the one that was dropped may have been, too"
    clock.time += OWED
    put(new, "once")
    assert sink.got == ["often", "once"]


def test_one_that_stood_still_repeats_nothing():
    merge, sink, clock = make()
    leader, other = merge.add("leader", SHARD), merge.add("other", SHARD)
    merge.lead("leader")
    put(leader, 1, 2, 3)
    clock.time += 2 * MEMORY
    assert not merge.expire(), "the other one has yet to deliver these"
    put(other, 1, 2, 3)
    clock.time += 2 * MEMORY
    merge.expire()
    assert sink.got == [1, 2, 3]


def test_it_is_over_when_the_one_node_left_owes_nothing_however_busy_it_is():
    merge, _, clock = make()
    old = merge.add("old", SHARD)
    merge.lead("old")
    put(old, 1)
    new = merge.add("new", SHARD)
    put(old, 2)
    put(new, 2)
    merge.remove("old")
    merge.lead("new")
    put(new, 3)
    clock.time += 2 * MEMORY
    assert not merge.expire(), "it may repeat the first"
    clock.time += OWED
    put(new, 4)
    assert merge.expire()


def test_another_shards_messages_wait_for_the_last_word_of_the_old_owner():
    merge, sink, _ = make()
    old, new = merge.add("old", SHARD), merge.add("new", OTHER)
    merge.lead("old")
    put(old, "a")
    put(new, "a", "b")  # no copies, whatever they look like
    assert sink.got == ["a"]
    put(old, "z")
    merge.remove("old")
    merge.lead("new")
    assert sink.got == ["a", "z", "a", "b"]


def test_what_came_to_an_earlier_mate_of_another_shards_new_leader_passes_before_it():
    merge, sink, clock = make()
    put(merge.add("old", SHARD), "ignored")
    merge.lead("old")
    sink.got.clear()
    early = merge.add("early", OTHER)
    put(early, 2)
    clock.time += 0.001
    new = merge.add("new", OTHER)
    put(new, 3)
    put(merge.inputs["old"], 1)
    merge.remove("old")
    merge.lead("new")
    put(early, 3, 4)
    put(new, 4, 5)
    put(early, 5)
    assert sink.got == [1, 2, 3, 4, 5]


def test_what_a_lost_node_had_before_the_leader_waits_for_the_leader():
    merge, sink, clock = make()
    leader, other = merge.add("leader", SHARD), merge.add("other", SHARD)
    merge.lead("leader")
    put(other, 1, 2)
    merge.remove("other")
    assert sink.got == []
    put(leader, 1)
    assert sink.got == [1]
    clock.time += 2 * MEMORY
    assert not merge.expire()
    assert sink.got == [1, 2]
    clock.time += 2 * OWED
    assert merge.expire(), "one node, and nothing that could come again"


def test_the_latecomer_of_three_changes_nothing():
    merge, sink, _ = make()
    ports = [merge.add(name, SHARD) for name in "abc"]
    merge.lead("a")
    put(ports[1], 1, 2)
    put(ports[2], 2, 3)
    put(ports[0], 3)
    assert sink.got == [1, 2, 3]
    put(ports[1], 3, 4)
    put(ports[2], 4)
    merge.remove("a")
    merge.lead("c")
    assert sink.got == [1, 2, 3, 4]


@given(data=st.data(), length=st.integers(0, 25), start=st.integers(0, 25))
def test_two_copies_make_one_sequence(data, length, start):
    """The new node begins anywhere; the old one leads, is left or lost anywhere after that."""
    merge, sink, _ = make()
    streams = {"old": list(range(length)), "new": list(range(min(start, length), length))}
    ports = {"old": merge.add("old", SHARD)}
    merge.lead("old")
    lost_at = data.draw(st.integers(0, length), label="messages that the old one delivers")
    del streams["old"][lost_at:]
    changed = False
    while any(streams.values()):
        choices = [name for name in streams if streams[name]]
        name = data.draw(st.sampled_from(choices), label="next")
        if name not in ports:
            ports[name] = merge.add(name, SHARD)
        put(ports[name], streams[name].pop(0))
        if not changed and not streams["old"] and "new" in ports and data.draw(st.booleans()):
            # As a hand-over does: the old one has delivered all that it will, or is gone.
            changed = True
            if data.draw(st.booleans(), label="the old one is lost"):
                merge.remove("old")
            merge.lead("new")
    if "new" in ports:
        merge.lead("new")
    missed = range(lost_at, min(start, length))  # neither of the two had these
    assert sink.got == [number for number in range(length) if number not in missed]


@given(data=st.data(), length=st.integers(1, 20))
def test_three_copies_with_holes_make_one_sequence(data, length):
    """Each message reaches one of them at least; in the end all that was held passes."""
    merge, sink, clock = make()
    names = ["a", "b", "c"]
    streams: dict[str, list[int]] = {name: [] for name in names}
    for number in range(length):
        for name in data.draw(st.sets(st.sampled_from(names), min_size=1)) | {"a"}:
            streams[name].append(number)
    ports = {name: merge.add(name, SHARD) for name in names}
    merge.lead("a")
    while any(streams.values()):
        name = data.draw(st.sampled_from([name for name in names if streams[name]]))
        put(ports[name], streams[name].pop(0))
    clock.time += 2 * MEMORY
    merge.expire()
    assert sink.got == list(range(length))
