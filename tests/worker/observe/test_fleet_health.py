"""A member's /ready: in the committed view, and its own rules."""

from __future__ import annotations

import msgspec
import pytest

from actors.worker.observe.health import is_ready
from actors.worker.observe.metrics import render
from actors.worker.observe.snapshot import FleetState, MemberState, WorkerSnapshot
from tests.worker.observe.test_health import HEALTHY, TREE

FLEET = FleetState("shop", "a/1", "joined", True, 7, ("x", "y"), 60, (MemberState("a/1"),))


def worker(fleet: FleetState | None) -> WorkerSnapshot:
    one = msgspec.structs.replace(HEALTHY, paths=(), probe_interval=None, fleet=fleet)
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
