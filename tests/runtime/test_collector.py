"""The garbage collector beside many actors: frozen when the program says so, paused in one step."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from actors.runtime.collector import Freezer, collection_paused


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_nothing_is_frozen_unless_the_program_says_so():
    before = gc.get_freeze_count()
    Freezer().added(100_000)
    assert gc.get_freeze_count() <= before  # what the suite has frozen may die


def test_what_there_is_is_frozen_and_later_what_a_large_addition_made():
    freezer = Freezer()
    freezer.enable()
    frozen = gc.get_freeze_count()
    assert frozen > 0
    kept = [[number] for number in range(2000)]
    freezer.added(999)
    assert gc.get_freeze_count() <= frozen
    freezer.added(1000)
    assert gc.get_freeze_count() > frozen + len(kept) / 2


def test_collection_is_paused_for_large_numbers_also_after_an_error():
    with collection_paused(999):
        assert gc.isenabled()
    with pytest.raises(ZeroDivisionError), collection_paused(1000):
        assert not gc.isenabled()
        raise ZeroDivisionError
    assert gc.isenabled()


def test_a_program_without_collection_stays_without():
    gc.disable()
    try:
        with collection_paused(1000):
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()
