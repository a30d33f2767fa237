"""What /live and /ready answer, from snapshots alone; and the meters that feed them."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.worker.observe.health import is_live, is_ready
from actors.worker.observe.loop_lag import LagMeter
from actors.worker.observe.message_age import AgeMeter, Moment
from actors.worker.observe.snapshot import (
    HandlerState,
    PathState,
    ProcessState,
    Snapshot,
    State,
    WorkerSnapshot,
)
from actors.worker.run.delivery_proof import Paths, Proof
from actors.worker.run.exit_codes import (
    ConnectFailedError,
    ExitCode,
    UsageError,
    exit_code,
    one_sentence,
)
from supervisor import SpecError, TreeNode

TREE = TreeNode("worker", "worker", "supervisor", "running")

HEALTHY = Snapshot(
    name="worker",
    process=0,
    pid=1,
    state=State.RUNNING,
    at=0.0,
    uptime=60.0,
    lag=0.001,
    partition="0/1",
    unconfirmed=(),
    handlers=(),
    paths=(PathState("pubsub-1", "server", 60.0, 1.0, 0),),
    probe_interval=10.0,
    received=0,
    gaps=0,
    reconnects=0,
    restarts=0,
    failed=0,
    recent_gaps=(),
    recent_failures=(),
    tree=TREE,
)


def worker(*snapshots: Snapshot, processes: tuple[ProcessState, ...] = ()) -> WorkerSnapshot:
    return WorkerSnapshot("worker", processes, len(processes) or 1, snapshots, TREE)


def healthy(**changes: Any) -> WorkerSnapshot:
    return worker(msgspec.structs.replace(HEALTHY, **changes))


def test_a_healthy_worker_is_live_and_ready():
    assert is_live(healthy()).ok
    assert is_ready(healthy()).ok


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"state": State.STARTING}, "it is starting"),
        ({"state": State.DRAINING}, "it is draining"),
        ({"state": State.GAVE_UP, "gave_up": "no password"}, "it gave up: no password"),
        ({"state": State.STARTING, "gave_up": "no"}, "it gave up: no, and is starting again"),
        ({"unconfirmed": ("channel a",)}, "not subscribed: channel a"),
        ({"unconfirmed": tuple("abcdefg")}, "a, b, c, d, e and 2 more"),
        ({"paths": (PathState("p", "n", 1.0, None, 0),)}, "no proof of delivery yet"),
        ({"paths": (PathState("p", "n", 60.0, 10.5, 0),)}, "is 10.5 s old"),
    ],
)
def test_what_is_not_ready_says_why_and_lives_all_the_same(changes, says):
    verdict = is_ready(healthy(**changes))
    assert not verdict.ok
    assert says in verdict.reasons[0]
    assert is_live(healthy(**changes)).ok


def test_without_probes_no_proof_is_asked_for():
    path = PathState("p", "n", 60.0, None, 0)
    assert is_ready(healthy(probe_interval=None, paths=(path,))).ok


@pytest.mark.parametrize("changes", [{"lag": 6.0}, {"state": State.STOPPED}])
def test_a_blocked_loop_and_an_ended_supervisor_are_not_live(changes):
    assert not is_live(healthy(**changes)).ok


def test_a_worker_that_ends_its_program_says_why_it_gave_up():
    ended = healthy(state=State.STOPPED, gave_up="no password")
    assert is_live(ended).reasons == ("the supervisor has ended: no password",)
    assert is_ready(ended).reasons == ("it gave up: no password",)


def test_of_several_processes_each_must_be_ready():
    up, down = ProcessState(0, 10, 0.2, 0), ProcessState(1, None, None, 1)
    silent, new = ProcessState(1, 11, 9.0, 0), ProcessState(1, 11, None, 0)
    other = msgspec.structs.replace(HEALTHY, process=1)
    assert is_ready(worker(HEALTHY, other, processes=(up, ProcessState(1, 11, 0.1, 0)))).ok
    for second, says in [
        (down, "process 1 is down"),
        (silent, "no sign of life for 9.0 s"),
        (new, "process 1 is starting"),
    ]:
        verdict = is_ready(worker(HEALTHY, other, processes=(up, second)))
        assert says in verdict.reasons[0]
        live = is_live(worker(HEALTHY, other, processes=(up, second)))
        assert live.ok == (second is not silent)
    stale = msgspec.structs.replace(other, unconfirmed=("channel a",))
    reasons = is_ready(worker(HEALTHY, stale, processes=(up, ProcessState(1, 11, 0.1, 0)))).reasons
    assert reasons == ("process 1: not subscribed: channel a",)


def test_of_several_processes_each_must_live():
    up, silent = ProcessState(0, 10, 0.2, 0), ProcessState(1, 11, 9.0, 0)
    late = msgspec.structs.replace(HEALTHY, process=1, lag=9.0)
    assert is_live(worker(HEALTHY, late, processes=(up, silent))).reasons == (
        "process 1: no sign of life for 9.0 s: something blocks it, or has stopped it",
    )
    answers = ProcessState(1, 11, 0.2, 0)
    assert is_live(worker(HEALTHY, late, processes=(up, answers))).reasons == (
        "process 1: the event loop was 9.0 s late: something blocks it",
    )
    ended = msgspec.structs.replace(HEALTHY, process=1, state=State.STOPPED)
    assert is_live(worker(HEALTHY, ended, processes=(up, answers))).ok
    down = ProcessState(1, None, 9.0, 0)  # it is about to be started again
    assert is_live(worker(HEALTHY, processes=(up, down))).ok


def test_p3_a_node_that_refuses_is_a_warning_and_no_reason():
    said = "pubsub-1: 127.0.0.1:7003 refused HELLO 3: invalid username-password pair"
    verdict = is_ready(healthy(refusing=(said,)))
    assert verdict.ok
    assert verdict.warnings == (f"a node refuses: {said}",)
    up = ProcessState(0, 10, 0.2, 0)
    one = msgspec.structs.replace(HEALTHY, refusing=(said,) * 9)
    warnings = is_ready(worker(one, processes=(up,))).warnings
    assert warnings == (f"process 0: a node refuses: {said}",) * 5
    assert is_ready(healthy()).warnings == ()


def test_a_handler_that_is_not_up_is_not_ready():
    known = HandlerState("a", "p", "w/p/handlers/a", "running", 0, 0.0, 0, 0, 0, 0)
    down = msgspec.structs.replace(known, status="waiting", last_exit="crashed: KeyError('x')")
    assert is_ready(healthy(handlers=(known,))).ok
    assert is_ready(healthy(handlers=(known, down))).reasons == (
        "handler a is waiting: crashed: KeyError('x')",
    )
    *_, last = is_ready(healthy(handlers=(down,) * 7)).reasons
    assert last == "and 2 more handlers are not up"


# -- proof of delivery -----------------------------------------------------------------------------


def test_a_path_that_answers_is_never_silent():
    proof, now = Proof(9.0, 0.0), 0.0
    for _ in range(20):
        assert proof.due(now)
        proof.sent(now)
        proof.came_back(now)
        assert not proof.due(now + 1)
        now += 3.0
        assert not proof.silent(now)
    assert proof.age(now) == 3.0


@given(st.floats(0.0, 9.0), st.floats(0.05, 0.5))
def test_a_path_that_falls_silent_is_found_within_the_interval(fails_after, look):
    proof, now = Proof(9.0, 0.0), 0.0
    while True:
        if proof.silent(now):
            break
        if proof.due(now):
            proof.sent(now)
            if now <= fails_after:
                proof.came_back(now)
        now += look
        assert now < 100
    # A third of the interval until the next probe, a third for that one to come back, two looks.
    assert now - fails_after <= 9.0 * 2 / 3 + 3 * look or now <= 9.0 + 2 * look


def test_a_probe_that_the_server_did_not_take_blames_nobody():
    proof = Proof(9.0, 0.0)
    proof.sent(10.0)
    proof.withdrawn(10.0)
    assert not proof.silent(100.0)


def test_a_restarted_path_begins_unproven_and_is_counted():
    paths = Paths(9.0)
    paths.follow({"a", "b"}, 0.0)
    paths.proofs["a"].came_back(1.0)
    paths.restarted("a", 20.0)
    assert paths.proofs["a"].age(20.0) is None
    paths.proofs["a"].came_back(19.0)  # of the connection before
    assert paths.proofs["a"].age(20.0) is None
    paths.follow({"a"}, 21.0)
    assert paths.restarts == {"a": 1}
    assert set(paths.proofs) == {"a"}


def test_a_probe_counts_once_on_its_own_channel_and_not_late():
    paths = Paths(9.0)
    paths.published("a", "secret", 10.0)
    assert paths.arrived("a", "1e300") is None
    assert paths.arrived("b", "secret") is None
    assert paths.arrived("a", "secret") == 10.0
    assert paths.arrived("a", "secret") is None
    paths.published("a", "old", 10.0)
    paths.published("a", "new", 30.0)
    assert paths.arrived("a", "old") is None
    assert paths.arrived("a", "new") == 30.0
    assert paths.came_back == 6


# -- ages and lag ----------------------------------------------------------------------------------


steps = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 9)), max_size=60)


@given(steps, st.booleans())
def test_an_age_is_exact_to_within_a_look_and_never_too_low(steps, exact):
    """The first message of ``queue`` is in hand; each is the look before it came."""
    queue: list[Moment] = []
    last, left, meter = Moment(0.0, 0.0), 0, None
    for come, go, too_many in steps:
        queue += [last] * come
        del queue[: (gone := min(go, len(queue)))]
        left += gone
        now = Moment(last.at + 1.0, last.at)
        if not queue:  # nobody asks then
            meter = None
        else:
            meter = meter or AgeMeter(last, left)
            in_hand = 1 if exact else 1 + too_many
            oldest, waits = meter.note(now, left, in_hand, len(queue) - 1)
            if exact:
                assert oldest == queue[0]
                assert waits == (queue[1] if len(queue) > 1 else now)
            assert oldest <= queue[0]
        last = now


def test_counters_that_begin_anew_make_nothing_younger():
    meter = AgeMeter(Moment(0.0, 0.0), 95)
    assert meter.note(Moment(1.0, 0.0), 95, 1, 4)[0].at == 0.0
    assert meter.note(Moment(2.0, 1.0), 0, 1, 2)[0].at == 0.0
    assert meter.note(Moment(3.0, 2.0), 3, 1, 0)[0].at == 2.0


def test_notes_are_bounded_and_forget_no_message():
    meter = AgeMeter(Moment(0.0, 0.0), 0)
    for second in range(1, 5000):
        oldest, waits = meter.note(Moment(second, second - 1), 0, 1, second)
        assert (oldest.at, waits.at) == (0.0, 0.0)
    assert len(meter._notes) <= 600


async def test_lag_is_how_late_the_loop_was():
    meter = LagMeter(asyncio.get_running_loop())
    try:
        await asyncio.sleep(0.25)
        assert meter.worst < 0.2
        time.sleep(0.3)
        assert meter.worst > 0.15  # also before the loop had a turn
        await asyncio.sleep(0.15)
        assert meter.worst > 0.15
    finally:
        meter.close()


async def test_a_meter_that_is_closed_shows_no_lag_of_later():
    loop = asyncio.get_running_loop()
    meter = LagMeter(loop)
    meter.close()
    later = loop.time() + 60
    meter._loop = SimpleNamespace(time=lambda: later)  # type: ignore[assignment]
    assert meter.worst == 0.0


# -- exit codes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "started", "code"),
    [
        (UsageError("x"), False, ExitCode.USAGE),
        (SpecError("x", ["y"]), False, ExitCode.USAGE),
        (ConnectFailedError("x"), False, ExitCode.NOT_CONNECTED),
        (TimeoutError("x"), False, ExitCode.NOT_CONNECTED),
        (ExceptionGroup("x", [OSError("y")]), False, ExitCode.NOT_CONNECTED),
        (ExceptionGroup("x", [OSError("y"), KeyError("z")]), False, ExitCode.GAVE_UP),
        (TimeoutError("x"), True, ExitCode.GAVE_UP),
        (KeyError("x"), False, ExitCode.GAVE_UP),
    ],
)
def test_exit_codes(error, started, code):
    assert exit_code(error, started=started) is code


def test_errors_in_one_sentence():
    group = ExceptionGroup("g", [OSError("no\n  way"), ExceptionGroup("h", [UsageError("do so")])])
    assert one_sentence(group) == "OSError: no way; do so"
