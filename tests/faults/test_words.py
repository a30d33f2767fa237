"""The judge of repeating payloads: what is missing outside of gaps, and what came twice."""

from __future__ import annotations

import pytest

from tests.faults.words import Alignment, align


@pytest.mark.parametrize(
    ("accepted", "in_gap", "arrived", "expected"),
    [
        ("", "", "", (0, 0)),
        ("abab", "....", "abab", (0, 0)),
        ("abab", "....", "aab", (1, 0)),
        ("abab", ".g..", "aab", (0, 0)),
        ("abab", "..g.", "aab", (1, 0)),
        ("aaaa", "g...", "aaa", (0, 0)),
        ("aaaa", "g...", "aa", (1, 0)),
        ("ab", "..", "aab", (0, 1)),
        ("ab", "..", "ba", (1, 1)),
        ("abb", "gg.", "b", (0, 0)),
        ("aab", "gg.", "", (1, 0)),
    ],
)
def test_what_is_missing_and_what_is_too_much(accepted, in_gap, arrived, expected):
    found = align(list(accepted), [mark == "g" for mark in in_gap], list(arrived))
    assert found == Alignment(*expected)
