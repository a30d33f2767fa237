"""Forked processes do not keep open what is the parent's."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable

from supervisor.forks import close_in_forks, forget


def forked(check: Callable[[], bool]) -> bool:
    """Return what ``check`` returns in a forked process."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if check() else 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def leads_to_null(fd: int) -> bool:
    return os.path.samestat(os.fstat(fd), os.stat(os.devnull))


def test_a_forked_process_has_dev_null_instead():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        close_in_forks(ours.fileno())
        assert forked(lambda: leads_to_null(ours.fileno()) and not leads_to_null(theirs.fileno()))
        assert not leads_to_null(ours.fileno())
        assert forked(lambda: forked(lambda: leads_to_null(ours.fileno())))  # a second fork
        forget(ours.fileno())
        assert forked(lambda: not leads_to_null(ours.fileno()))


def test_a_connection_ends_with_the_parent_though_a_forked_process_lives():
    ours, theirs = socket.socketpair()
    released, release = os.pipe()
    close_in_forks(ours.fileno())
    pid = os.fork()
    if pid == 0:
        os.close(release)
        os.read(released, 1)
        os._exit(0)
    try:
        ours.close()
        theirs.settimeout(20)
        assert theirs.recv(1) == b""
    finally:
        forget(ours.fileno())
        os.close(release)
        os.waitpid(pid, 0)
        os.close(released)
        theirs.close()


def test_a_number_that_is_another_files_by_now_is_left_alone():
    ours, theirs = socket.socketpair()
    with theirs, tempfile.TemporaryFile() as file:
        number = ours.fileno()
        close_in_forks(number)
        ours.close()
        os.dup2(file.fileno(), number)
        try:
            assert forked(lambda: not leads_to_null(number))
        finally:
            forget(number)
            os.close(number)
        close_in_forks(theirs.fileno())
        theirs.close()
        assert forked(lambda: True)  # a closed descriptor is no error
