"""The program ``mailslot``: its exit codes, and what it says if the extra ``cli`` is missing."""

from __future__ import annotations

import io
import signal
import sys
import traceback
from typing import Any

from actors.worker.cli.say import say
from actors.worker.run.exit_codes import ExitCode
from supervisor.log import printable_lines

_NEEDED = {"typer", "rich", "click", "watchfiles"}


def main() -> None:
    """Run ``mailslot`` with the arguments of this process, and exit."""
    try:
        # Imported here: without the extra this fails.
        from actors.worker.cli.commands import app  # noqa: PLC0415
    except ModuleNotFoundError as error:
        sys.exit(_not_installed(error))
    # SIGTERM ends commands as SIGINT does: the terminal is restored, and the exit code tells the
    # signal. ``mailslot run`` installs its own handlers.
    signal.signal(signal.SIGTERM, _end)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal may not know every character
            stream.reconfigure(errors="backslashreplace")
    sys.exit(_run(app))


def _end(*_: Any) -> None:
    raise SystemExit(ExitCode.FORCED_TERM)


def _run(app: Any) -> int:
    try:
        code = app(prog_name="mailslot", standalone_mode=False)
    except KeyboardInterrupt:
        return ExitCode.FORCED_INT
    except ModuleNotFoundError as error:  # a package that only one command or option needs
        return _not_installed(error)
    except Exception as error:
        # Typer uses click or a copy of it; the errors of both have this method.
        text = getattr(error, "format_message", None)
        if text is None:
            if type(error).__name__ == "Abort":
                return ExitCode.FORCED_INT
            # A fault of mailslot's own: its text may have come from outside, too.
            lines = "".join(traceback.format_exception(error)).rstrip()
            print(printable_lines(lines, "    "), file=sys.stderr)  # noqa: T201
            return ExitCode.GAVE_UP
        if type(error).__name__ == "NoArgsIsHelpError":
            print(text(), file=sys.stderr)  # noqa: T201 - the whole help text
            return ExitCode.USAGE
        say(" ".join(text().split()) or "no command: see mailslot --help")
        return ExitCode.USAGE
    return code if isinstance(code, int) else 0


def _not_installed(error: ModuleNotFoundError) -> int:
    if error.name not in _NEEDED:
        raise error
    say("it needs its command-line extra: pip install 'mailslot[cli]'")
    return ExitCode.USAGE
