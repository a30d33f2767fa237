"""The publisher's side: commands packed beforehand, sent as one piece, replies counted."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Self
from urllib.parse import urlsplit

from actors.redis.history.names import history_name

__all__ = ["Envelopes", "NotSubscribedError", "Publisher", "pack", "packed"]


def pack(*args: bytes) -> bytes:
    """Return one command as RESP."""
    parts = [b"*%d\r\n" % len(args)]
    parts += [b"$%d\r\n%b\r\n" % (len(arg), arg) for arg in args]
    return b"".join(parts)


def packed(channels: Sequence[str], payload: bytes, count: int, command: bytes) -> bytes:
    """Return ``count`` messages, to one channel after another."""
    each = [pack(command, name.encode(), payload) for name in channels]
    return b"".join(each[number % len(each)] for number in range(count))


class Envelopes:
    """Messages of channels that have a history, as the client's script publishes them.

    The ids follow on from burst to burst; the histories themselves are empty, which a consumer that
    misses nothing does not see.
    """

    _MS = b"1700000000000"

    def __init__(self, channels: Sequence[str], payload: bytes, command: bytes) -> None:
        self._names = [history_name(name.encode()) for name in channels]
        self._payload = payload
        self._command = command
        self._numbers = [0] * len(channels)

    def packed(self, count: int) -> bytes:
        """Return the next ``count`` messages, to one channel after another."""
        commands = []
        for index in range(count):
            channel = index % len(self._names)
            n = self._numbers[channel] = self._numbers[channel] + 1
            before = self._MS if n > 1 else b"0"
            envelope = b"~%b-%d %b %b" % (self._MS, n, before, self._payload)
            commands.append(pack(self._command, self._names[channel], envelope))
        return b"".join(commands)


class NotSubscribedError(Exception):
    """A message went to nobody, or to too many."""


class Publisher:
    """A connection that publishes."""

    def __init__(self, url: str) -> None:
        where = urlsplit(url)
        self._socket = socket.create_connection((where.hostname, where.port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.settimeout(60)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def send(self, commands: bytes) -> None:
        """Send commands, replies to be read by :meth:`confirm`."""
        self._socket.sendall(commands)

    def confirm(self, count: int, subscribers: int = 1) -> None:
        """Read ``count`` replies.

        Raises:
            NotSubscribedError: a message did not go to ``subscribers``.
        """
        expected = b":%d\r\n" % subscribers * count
        replies = bytearray()
        while len(replies) < len(expected):
            part = self._socket.recv(1 << 20)
            if not part:
                raise ConnectionError("the server closed the publisher's connection")
            replies += part
            if not expected.startswith(replies):
                raise NotSubscribedError(f"PUBLISH was answered {bytes(replies[-8:])!r}")

    def ask(self, *args: bytes) -> bytes:
        """Send one command; return the start of its reply, as it came."""
        self._socket.sendall(pack(*args))
        return self._socket.recv(1 << 20)
