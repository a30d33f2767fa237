"""What every server of the suite can do, wherever it runs."""

from __future__ import annotations

import socket
from typing import BinaryIO, Protocol

__all__ = ["AnyServer", "ask"]


class AnyServer(Protocol):
    """A running server: a process of ours, or a container.

    What takes no time on a process is a plain method (a container takes up to half a second);
    what waits for the server is a coroutine, with a twin for fixtures.
    """

    @property
    def url(self) -> str: ...
    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def flavour(self) -> str: ...
    @property
    def version(self) -> tuple[int, int, int]: ...
    @property
    def running(self) -> bool: ...

    def kill(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def close(self) -> None: ...
    def log_tail(self, lines: int = 20) -> str: ...

    async def start(self) -> None: ...
    async def stop(self, timeout: float = 5.0) -> None: ...
    async def restart(self) -> None: ...
    def start_sync(self) -> None: ...
    def stop_sync(self, timeout: float = 5.0) -> None: ...
    def restart_sync(self) -> None: ...


def ask(server: AnyServer, *words: str, timeout: float = 5.0) -> str:
    """Send one command over a connection of its own and return the reply, undecoded RESP2.

    For what a test needs to know from outside the client that it tests. Bulk strings come as they
    are, arrays as their elements joined by spaces, everything else as its line, type byte included.
    """
    with socket.create_connection((server.host, server.port), timeout) as connection:
        connection.sendall(_encode(words))
        with connection.makefile("rb") as replies:
            return _read(replies)


def _read(replies: BinaryIO) -> str:
    head = replies.readline().rstrip().decode()
    if head.startswith("$") and head != "$-1":
        return replies.read(int(head[1:]) + 2)[:-2].decode()
    if head.startswith("*"):
        return " ".join(_read(replies) for _ in range(int(head[1:])))
    return head


def _encode(words: tuple[str, ...]) -> bytes:
    encoded = [word.encode() for word in words]
    parts = [b"*%d\r\n" % len(encoded)]
    parts += [b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded]
    return b"".join(parts)
