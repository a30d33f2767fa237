"""Failures as one value, and errors as text."""

from __future__ import annotations

import pytest

from actors import FailureSpan
from actors.pubsub.handlers.failure_span import as_utc, error_text, place_of


@pytest.mark.parametrize(
    ("span", "says"),
    [
        (FailureSpan.of("E('a')", 0.0), "1 failure at 1970-01-01T00:00:00Z: E('a')"),
        (
            FailureSpan.of("E('a')", 0.0).then("E('a')", 61.9),
            "2 failures from 1970-01-01T00:00:00Z to 1970-01-01T00:01:01Z: E('a')",
        ),
        (
            FailureSpan.of("E('a')", 0.0).then("E('b')", 5.0).then("E('c')", 60.0),
            (
                "3 failures, the first at 1970-01-01T00:00:00Z: E('a');"
                " the last at 1970-01-01T00:01:00Z: E('c')"
            ),
        ),
    ],
)
def test_failures_are_told_with_the_first_and_the_last(span: FailureSpan, says: str):
    assert str(span) == says


def test_a_time_is_told_to_the_second():
    assert as_utc(1_700_000_000.9) == "2023-11-14T22:13:20Z"


class Unprintable(Exception):
    def __repr__(self) -> str:
        raise KeyError("no")


def test_every_error_is_a_text_of_bounded_length():
    assert error_text(KeyError("x")) == "KeyError('x')"
    assert error_text(Unprintable()) == "Unprintable, whose repr raises KeyError"
    assert len(error_text(ValueError("x" * 100_000))) < 1010
    assert error_text(ValueError("x" * 100_000), 20) == "ValueError('xxxxxxxx..."


def test_the_place_of_an_error_is_the_line_that_raised_it():
    def deep() -> None:
        raise ValueError

    try:
        deep()
    except ValueError as error:
        place = place_of(error)
    assert place.startswith("test_failure_span.py:")
    assert place.endswith("deep")
    assert place_of(ValueError()) == ""
