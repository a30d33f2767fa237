"""The program ``mailslot``: what is there when its extra is not, and how it ends."""

from __future__ import annotations

import signal
import sys
from typing import Any

from actors.worker.run.exit_codes import ExitCode

__all__ = ["main"]

_NEEDED = {"typer", "rich", "click", "watchfiles", "h11"}


def main() -> None:
    """Run ``mailslot`` with the arguments of this process, and exit with its code."""
    try:
        # Imported when run: the library is whole without the extra.
        from actors.worker.cli.commands import app  # noqa: PLC0415
    except ModuleNotFoundError as error:
        sys.exit(_not_installed(error))
    # As SIGINT does by itself: the terminal is put back, and the code says what ended it. A worker
    # has its own ways.
    signal.signal(signal.SIGTERM, _end)
    sys.exit(_run(app))


def _end(*_: Any) -> None:
    raise SystemExit(ExitCode.FORCED_TERM)


def _run(app: Any) -> int:
    try:
        code = app(prog_name="mailslot", standalone_mode=False)
    except KeyboardInterrupt:
        return ExitCode.FORCED_INT
    except ModuleNotFoundError as error:  # what only one command, or one option, needs
        return _not_installed(error)
    except Exception as error:
        # Typer brings a click of its own or uses the real one: their errors have this in common.
        text = getattr(error, "format_message", None)
        if text is None:
            if type(error).__name__ == "Abort":
                return ExitCode.FORCED_INT
            raise
        if type(error).__name__ == "NoArgsIsHelpError":
            print(text(), file=sys.stderr)  # noqa: T201 - all of it, as --help prints it
            return ExitCode.USAGE
        _say(" ".join(text().split()) or "say what to do: mailslot --help")
        return ExitCode.USAGE
    return code if isinstance(code, int) else 0


def _not_installed(error: ModuleNotFoundError) -> int:
    if error.name not in _NEEDED:
        raise error
    _say("it needs its command-line extra: pip install 'mailslot[cli]'")
    return ExitCode.USAGE


def _say(sentence: str) -> None:
    print(f"mailslot: {sentence}", file=sys.stderr)  # noqa: T201 - this is its output
