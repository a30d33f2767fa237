"""Several processes write to one stderr: each line of the log, and each sentence, is one write."""

import os
import socket
import subprocess
import sys

import pytest

LOG = """
import logging, structlog
from actors.worker.process.log_setup import configure
configure({format!r}, process=1)
structlog.get_logger().warning("first", key="value")
structlog.get_logger().warning("second")
logging.getLogger("other").warning("third")
"""
SENTENCES = """
from actors.worker.cli.say import say
say("first")
say("second")
say("third")
"""


def writes(program: str, unbuffered: str) -> list[bytes]:
    """Return what ``program`` wrote to stderr, one item for each write."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with theirs:
            subprocess.run(
                [sys.executable, "-c", program],
                stderr=theirs.fileno(),
                check=True,
                timeout=60,
                env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            )
        found = []
        while packet := ours.recv(65536):
            found.append(packet)
        return found


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "program", [LOG.format(format="console"), LOG.format(format="json"), SENTENCES]
)
def test_each_line_is_one_write(program, unbuffered):
    found = writes(program, unbuffered)
    assert len(found) == 3
    for line, word in zip(found, (b"first", b"second", b"third"), strict=True):
        assert word in line
        assert line.endswith(b"\n")
        assert line.count(b"\n") == 1
