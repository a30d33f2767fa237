"""Reports that are alike: the first is told, the others are counted, and every count is told."""

from __future__ import annotations

import asyncio

from supervisor.log import Folder

Told = list[tuple[str, int]]


def folder(told: Told, interval: float) -> Folder[str]:
    return Folder(lambda latest, count: told.append((latest, count)), interval)


async def test_what_follows_the_first_is_counted_by_key():
    told: Told = []
    reports = folder(told, 60.0)
    first = [reports.is_first(text[0], text) for text in ("a1", "a2", "b1", "a3", "b2")]
    assert first == [True, False, True, False, False]
    reports.flush()
    assert told == [("a3", 2), ("b2", 1)]
    reports.flush()
    assert len(told) == 2
    assert reports.is_first("a", "a4")


async def test_counts_are_told_though_nothing_more_comes():
    told: Told = []
    reports = folder(told, 0.02)
    assert reports.is_first("a", "a1")
    assert not reports.is_first("a", "a2")
    while not told:
        await asyncio.sleep(0.005)
    assert told == [("a2", 1)]


async def test_after_a_quiet_interval_a_report_is_a_first_one():
    told: Told = []
    reports = folder(told, 0.01)
    assert reports.is_first("a", "a1")
    while reports._folds:
        await asyncio.sleep(0.005)
    assert reports.is_first("a", "a2")
    assert told == []


async def test_keys_are_bounded_and_no_count_is_lost():
    told: Told = []
    reports = folder(told, 60.0)
    for number in range(3000):
        assert reports.is_first(number, f"{number}")
        assert not reports.is_first(number, f"{number} again")
    assert len(reports._folds) <= 1024
    reports.flush()
    assert told == [(f"{number} again", 1) for number in range(3000)]


def test_another_event_loop_begins_anew_and_without_one_each_report_is_a_first_one():
    told: Told = []
    reports = folder(told, 60.0)

    async def two() -> list[bool]:
        return [reports.is_first("a", "a1"), reports.is_first("a", "a2")]

    assert asyncio.run(two()) == [True, False]
    assert asyncio.run(two()) == [True, False]
    assert told == [("a2", 1)]
    assert reports.is_first("a", "a3")
