"""Every fault that there is against real clusters (P3, P5 to P8, P10), every message accounted for.

60 shard channels over all shards, 1,500 numbered messages a second: 1,000 of them go on while one
shard takes none. Beside them messages are published at replicas and at demoted primaries, and some
have payloads that repeat (P7). What must be true is in ``tests.faults.verdict``. How much may be
lost, and how long it may take, depends on the machine: ``make faults`` holds the limits, and here
they are wider.
"""

from __future__ import annotations

import asyncio

import pytest

from tests.faults.journal import Journal
from tests.faults.results import Allowance, excesses, wrongs
from tests.faults.scenarios import FAULTS, Fault, runs_on
from tests.faults.stage import Stage
from tests.faults.theatre import Theatre

pytestmark = [pytest.mark.staged, pytest.mark.asyncio(loop_scope="module")]

RATE, LEAST_RATE = 1500.0, 800.0
# For a loaded machine with two cores.
ALLOWANCE = Allowance(lost=120, back=3.0)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=lambda fault: fault.name)
async def test_fault(theatre: Theatre, fault: Fault, journal: Journal) -> None:
    if not runs_on(fault, theatre.binary):
        pytest.skip(f"{theatre.binary} has no CLUSTER MIGRATESLOTS")
    await theatre.cluster(fault.shape)
    journal.begin(fault.title)
    before = asyncio.all_tasks()
    try:
        stage = await theatre.play(fault, RATE)
    except (AssertionError, TimeoutError) as error:
        raise AssertionError(
            _story(fault, [f"not played to its end: {error!r}"], journal)
        ) from error
    if fault.name != "all_restarted":  # then nobody takes any
        assert stage.offered_rate() >= LEAST_RATE, "that was no load to speak of"
    if found := wrongs(fault, stage) + excesses(fault, stage, ALLOWANCE):
        pytest.fail(_story(fault, [*found, *_figures(stage)], journal), pytrace=False)
    assert not asyncio.all_tasks() - before, "tasks are left"


def _story(fault: Fault, lines: list[str], journal: Journal) -> str:
    logged = ["logged: " + (journal.digest() or "nothing"), *journal.last(40)]
    return "\n  ".join([f"{fault.title}:", *(f"- {line}" for line in lines), *logged])


def _figures(stage: Stage) -> list[str]:
    verdict = stage.verdict
    return [
        f"of {verdict.accepted} accepted {len(verdict.lost)} were lost, in {verdict.lost_in}",
        f"{verdict.gaps} channels had gaps: {stage.arrivals.gaps[:20]}",
        f"the publisher met {stage.report.errors}",
    ]
