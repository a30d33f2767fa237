"""The files of examples/deploy, read: manifests, systemd units, the Dockerfile, the application."""

from __future__ import annotations

import functools
import importlib.util
import shlex
from pathlib import Path
from typing import Any

import msgspec
import yaml

from actors.worker import Worker

__all__ = ["DEPLOY", "Unit", "application", "commands", "image_command", "manifests", "pods"]

DEPLOY = Path(__file__).parents[3] / "examples" / "deploy"


@functools.cache
def manifests() -> dict[str, dict[str, Any]]:
    """The objects of all manifests, by file, kind and name."""
    found = {}
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml")):
        for one in yaml.safe_load_all(path.read_text()):
            found[f"{path.name}: {one['kind']} {one['metadata']['name']}"] = one
    return found


def pods() -> dict[str, dict[str, Any]]:
    """The objects that have a template of a pod."""
    return {name: one for name, one in manifests().items() if "template" in one.get("spec", {})}


class Unit(msgspec.Struct, frozen=True):
    """A systemd unit."""

    path: Path
    settings: tuple[tuple[str, str], ...]  # in the order of the file; the section is left out

    @classmethod
    def read(cls, path: Path) -> Unit:
        lines = [line.strip() for line in path.read_text().splitlines()]
        pairs = [line.partition("=") for line in lines if line and line[0] not in "#["]
        return cls(path, tuple((key, value) for key, _, value in pairs))

    def __getitem__(self, name: str) -> str:
        (value,) = [value for key, value in self.settings if key == name]
        return value

    @classmethod
    def all(cls) -> list[Unit]:
        return [cls.read(path) for path in sorted((DEPLOY / "systemd").glob("*.service"))]


def image_command() -> list[str]:
    """What the image runs if nothing else is asked for, after ``mailslot``."""
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    assert 'ENTRYPOINT ["mailslot"]' in lines
    (command,) = [line.removeprefix("CMD ") for line in lines if line.startswith("CMD ")]
    return msgspec.json.decode(command, type=list[str])


def commands() -> dict[str, list[str]]:
    """The arguments of every ``mailslot`` that the files run, with their variables filled in."""
    found = {"Dockerfile": image_command()}
    for name, one in pods().items():
        (container,) = one["spec"]["template"]["spec"]["containers"]
        found[name] = [arg.replace("$(ORDINAL)", "0") for arg in container["args"]]
    for unit in Unit.all():
        program, *args = shlex.split(unit["ExecStart"].replace("%i", "0"))
        assert program == "/opt/shop/bin/mailslot"
        found[unit.path.name] = args
    return found


def application() -> Worker[Any]:
    """The application that the files run."""
    spec = importlib.util.spec_from_file_location("deployed_shop", DEPLOY / "shop.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.app
