"""The gate: ratios against what runs beside it. A change that makes a message dearer fails here.

Ratios of processor time, measured burst by burst in turns, so that a busy machine does not matter
much; and what misses its limit is measured once more, with twice the rounds.
"""

from __future__ import annotations

import functools

import msgspec
import pytest

from tests.benchmarks.figures import Figures
from tests.benchmarks.gate import GATE, Target, judge
from tests.benchmarks.runner import play, quick_form
from tests.benchmarks.scenarios import BARE, MAILSLOT, SCENARIOS

pytestmark = [pytest.mark.gate, pytest.mark.timeout(300)]

_SCENARIOS = {scenario.name: scenario for scenario in SCENARIOS}
# Where two contestants are compared. A count of bytes or modules is the same in each round.
_COMPARED = {target.scenario for target in GATE if target.to is not None}
_NEEDED = {BARE, MAILSLOT, "asyncio.Queue"} | {target.to for target in GATE}


@functools.cache
def measured(name: str, attempt: int) -> Figures:
    """Play a scenario with those whom the gate compares, and nobody who must be installed."""
    scenario = quick_form(_SCENARIOS[name])
    who = [one for one in scenario.contestants if one.label in _NEEDED]
    rounds = max(2, scenario.quick) * attempt if name in _COMPARED else 1
    scenario = msgspec.structs.replace(scenario, contestants=who, rounds=rounds)
    return play(scenario, progress=lambda _: None)


@pytest.mark.parametrize("target", GATE, ids=lambda target: target.what)
def test_cost_stays_within_its_ratio(target: Target):
    verdict = None
    for attempt in (1, 2):
        figures = measured(target.scenario, attempt)
        assert not figures.missing, figures.missing
        (verdict,) = judge([target], {target.scenario: figures})
        if verdict.met:
            return
    pytest.fail(str(verdict))
