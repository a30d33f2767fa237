"""Sees to it that no server outlives this process, however the process ends.

Context managers, ``atexit`` and signal handlers all need a process that still runs. The guard is a
process of its own: a shell that reads from a pipe whose only write end is here. When this process
is gone, by SIGKILL too, the kernel closes the pipe, the shell reads the end of it, kills what the
``pid`` files name (SIGKILL, which a stopped process obeys as well) and removes the folder.
"""

from __future__ import annotations

import atexit
import itertools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

__all__ = ["PID_FILE", "new_folder", "release_folder"]

PID_FILE = "pid"

_SCRIPT = """
trap '' HUP INT TERM
cat > /dev/null
for file in "$1"/*/pid; do
    if [ -s "$file" ]; then kill -9 "$(cat "$file")" 2> /dev/null; fi
done
rm -rf "$1"
"""


class _Guard:
    """One guard process and the folder that it clears; one per Python process."""

    def __init__(self) -> None:
        self._base = Path(tempfile.mkdtemp(prefix="mailslot-"))
        self._numbers = itertools.count(1)
        self._shell = self._start_shell()

    def _start_shell(self) -> subprocess.Popen[bytes]:
        # A session of its own: Ctrl-C in the terminal is for the program, not for its guard.
        return subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT, "mailslot-guard", str(self._base)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )

    def new_folder(self) -> Path:
        if self._shell.poll() is not None:  # somebody killed it
            self._let_go()
            self._shell = self._start_shell()
        folder = self._base / str(next(self._numbers))
        folder.mkdir(parents=True)
        return folder

    def close(self) -> None:
        """End the guard; it kills and removes what is still there."""
        self._let_go()
        try:
            self._shell.wait(5)
        except subprocess.TimeoutExpired:
            # Something in the folder cannot be removed now; the guard goes on without us.
            self._shell.returncode = 0

    def _let_go(self) -> None:
        assert self._shell.stdin is not None
        self._shell.stdin.close()

    def forget(self) -> None:
        """Drop the parent's guard in a forked child, which holds a copy of the pipe's end."""
        self._let_go()
        self._shell.returncode = 0  # not our child: nothing to wait for


_guard: _Guard | None = None


def new_folder() -> Path:
    """Make a folder that is removed, and whose ``pid`` file's process is killed, when we are gone.

    The process named by ``PID_FILE`` in it must be killed and reaped, and the file removed, before
    :func:`release_folder`.
    """
    global _guard
    if _guard is None:
        _guard = _Guard()
    return _guard.new_folder()


def release_folder(folder: Path) -> None:
    """Remove a folder of :func:`new_folder` now."""
    shutil.rmtree(folder, ignore_errors=True)


@atexit.register
def _close_at_exit() -> None:
    global _guard
    guard, _guard = _guard, None
    if guard is not None:
        guard.close()


def _forget_after_fork() -> None:
    global _guard
    guard, _guard = _guard, None
    if guard is not None:
        guard.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
