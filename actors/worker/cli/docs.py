"""``mailslot docs``: prints the AsyncAPI document of a worker (extra ``cli``)."""

from __future__ import annotations

import sys
from typing import Any, Final

import msgspec

from actors.worker.asyncapi.document import document
from actors.worker.process.loader import load
from actors.worker.run.exit_codes import ExitCode, UsageError

#: The formats of the document.
FORMATS: Final = ("yaml", "json")


def print_document(target: str, format: str) -> int:
    """Print the AsyncAPI document of the app that ``target`` names; it is not started.

    Raises:
        UsageError, SpecError: the app cannot be loaded, or one of its declarations is wrong.
    """
    worker = load(target)
    worker.validate()
    made = document(worker, target.partition(":")[0])
    sys.stdout.write(_yaml(made) if format == "yaml" else _json(made))
    return ExitCode.DRAINED


def _json(made: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(made), indent=2).decode() + "\n"


def _yaml(made: Any) -> str:
    try:
        return msgspec.yaml.encode(made).decode()
    except ImportError:
        raise UsageError(
            "YAML needs the command-line extra: pip install 'mailslot[cli]', or use --format json"
        ) from None
