"""Lifecycle events and tree snapshots (S8)."""

from __future__ import annotations

import logging

import msgspec
import pytest

from supervisor import (
    ChildExited,
    ChildRestarting,
    ChildStarted,
    ChildStartFailed,
    ConstantRetryPolicy,
    Crashed,
    Normal,
    Shutdown,
    StartError,
    StartFailed,
    Stopped,
    Stopping,
    Supervisor,
    SupervisorSpec,
    TreeNode,
    format_tree,
    log_event,
)
from supervisor.log import Throttle

from .helpers import node, raising

BOOM = ValueError("boom")


async def test_s8_one_event_for_each_change_in_order(stage):
    supervisor = await stage.running("a", "b", strategy="rest_for_one")
    await stage.crash("a", BOOM)
    await stage.finish("b")
    report = await supervisor.stop()
    assert stage.events == [
        ChildStarted("root/a", 1),
        ChildStarted("root/b", 1),
        ChildExited("root/a", 1, Crashed(BOOM)),
        ChildRestarting("root/a", 0.0, 1),
        ChildExited("root/b", 1, Shutdown()),
        ChildStarted("root/a", 2),
        ChildStarted("root/b", 2),
        ChildExited("root/b", 2, Normal()),
        ChildRestarting("root/b", 0.0, 2),
        ChildStarted("root/b", 3),
        Stopping("root"),
        ChildExited("root/b", 3, Shutdown()),
        ChildExited("root/a", 2, Shutdown()),
        Stopped("root", report),
    ]


async def test_s8_every_start_has_its_end(stage):
    """So a count of what runs, kept by a sink, never drifts."""
    supervisor = await stage.running("a", stage.nested("s", "b", "c", dynamic=True), intensity=9)
    for each in "abcab":
        await stage.crash(each)
    await supervisor.stop_child("a")
    await supervisor.stop()
    started = [(e.path, e.incarnation) for e in stage.events if isinstance(e, ChildStarted)]
    exited = [(e.path, e.incarnation) for e in stage.events if isinstance(e, ChildExited)]
    assert sorted(started) == sorted(exited)
    assert len(set(started)) == len(started)


async def test_s8_failed_starts_and_delays(stage):
    retry = ConstantRetryPolicy((ValueError,), 1, delay=3)
    supervisor = await stage.running()
    supervisor.start_child(
        stage.child("a", starting=lambda life: raising(BOOM), retry_policy=retry)
    )
    await stage.clock.advance(10)
    failure = StartFailed("a", BOOM)
    assert stage.events[:3] == [
        ChildStartFailed("root/a", 1, failure),
        ChildRestarting("root/a", 3, 1),
        ChildStartFailed("root/a", 2, failure),
    ]
    assert stage.take_events()[3:] == ["GaveUp root", "Stopping root", "Stopped root"]


async def test_s8_a_sink_that_raises_is_logged_and_costs_nothing_else(clock, stage, caplog):
    def broken(event) -> None:
        raise RuntimeError("broken sink")

    supervisor = Supervisor(
        SupervisorSpec(children=[stage.child("a"), stage.child("b")]), clock=clock, sink=broken
    )
    await supervisor.start()
    await stage.crash("a")
    assert stage.starts("a") == 2
    assert (await supervisor.stop()).clean
    assert "event_sink_failed" in caplog.text
    assert "broken sink" in caplog.text


@pytest.mark.parametrize("kind", [ChildExited, ChildRestarting, ChildStarted, Stopping])
@pytest.mark.parametrize("delay", [None, 5])
async def test_s8_a_sink_may_stop_the_supervisor_from_within_any_event(clock, stage, kind, delay):
    retry = delay and ConstantRetryPolicy((ValueError,), None, delay=delay)

    def sink(event) -> None:
        stage.events.append(event)
        if isinstance(event, kind):
            supervisor.request_stop()

    supervisor = Supervisor(
        SupervisorSpec(
            children=[stage.child("a", retry_policy=retry), stage.child("b")],
            strategy="one_for_all",
        ),
        clock=clock,
        sink=sink,
    )
    await supervisor.start()
    await clock.settle()
    if kind is not ChildStarted:
        await stage.crash("a", BOOM)
    if kind is Stopping:
        await supervisor.stop()
    await supervisor.wait()
    await clock.settle()
    counts = [sum(isinstance(e, each) for e in stage.events) for each in (Stopping, Stopped)]
    assert counts == [1, 1]
    assert clock.pending == 0


async def test_s8_a_sink_may_stop_the_supervisor_when_it_gives_up(clock, stage):
    def sink(event) -> None:
        stage.events.append(event)
        supervisor.request_stop(clock.time())

    supervisor = Supervisor(SupervisorSpec(intensity=0), clock=clock, sink=sink)
    await supervisor.start()
    await supervisor.start_child(stage.child("a")).wait_started()
    await supervisor.wait()
    assert sum(isinstance(e, Stopped) for e in stage.events) == 1


async def test_s8_a_sink_may_decline_everyday_events(clock, stage):
    class Picky:
        wanted = False

        def __init__(self) -> None:
            self.seen: list[object] = []

        def __call__(self, event) -> None:
            self.seen.append(event)

        def wants_routine(self) -> bool:
            return self.wanted

    sink = Picky()
    supervisor = Supervisor(
        SupervisorSpec(children=[stage.child("a", restart="transient"), stage.child("b")]),
        clock=clock,
        sink=sink,
    )
    await supervisor.start()
    await stage.finish("a")
    assert sink.seen == []
    await stage.crash("b", BOOM)
    assert sink.seen == [
        ChildExited("root/b", 1, Crashed(BOOM)),
        ChildRestarting("root/b", 0.0, 1),
    ]
    sink.wanted = True
    await supervisor.stop_child("b")
    assert sink.seen[2:] == [ChildExited("root/b", 2, Shutdown())]
    await supervisor.stop()


async def test_s8_the_default_sink_logs_what_went_wrong(clock, stage, caplog):
    children = [stage.child("a"), stage.child("b", shutdown=0)]
    supervisor = Supervisor(SupervisorSpec(children=children, intensity=1), clock=clock)
    await supervisor.start()
    await stage.crash("a", BOOM)
    assert "started" not in caplog.text.lower()
    await stage.crash("a", BOOM)
    with pytest.raises(StartError):
        await Supervisor(
            SupervisorSpec(children=[stage.child("c", starting=lambda life: raising(BOOM))]),
            clock=clock,
        ).start()
    lines = [
        (record.levelno, record.getMessage().partition("event=")[2]) for record in caplog.records
    ]
    expected = [
        (logging.WARNING, "'child_exited' path='root/a' incarnation=1 reason='crashed: V"),
        (logging.WARNING, "'child_restarting' path='root/a' delay=0.0 attempt=1"),
        (logging.WARNING, "'child_exited' path='root/a' incarnation=2 reason='crashed: V"),
        (logging.ERROR, "'gave_up' path='root' reason='gave up after 1 restarts: ValueError: "),
        (logging.WARNING, "'child_exited' path='root/b' incarnation=1 reason='killed'"),
        (logging.WARNING, "'start_failed' path='root/c' incarnation=1 reason='c failed"),
    ]
    assert len(lines) == len(expected)
    for (level, line), (expected_level, beginning) in zip(lines, expected, strict=True):
        assert level == expected_level
        assert line.startswith(beginning)


async def test_s8_at_debug_level_the_default_sink_logs_everything(clock, stage, caplog):
    caplog.set_level(logging.DEBUG, logger="mailslot.supervisor")
    supervisor = Supervisor(SupervisorSpec(children=[stage.child("a")]), clock=clock)
    await supervisor.start()
    await supervisor.stop()
    for kind in ("ChildStarted", "Stopping", "ChildExited", "Stopped"):
        assert f"'{kind}'" in caplog.text
    log_event(Stopping("elsewhere"))
    assert "elsewhere" in caplog.text


async def test_s8_a_child_that_crashes_on_and_on_is_a_few_lines_a_second(clock, stage, caplog):
    spec = SupervisorSpec(children=[stage.child("a"), stage.child("b")], intensity=None)
    supervisor = Supervisor(spec, clock=clock)
    await supervisor.start()
    for _ in range(50):
        await stage.crash("a")
    await stage.crash("b")
    assert supervisor.restarts == 51
    lines = [record.getMessage() for record in caplog.records]
    assert sum("'child_exited' path='root/a'" in line for line in lines) == 5
    assert sum("'child_restarting' path='root/a'" in line for line in lines) == 5
    assert sum("'child_exited' path='root/b'" in line for line in lines) == 1
    await supervisor.stop()


@pytest.mark.parametrize("burst", [1, 3])
def test_a_throttle_lets_a_few_pass_and_counts_the_rest(burst):
    now = 10.0
    throttle = Throttle(lambda: now, 1.0, burst=burst)
    assert [throttle.passes("a") for _ in range(5)] == [0] * burst + [None] * (5 - burst)
    assert throttle.passes("b") == 0
    now += 1.0
    assert throttle.passes("a") == 5 - burst
    now += 1.0
    assert throttle.passes("a") == 0


# -- the tree --------------------------------------------------------------------------------------


async def a_tree(stage) -> Supervisor:
    retry = ConstantRetryPolicy((OSError,), None, delay=60)
    supervisor = await stage.running(
        "a",
        stage.nested("s", "x", stage.child("y", retry_policy=retry, kind="reader")),
        stage.child("b", restart="transient"),
        intensity=9,
    )
    stage.life("a").child.describe = lambda: {"mailbox": 3, "node": "127.0.0.1:6379"}
    await stage.crash("y", OSError("gone"))
    await stage.finish("b")
    await stage.clock.advance(15)
    return supervisor


async def test_s8_the_tree_is_a_value_that_msgspec_encodes(stage):
    supervisor = await a_tree(stage)
    tree = supervisor.tree()
    assert msgspec.json.decode(msgspec.json.encode(tree), type=TreeNode) == tree
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(tree), type=TreeNode) == tree
    await supervisor.stop()
    assert tree.status == "running"
    assert supervisor.tree().status == "ended"


async def test_s8_what_the_tree_says(stage):
    supervisor = await a_tree(stage)
    tree = supervisor.tree()
    assert [each.path for each in tree.walk()] == [
        "root",
        "root/a",
        "root/s",
        "root/s/x",
        "root/s/y",
        "root/b",
    ]
    a, y, b = (node(supervisor, path) for path in ("a", "s/y", "b"))
    assert (a.status, a.incarnation, a.restarts, a.uptime) == ("running", 1, 0, 15)
    assert a.detail == {"mailbox": 3, "node": "127.0.0.1:6379"}
    assert (y.status, y.kind, y.uptime, y.backoff_left) == ("waiting", "reader", 0, 45)
    assert y.last_exit == "crashed: OSError: gone"
    assert (b.status, b.last_exit, b.uptime) == ("down", "normal", 0)
    assert tree.find("root/nobody") is None
    await supervisor.stop()


async def test_s8_the_tree_prints_as_one(stage):
    supervisor = await a_tree(stage)
    await stage.crash("a")
    assert str(supervisor.tree()) == format_tree(supervisor.tree())
    assert str(supervisor.tree()).splitlines() == [
        "root (supervisor) running restarts=1",
        "├─ a (worker) running restarts=1 [crashed: ValueError: crash]",
        "├─ s (supervisor) running",
        "│  ├─ x (worker) running",
        "│  └─ y (reader) waiting next start in 45.0 s",
        "└─ b (worker) down",
    ]
    await supervisor.stop()


async def test_s8_a_child_that_cannot_describe_itself_does_not_hide_the_others(stage):
    supervisor = await stage.running("a", "b")
    stage.life("a").child.describe = lambda: {"value": 1 // 0}
    tree = supervisor.tree()
    assert "ZeroDivisionError" in tree.find("root/a").detail["error"]
    assert tree.find("root/b").status == "running"
    await supervisor.stop()
