"""A contestant's process, seen from outside."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import tempfile
from typing import Any, Self, TypeAlias

import msgspec

from tests.benchmarks.jobs import Job

__all__ = ["Consumer", "Over", "Result"]

#: Figures by name; or ``absent`` or ``error`` with the reason.
Result: TypeAlias = dict[str, Any]

_PATIENCE = 60.0


class Over(Exception):
    """The contestant reported and ended."""

    def __init__(self, result: Result) -> None:
        super().__init__(result)
        self.result = result


class Consumer:
    """The process and the line to it; gone when the context ends."""

    def __init__(self, job: Job) -> None:
        self._control, theirs = socket.socketpair()
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        with theirs:
            told = [str(theirs.fileno()), msgspec.json.encode(job).decode()]
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.benchmarks.child", *told],
                pass_fds=[theirs.fileno()],
                stdout=subprocess.DEVNULL,
                stderr=self._stderr,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._control.close()
        self._stderr.close()

    def tell(self, word: bytes) -> None:
        """Send a word to it."""
        self._control.sendall(word)

    def wait(self, word: bytes) -> None:
        """Wait for a word of it.

        Raises:
            Over: it reported instead, or said nothing in time.
        """
        self._control.settimeout(_PATIENCE)
        try:
            got = self._control.recv(1)
        except TimeoutError:
            raise Over({"error": f"not within {_PATIENCE:g} s: messages were lost"}) from None
        if got != word:
            raise Over(self._read_result(got))

    def result(self, patience: float = _PATIENCE) -> Result:
        """Wait for its report."""
        self._control.settimeout(patience)
        try:
            return self._read_result(b"")
        except TimeoutError:
            return {"error": f"no report within {patience:g} s"}

    def _read_result(self, start: bytes) -> Result:
        text = bytearray(start)
        while part := self._control.recv(1 << 20):
            text += part
        if text.startswith(b"{"):
            return msgspec.json.decode(text, type=Result)
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").splitlines() or ["nothing on stderr"]
        return {"error": f"it died: {lines[-1]}"}
