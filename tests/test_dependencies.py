"""What pyproject.toml allows to be installed beside this library, and what is installed."""

from __future__ import annotations

import gc
import re
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import hiredis
import pytest

from actors.redis.wire.resp import OLDEST_HIREDIS, PushNotification, check_hiredis, reader

PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]

#: The oldest version of each that works. What is wrong with older ones stands in pyproject.toml.
OLDEST = {"hiredis": OLDEST_HIREDIS, "msgspec": (0, 18, 5), "h11": (0, 16)}


def numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", text)))


def requirements() -> list[str]:
    extras = PROJECT["optional-dependencies"]
    return [*PROJECT["dependencies"], *(one for extra in extras.values() for one in extra)]


@pytest.mark.parametrize("name", OLDEST)
def test_no_version_is_allowed_that_does_not_work(name):
    floors = [
        one.removeprefix(f"{name}>=") for one in requirements() if re.match(rf"{name}\b", one)
    ]
    assert floors
    for floor in floors:
        assert numbers(floor) == OLDEST[name]


@pytest.mark.parametrize("name", OLDEST)
def test_what_is_installed_is_allowed(name):
    assert numbers(version(name)) >= OLDEST[name]


def test_every_dependency_has_a_floor():
    own = PROJECT["name"]
    without = [one for one in requirements() if ">=" not in one and not one.startswith(f"{own}[")]
    assert not without


@pytest.mark.parametrize("version", ["2.4.0", "3.0.0", "3.1.1", "3.4.1", "3.4.2"])
def test_an_old_hiredis_is_refused_in_words(version):
    with pytest.raises(ImportError, match=f"{version} is installed: run pip install"):
        check_hiredis(version)


@pytest.mark.parametrize("version", ["3.5", "3.5.0", "3.5.0rc1", "3.10.2", "4.0.0.dev1", "10.0"])
def test_a_new_hiredis_is_accepted(version):
    check_hiredis(version)


def test_the_installed_hiredis_is_accepted_and_keeps_nothing_of_a_message():
    check_hiredis(hiredis.__version__)
    parser = reader()

    def read(count):
        for _ in range(count):
            parser.feed(b">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n")
            assert type(parser.gets()) is PushNotification
        gc.collect()
        return sys.getallocatedblocks()

    before = read(1000)
    assert read(20_000) - before < 2000
