"""Ports that are reserved for a server, before its first start and while it is down."""

from __future__ import annotations

import errno
import socket
import sys

CLUSTER_BUS_OFFSET = 10_000
_TRIES = 100


class PortReservation:
    """A port that nobody else gets while this object is open.

    A socket of this object is bound to the port and does not listen. On Linux a server can bind the
    same port and listen on it, as both sockets set SO_REUSEADDR, while the kernel gives the port to
    nobody who asks for a free one. That matters while the server is down: the kernel could choose
    the port as the local port of a client that reconnects to it, and the client would be connected
    to itself. On other systems the port is only known to have been free when this object was made.

    Args:
        host: the address to take the port on, loopback.
        port: the port to take; 0 for any that is free.
        cluster: take the cluster bus port, 10,000 above, as well.

    Raises:
        OSError: EADDRINUSE when ``port``, or for 0 every port tried, is taken.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0, *, cluster: bool = False) -> None:
        self.host = host
        self._sockets: list[socket.socket] = []
        for _ in range(1 if port else _TRIES):
            try:
                self.port = self._take(port, any_port=port == 0)
                if cluster:
                    self._take(self.port + CLUSTER_BUS_OFFSET, any_port=port == 0)
            except (OSError, OverflowError) as error:
                self.close()
                if isinstance(error, OSError) and error.errno != errno.EADDRINUSE:
                    raise
            else:
                break
        else:
            what = f"port {port}" if port else "every port tried"
            bus = " or its cluster bus port" if cluster else ""
            raise OSError(errno.EADDRINUSE, f"{what}{bus} on {host} is taken")
        if sys.platform != "linux":
            self.close()

    def _take(self, port: int, *, any_port: bool) -> int:
        taken = socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET)
        self._sockets.append(taken)
        if any_port:
            taken.bind((self.host, port))
        # For any free port the option is set after the bind: set before, the bind would share a
        # port that another PortReservation holds. For a given port it is set before, as servers do:
        # connections of an earlier server on that port then do not matter.
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if not any_port:
            taken.bind((self.host, port))
        bound: int = taken.getsockname()[1]
        return bound

    def close(self) -> None:
        """Give the port back."""
        for taken in self._sockets:
            taken.close()
        self._sockets.clear()
