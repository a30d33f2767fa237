"""Imports the app that ``module:app`` names."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

from actors.worker.run.app import Worker
from actors.worker.run.exit_codes import UsageError


def load(target: str) -> Worker[Any]:
    """Import the module that ``target`` names and return its app.

    The working directory is searched first.

    Raises:
        UsageError: there is no such module or app, or the import fails.
    """
    module_name, colon, attribute = target.partition(":")
    if not colon or not module_name or not attribute:
        raise UsageError(f"an app is written module:name, shop.worker:app for instance: {target!r}")
    if module_name.endswith(".py") or "/" in module_name:
        dotted = module_name.removesuffix(".py").replace("/", ".").strip(".")
        raise UsageError(f"modules are named as in an import: {dotted}:{attribute}, not {target!r}")
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and module_name.startswith(error.name):
            raise UsageError(f"there is no module {error.name!r} in {here} or installed") from None
        raise UsageError(f"{module_name} does not import: {error}") from error
    except Exception as error:
        raise UsageError(f"{module_name} does not import: {_where(error)}") from error
    except SystemExit as error:
        raise UsageError(f"{module_name} does not import: it exits ({error})") from error
    found: Any = module
    for name in attribute.split("."):
        if not hasattr(found, name):
            raise UsageError(f"{module_name} has no {attribute!r}")
        found = getattr(found, name)
    if not isinstance(found, Worker):
        raise UsageError(f"{target} is no Worker, but {type(found).__name__}")
    return found


def _where(error: Exception) -> str:
    """Return ``error`` as one line, with the place where it was raised."""
    text = f"{type(error).__name__}: {' '.join(str(error).split())}"
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None or isinstance(error, SyntaxError):
        return text
    return f"{text} ({traceback.tb_frame.f_code.co_filename}, line {traceback.tb_lineno})"
