"""File descriptors that forked processes must not keep open.

A forked process has a copy of each file descriptor of its parent. The copy of a pipe or connection
keeps that open, also when the parent has closed it or has died: servers go on serving a connection
that nobody reads, and a port stays taken. In forked processes, the descriptors given to
:func:`close_in_forks` lead to ``/dev/null`` instead. (They are not closed: objects of the parent,
which the forked process has too, would later close whatever got the number next.)

Programs that are executed inherit none of these descriptors: Python marks them close-on-exec.
"""

from __future__ import annotations

import contextlib
import os

# By descriptor: the device and inode of its file. They tell whether the number is another file's by
# now, because somebody closed the descriptor without a word.
_files: dict[int, tuple[int, int]] = {}


def close_in_forks(fd: int) -> None:
    """Have processes that are forked from now on not keep ``fd`` open."""
    _files[fd] = _file(fd)


def forget(fd: int) -> None:
    """Forget ``fd``, which is about to be closed."""
    _files.pop(fd, None)


def _file(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


def _let_go() -> None:
    files = dict(_files)
    _files.clear()
    if not files:
        return
    null = os.open(os.devnull, os.O_RDWR)
    for fd, file in files.items():
        with contextlib.suppress(OSError):  # the descriptor was closed
            if _file(fd) == file:
                os.dup2(null, fd, inheritable=False)
    os.close(null)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)
