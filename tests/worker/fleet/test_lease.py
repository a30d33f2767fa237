"""F3: a member knows when its lease is over before the server does, and who may be dead."""

from __future__ import annotations

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from actors.worker.fleet.lease import OwnLease
from actors.worker.fleet.members import FleetSettings, Member
from actors.worker.fleet.presence import Presence, looked_after

TTL_2 = FleetSettings(ttl=2.0, drift=0.1)


def test_f3_a_lease_counts_from_when_its_renewal_was_sent():
    lease = OwnLease(TTL_2)
    assert lease.is_over(0.0)
    lease.granted(sent=10.0, now=10.9)
    assert not lease.is_over(11.79)
    assert lease.is_over(11.8)
    lease.granted(sent=9.0, now=11.0)
    assert lease.ends == 11.8


@given(st.floats(0.9, 1.1), st.lists(st.tuples(st.floats(0, 3), st.floats(0, 3)), min_size=1))
def test_f3_by_its_own_clock_a_lease_ends_before_it_does_at_the_server(rate, renewals):
    """Whatever the delays, while the member's clock is at most a tenth slower."""
    lease, time = OwnLease(TTL_2), 0.0
    for way_there, way_back in renewals:
        sent, ran = time, time + way_there
        time = ran + way_back
        lease.granted(sent * rate, time * rate)
        assert lease.ends / rate <= ran + 2.0 + 1e-9


def test_a_lease_is_renewed_four_times_before_it_ends():
    lease = OwnLease(TTL_2)
    lease.granted(sent=10.0, now=10.1)
    assert lease.due == 10.5
    lease.called()
    assert lease.due == inf
    lease.at_once(10.6)
    assert lease.due == inf
    lease.failed(11.0)
    assert lease.due == 11.25
    lease.hasten(11.0)
    assert lease.due == 11.1
    lease.at_once(11.0)
    assert lease.due == 11.0


def test_a_reply_that_comes_late_has_the_next_renewal_at_once_and_not_earlier():
    lease = OwnLease(TTL_2)
    lease.granted(sent=10.0, now=11.5)
    assert lease.due == 11.5


def test_f3_two_looks_make_a_suspect():
    a, b = Member("a", "1"), Member("b", "1")
    presence = Presence()
    assert presence.looked({a: 0, b: 1}) == []
    assert presence.in_doubt
    assert presence.looked({a: 1, b: 0}) == []
    assert presence.looked({a: 0, b: 0}) == [b]
    assert presence.looked({a: 0, b: 0}) == [a]


def test_f3_a_look_that_failed_counts_for_nothing():
    a, presence = Member("a", "1"), Presence()
    presence.looked({a: 0})
    presence.forget()
    assert presence.looked({a: 0}) == []


def test_f3_another_incarnation_is_another_member():
    presence = Presence()
    presence.looked({Member("a", "1"): 0})
    assert presence.looked({Member("a", "2"): 0}) == []


def test_f3_in_a_small_fleet_everybody_looks_after_everybody():
    members = [Member(f"host-{n}", "1") for n in range(50)]
    assert looked_after(members[7], members) == sorted(set(members) - {members[7]})
    assert looked_after(members[0], members[:1]) == []


@given(st.integers(52, 120), st.integers(0, 10**6))
def test_f3_in_a_large_fleet_each_member_is_looked_after_by_three(count, salt):
    members = [Member(f"host-{n}", str(salt)) for n in range(count)]
    looks = [looked_after(me, members) for me in members]
    assert all(len(set(each)) == 3 for each in looks)
    for member in members:
        assert sum(member in each for each in looks) == 3
