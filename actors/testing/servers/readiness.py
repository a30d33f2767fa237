"""Finds out when a server answers, without blocking and without a client."""

from __future__ import annotations

import errno
import socket

_NOT_YET = frozenset({errno.EAGAIN, errno.EINPROGRESS, errno.EALREADY, errno.ENOTCONN})


class PingProbe:
    """Sends PING, on a new connection each time, until the server answers.

    Args:
        address: ``(host, port)``, or the path of a unix socket.
    """

    def __init__(self, address: tuple[str, int] | str) -> None:
        self._address = address
        self._socket: socket.socket | None = None
        self._asked = False

    def answered(self) -> bool:
        """Connect, send or read, without waiting; True once the server has answered.

        An error reply is an answer, NOAUTH for instance; only LOADING is none.
        """
        try:
            return self._step()
        except OSError as error:
            if error.errno not in _NOT_YET:
                self.close()
            return False

    def _step(self) -> bool:
        if self._socket is None:
            self._socket = self._connect()
        if not self._asked:
            self._socket.send(b"PING\r\n")
            self._asked = True
        reply = self._socket.recv(64)
        if not reply or reply.startswith(b"-LOADING"):
            self.close()
            return False
        return True

    def _connect(self) -> socket.socket:
        if isinstance(self._address, str):
            family = socket.AF_UNIX
        else:
            family = socket.AF_INET6 if ":" in self._address[0] else socket.AF_INET
        connecting = socket.socket(family)
        connecting.setblocking(False)
        result = connecting.connect_ex(self._address)
        if result not in {0, errno.EINPROGRESS}:
            connecting.close()
            raise OSError(result, "cannot connect")
        return connecting

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._asked = False
