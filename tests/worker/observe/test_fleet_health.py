"""A member's /ready: in the committed view, and its own rules."""

from __future__ import annotations

import msgspec
import pytest

from actors.worker.observe.health import is_ready
from actors.worker.observe.metrics import render
from actors.worker.observe.snapshot import FleetState, MemberState, Snapshot, State, WorkerSnapshot
from supervisor import TreeNode

TREE = TreeNode("worker", "worker", "supervisor", "running")
FLEET = FleetState("shop", "a/1", "joined", True, 7, ("x", "y"), 60, (MemberState("a/1"),))


def worker(fleet: FleetState | None) -> WorkerSnapshot:
    one = Snapshot(
        name="worker",
        process=0,
        pid=1,
        state=State.RUNNING,
        at=0.0,
        uptime=1.0,
        lag=0.0,
        partition="0/1",
        unconfirmed=(),
        handlers=(),
        paths=(),
        probe_interval=None,
        received=0,
        gaps=0,
        reconnects=0,
        restarts=0,
        failed=0,
        recent_gaps=(),
        recent_failures=(),
        tree=TREE,
        fleet=fleet,
    )
    return WorkerSnapshot("worker", (), 1, (one,), TREE)


@pytest.mark.parametrize(("is_in_view", "ok"), [(True, True), (False, False)])
def test_f1_a_member_is_ready_in_the_committed_view(is_in_view, ok):
    verdict = is_ready(worker(msgspec.structs.replace(FLEET, is_in_view=is_in_view)))
    assert verdict.ok is ok
    if not ok:
        assert verdict.reasons == ("it is not in the committed view of fleet shop",)


def test_the_metrics_of_a_member():
    body, _ = render(worker(FLEET))
    lines = [line for line in body.decode().splitlines() if line.startswith("mailslot_fleet")]
    assert lines == [
        'mailslot_fleet_in_view{process="0"} 1.0',
        'mailslot_fleet_members{process="0"} 1.0',
        'mailslot_fleet_view{process="0"} 7.0',
        'mailslot_fleet_owned_names{process="0"} 2.0',
    ]
