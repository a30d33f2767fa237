"""A short run of each part of the fuzzer; ``make fuzz`` is the long one."""

from __future__ import annotations

import pytest

from tests.fuzz.parts import PARTS, run

SECONDS = 0.5


@pytest.mark.parametrize("part", PARTS)
def test_no_fault_in_a_short_run(part: str) -> None:
    judge = run(part, seed=1, seconds=SECONDS)
    assert not judge.faults, judge.row()
    assert judge.cases
