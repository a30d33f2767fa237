"""A short soak, and what it is judged by; ``make soak`` is the long one."""

from __future__ import annotations

import asyncio
import sys

import pytest

from actors.testing.servers.binary import wheel_binary
from tests.faults.journal import Journal
from tests.soak.__main__ import soak
from tests.soak.vitals import Vitals, growth

MIB = 2**20
CALM = Vitals(tasks=200, files=100, memory=40 * MIB)


def test_a_use_that_stays_the_same_is_no_growth() -> None:
    assert growth([CALM] * 9) == []
    assert growth([]) == []


def test_a_reading_that_stands_alone_is_no_growth() -> None:
    assert growth([*[CALM] * 8, Vitals(900, 900, 900 * MIB)]) == []


@pytest.mark.parametrize(
    ("readings", "what"),
    [
        ([Vitals(200 + 2 * i, 100, 40 * MIB) for i in range(30)], "tasks grew"),
        ([Vitals(200, 100 + i, 40 * MIB) for i in range(30)], "file descriptors grew"),
        ([Vitals(200, 100, (40 + i) * MIB) for i in range(30)], "bytes of memory grew"),
    ],
)
def test_steady_growth_is_told(readings: list[Vitals], what: str) -> None:
    (said,) = growth(readings)
    assert what in said


@pytest.mark.skipif(sys.platform != "linux", reason="memory and sockets are read from /proc")
@pytest.mark.alone
@pytest.mark.timeout(200)
def test_p7_p10_a_round_of_each_worker(capsys: pytest.CaptureFixture[str]) -> None:
    binary = wheel_binary()
    assert binary is not None
    with Journal() as journal:
        wrongs = asyncio.run(soak(binary, seed=1, seconds=0.1, rate=600.0, journal=journal))
        assert not wrongs, "\n".join([*wrongs, capsys.readouterr().out, *journal.last(40)])
