"""A second connection to a server whose first one is silent: whichever speaks first is kept (P9).

    the first connection speaks     the server stood still for a while: nothing is lost
    the second one is answered      the first one is dead: the second one takes its place
    neither, or an error            the first one is given up, and its reader restarts

A server that stands still (a long script, a fork) answers on both connections when it goes on, and
what it had to deliver comes first, on the old one. So the old connection is read until then. The
two are never subscribed at the same time, so nothing is delivered twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from actors.redis.exceptions import ConnectionError  # noqa: A004
from actors.redis.wire.connection import Connection

#: Seconds after which a connection that stays silent is given up, without a second one.
LONGEST: Final = 10.0


class Successor:
    """Opens the second connection, until it is cancelled.

    Args:
        open: opens it.
        release: takes it back, where it is of no use.
        opened: called once with the connection, or with the reason why there is none.
    """

    def __init__(
        self,
        open: Callable[[], Awaitable[Connection]],
        release: Callable[[Connection], None],
        opened: Callable[[Connection | Exception], None],
    ) -> None:
        self._open = open
        self._release = release
        self._opened = opened
        name = "mailslot: opens a second connection"
        self._task = asyncio.get_running_loop().create_task(self._run(), name=name)

    def cancel(self) -> None:
        """Open none any more."""
        self._task.cancel()

    async def _run(self) -> None:
        connection: Connection | None = None
        try:
            async with asyncio.timeout(LONGEST):
                connection = await self._open()
                # One more answer: what the server sent on the first one before it has come by then.
                await connection.execute("HELLO")
        except BaseException as error:
            if connection is not None:
                connection.abort(ConnectionError("the first connection speaks again"))
                self._release(connection)
            if not isinstance(error, Exception):
                raise
            self._opened(error)
        else:
            self._opened(connection)
