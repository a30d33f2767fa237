"""Ends every server when this process ends, however it ends.

Context managers, ``atexit`` and signal handlers need a process that still runs. The guard is a
process of its own: a shell that reads from a pipe, and only this process can write into the pipe.
When this process ends, by SIGKILL too, the kernel closes the pipe. The shell then reads the end of
the pipe, sends SIGKILL to the processes named in the ``pid`` files and removes the folder.
"""

from __future__ import annotations

import atexit
import itertools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

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
    """The guard process and the folder that it removes; there is one for each Python process."""

    def __init__(self) -> None:
        self._base = Path(tempfile.mkdtemp(prefix="mailslot-"))
        self._numbers = itertools.count(1)
        self._shell = self._start_shell()

    def _start_shell(self) -> subprocess.Popen[bytes]:
        # In a session of its own, so that Ctrl-C in the terminal does not reach the guard.
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
            self._close_pipe()
            self._shell = self._start_shell()
        folder = self._base / str(next(self._numbers))
        folder.mkdir(parents=True)
        return folder

    def close(self) -> None:
        """Close the pipe and wait for the guard, which kills and removes what is left."""
        self._close_pipe()
        try:
            self._shell.wait(5)
        except subprocess.TimeoutExpired:
            # The guard is still removing the folder; it finishes after this process has ended.
            self._shell.returncode = 0

    def _close_pipe(self) -> None:
        assert self._shell.stdin is not None
        self._shell.stdin.close()

    def forget(self) -> None:
        """Close a forked child's copy of the pipe: the guard is the parent's."""
        self._close_pipe()
        self._shell.returncode = 0  # no child of this process: Popen must not wait for it


_guard: _Guard | None = None


def new_folder() -> Path:
    """Make a folder that the guard removes when this process ends.

    The guard also kills the process whose number is in the folder's ``PID_FILE``. Whoever started
    that process must kill and reap it, and remove the file, before :func:`release_folder`.
    """
    global _guard
    if _guard is None:
        _guard = _Guard()
    return _guard.new_folder()


def release_folder(folder: Path) -> None:
    """Remove a folder that :func:`new_folder` made."""
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
