"""What ``mailslot run`` makes of arguments, without running anything."""

from __future__ import annotations

from typing import Any

import typer

from actors.worker.cli.commands import app

__all__ = ["parsed", "variables"]


def _run() -> Any:
    commands: Any = typer.main.get_command(app)
    return commands.commands["run"]


def parsed(arguments: list[str]) -> dict[str, Any]:
    """The values of the options; click's UsageError where there is no such option or value."""
    name, *rest = arguments
    assert name == "run"
    return dict(_run().make_context("run", rest).params)


def variables() -> set[str]:
    """The environment variables that options are read from."""
    found = set()
    for option in _run().params:
        names = option.envvar or ()
        found |= {names} if isinstance(names, str) else set(names)
    return found
