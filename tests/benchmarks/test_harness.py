"""The harness's own pure parts: a gate that cannot fail proves nothing."""

from __future__ import annotations

import socket
import threading

import pytest

from tests.benchmarks.consumer import Result
from tests.benchmarks.figures import Figures, figures_of, paired_ratio, percentile
from tests.benchmarks.gate import GATE, TARGETS, Target, judge
from tests.benchmarks.jobs import Job, channel_names
from tests.benchmarks.load import NotSubscribedError, Publisher, pack, packed
from tests.benchmarks.report import as_json, table_of
from tests.benchmarks.scenarios import SCENARIOS, Contestant, Scenario

A = Contestant("a", "bare", "iterate")
B = Contestant("b", "bare", "iterate")


def scenario_of(*contestants: Contestant) -> Scenario:
    return Scenario("some", "some", Job("", ""), list(contestants))


def test_a_machine_that_becomes_slower_does_not_change_a_paired_ratio():
    fast, slow = [1.0, 1.0, 1.0], [10.0, 10.0, 10.0]
    assert paired_ratio([2 * x for x in fast + slow], fast + slow) == 2.0


def test_without_pairs_a_ratio_is_that_of_the_medians():
    assert paired_ratio([4.0, 4.0], [2.0, 2.0, 8.0]) == 2.0


def test_percentiles_are_values_that_occurred():
    values = [float(number) for number in range(1000)]
    assert percentile(values, 0.5) == 500.0
    assert percentile(values, 0.99) == 990.0
    assert percentile([7.0], 0.999) == 7.0


def test_figures_put_rounds_together_and_say_who_is_absent():
    rounds: list[list[Result]] = [
        [{"cpu_us": [1.0, 2.0]}, {"absent": "No module named 'b'"}],
        [{"cpu_us": [3.0]}, {"absent": "No module named 'b'"}],
    ]
    figures = figures_of(scenario_of(A, B), rounds)
    assert figures.values == {"a": {"cpu_us": [1.0, 2.0, 3.0]}}
    assert figures.missing == {"b": "No module named 'b'"}
    head, rows = table_of(scenario_of(A, B), figures)
    assert head == ["", "CPU us each", "ratio (CPU us each)"]
    assert rows == [["a", "2.00", "1.00"], ["b", "No module named 'b'"]]


@pytest.mark.parametrize(
    ("at_least", "measured", "met"),
    [(False, 1.0, True), (False, 1.3, False), (True, 1.3, True), (True, 1.0, False)],
)
def test_a_target_is_missed_on_its_own_side(at_least: bool, measured: float, met: bool):
    target = Target("t", "some", "cpu_us", 1.25, label="a", at_least=at_least)
    figures = Figures("some", {"a": {"cpu_us": [measured]}})
    (verdict,) = judge([target], {"some": figures})
    assert verdict.met is met
    assert ("MISSED" in str(verdict)) is not met


def test_what_was_not_measured_is_neither_met_nor_missed():
    target = Target("t", "some", "cpu_us", 1.25, label="a", to="b")
    (verdict,) = judge([target], {"some": Figures("some", {"a": {"cpu_us": [1.0]}})})
    assert verdict.met is None
    assert b'"met": null' in as_json({}, [verdict])


def test_every_target_names_a_scenario_and_who_plays_in_it():
    labels = {s.name: {one.label for one in s.contestants} for s in SCENARIOS}
    for target in [*TARGETS, *GATE]:
        assert target.label in labels[target.scenario], target
        assert target.to is None or target.to in labels[target.scenario], target
    assert len(labels) == len(SCENARIOS)


def test_bursts_go_round_the_channels_and_all_names_are_of_one_length():
    names = channel_names(Job("", "", channels=3, player=1))
    assert names == ["bench1:00000", "bench1:00001", "bench1:00002"]
    sent = packed(names, b"x", 4, b"PUBLISH")
    assert sent.count(b"PUBLISH") == 4
    assert sent.count(names[0].encode()) == 2
    assert pack(b"PING") == b"*1\r\n$4\r\nPING\r\n"


def test_a_message_that_reaches_nobody_is_noticed():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b":1\r\n:0\r\n")

        server = threading.Thread(target=serve)
        server.start()
        publisher = Publisher(f"redis://127.0.0.1:{listener.getsockname()[1]}")
        with publisher, pytest.raises(NotSubscribedError):
            publisher.confirm(2)
        server.join()
