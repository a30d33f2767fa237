"""The protocol in a simulated world: F1 to F3 whatever happens, in any order.

``python -m tests.worker.fleet --runs 5000`` runs more seeds, ``--seed N`` shows one step by step.
"""

from __future__ import annotations

import pytest

from actors.worker.fleet.members import FleetSettings
from tests.worker.fleet.faults import bound, run_with_faults
from tests.worker.fleet.world import Broken, World

# Seconds until a fleet that starts has its first view: wires and connections have their delays.
STARTED = 1.0


def started(seed: int, members: int = 3, **options) -> World:
    world = World(seed, gap=0.002, **options)
    for n in range(members):
        world.start(f"host-{n}")
    world.run(2 * STARTED)
    return world


@pytest.mark.parametrize("first", range(0, 60, 10))
def test_f3_nothing_comes_twice_and_every_name_gets_an_owner_again(first):
    for seed in range(first, first + 10):
        run_with_faults(seed)


@pytest.mark.parametrize("seed", [47, 165])
def test_f2_members_that_never_prepare_hold_up_no_others(seed):
    run_with_faults(seed)


@pytest.mark.parametrize("nodes", [1, 3])
@pytest.mark.parametrize("seed", range(5))
def test_f2_joins_and_leaves_lose_nothing(seed, nodes):
    world = started(seed, nodes=nodes)
    begin = world.scheduler.now
    for n in range(6):
        world.start(f"late-{n}")
        world.run(world.rng.choice([0.0, 0.02, 0.4]))
    for process in world.rng.sample(world.processes, 6):
        process.leave()
        world.run(world.rng.choice([0.0, 0.02, 0.4]))
    world.run(1)
    assert len(world.running) == 3
    assert world.lost(begin, world.scheduler.now - 0.2) == []


@pytest.mark.parametrize("seed", range(3))
def test_f2_a_rolling_restart_under_the_same_names_loses_nothing(seed):
    world = started(seed, members=5)
    begin = world.scheduler.now
    for process in list(world.processes):
        process.leave()
        world.start(process.me.id)
        world.run(1.5)
    assert len(world.running) == 5
    assert world.lost(begin, world.scheduler.now - 0.2) == []


@pytest.mark.parametrize("seed", range(3))
def test_f2_the_last_member_that_leaves_leaves_nothing_behind(seed):
    world = started(seed, members=3)
    for process in world.processes:
        process.leave()
    world.run(1)
    assert world.running == []
    assert world.servers.record.leases == {}
    assert world.servers.record.committed.members == ()


@pytest.mark.parametrize("seed", range(5))
def test_f3_a_member_that_is_killed_is_replaced_at_once(seed):
    world = started(seed)
    killed = world.scheduler.now
    world.rng.choice(world.processes).die()
    world.run(2)
    assert world.lost(killed, killed + 2)
    assert world.lost(killed + 0.6, killed + 1.8) == []


@pytest.mark.parametrize("may_kill", [True, False])
def test_f3_a_member_that_has_lost_its_power_is_replaced_when_its_lease_ends(may_kill):
    world = started(1, settings=FleetSettings(may_kill=may_kill))
    silent, began = world.processes[0], world.scheduler.now
    silent.die(connections_stay=True)
    world.run(4)
    assert world.lost(began, began + 1)
    assert world.lost(began + 2.8, began + 3.8) == []


@pytest.mark.parametrize("members", [1, 3])
def test_f3_a_member_that_is_stopped_past_its_lease_comes_back(members):
    """What waits for it when it wakes up is not its own any more."""
    world = started(2, members=members)
    stopped = world.processes[0]
    stopped.paused = True
    world.run(4)
    assert not stopped.member.delivers("name-0", "node-0", stopped.clock)
    stopped.resume()
    world.run(1)
    begin = world.scheduler.now
    world.run(1)
    assert len(world.servers.record.committed.members) == members
    assert stopped in {who for each in world.handled.values() for who in each[-1:]}
    assert world.lost(begin, world.scheduler.now - 0.2) == []


def test_f2_a_commit_that_no_subscriber_of_a_node_gets_is_published_again():
    """A link of the cluster bus that is made anew loses what was on it, for all alike."""
    world = started(3, members=2, nodes=2)
    world.servers.nodes[1].loses_control = True
    world.start("late")
    world.run(1)
    world.servers.nodes[1].loses_control = False
    world.processes[0].leave()
    world.servers.nodes[1].loses_control = True
    world.run(0.2)
    world.servers.nodes[1].loses_control = False
    world.run(3)
    begin = world.scheduler.now
    world.run(1)
    assert [process.me.id for process in world.running] == ["host-1", "late"]
    assert world.lost(begin, world.scheduler.now - 0.2) == []


@pytest.mark.parametrize("seed", range(3))
def test_f3_a_fleet_whose_record_is_deleted_goes_on(seed):
    world = started(seed)
    deleted = world.scheduler.now
    world.servers.forget_record()
    world.run(2)
    assert len(world.servers.record.committed.members) == 3
    assert world.lost(deleted, world.scheduler.now - 0.2) == []


def test_f1_a_fleet_of_200_members():
    world = World(7, names=200, gap=0.005)
    for n in range(200):
        world.start_after(world.rng.random(), f"host-{n}")
    world.run(3)
    assert len(world.servers.record.committed.members) == 200
    begin = world.scheduler.now
    for process in world.rng.sample(world.processes, 20):
        process.leave()
    world.run(1)
    assert world.lost(begin, world.scheduler.now - 0.2) == []
    dead = world.rng.sample(world.running, 20)
    for process in dead:
        process.die()
    world.run(1)
    begin = world.scheduler.now
    world.run(1)
    assert world.lost(begin, world.scheduler.now - 0.2) == []
    assert len(world.servers.record.committed.members) == 160


def test_a_run_is_the_same_each_time():
    first, second = [], []
    run_with_faults(8, on_trace=first.append)
    run_with_faults(8, on_trace=second.append)
    assert len(first) > 100
    assert first == second


def test_what_must_hold_is_checked():
    """A world notices two members that deliver one message, and names without an owner."""
    world = started(1, members=2)
    process = world.processes[0]
    delivered = next(number for number, who in world.handled.items() if who)
    with pytest.raises(Broken, match=r"--seed 1$"):
        world.delivered(process, "name-0", delivered)
    process.me = world.processes[1].me.__class__("host-0", "99")
    with pytest.raises(Broken, match="after its lease"):
        world.delivered(process, "name-0", 10**6)
    for process in world.processes:
        process.die()
    world.run(bound(world.settings))
    with pytest.raises(Broken, match="nobody owns"):
        world.check_recovered(world.scheduler.now - 1, world.scheduler.now)
