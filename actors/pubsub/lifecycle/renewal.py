"""Renews the credentials of one live connection before they expire (P14).

A task of its own does this: the credential provider, or the server's answer to AUTH, may take long
or never come, and the reader goes on with its checks meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from actors.redis.wire.connection import Connection
from supervisor.log import get_logger

log = get_logger("mailslot.pubsub")

# Credentials are renewed when this share of their life is left.
_RENEW_AT: Final = 0.2
#: Seconds between two attempts after a failure: at first and at most.
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0


class Renewal:
    """Authenticates one connection, whose credentials expire, anew until it is cancelled.

    The connection is good until the old credentials expire, so a failed attempt ends nothing: the
    provider is asked again after a pause, which grows.

    Args:
        node: the node's name, for the log.
        connection: the connection.
        paused: returns whether nothing is read, so that no answer can come.
    """

    def __init__(self, node: str, connection: Connection, paused: Callable[[], bool]) -> None:
        self._node = node
        self._connection = connection
        self._paused = paused
        name = f"mailslot: renews the credentials at {node}"
        self._task = asyncio.get_running_loop().create_task(self._run(), name=name)

    def cancel(self) -> None:
        """Renew no more."""
        self._task.cancel()

    async def _run(self) -> None:
        connection, now = self._connection, asyncio.get_running_loop().time
        pause = _FIRST_PAUSE
        while connection.usable and (expires_at := connection.credentials_expire_at) is not None:
            await asyncio.sleep((expires_at - now()) * (1 - _RENEW_AT))
            while not await self._renewed(pause):
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            pause = _FIRST_PAUSE

    async def _renewed(self, pause: float) -> bool:
        """Try once; return whether there is nothing left to try."""
        connection = self._connection
        try:
            await connection.reauthenticate()
        except Exception as error:
            if not connection.usable:
                return True
            if not (isinstance(error, TimeoutError) and self._paused()):
                log.error(
                    "reauthentication_failed",
                    node=self._node,
                    error=str(error) or repr(error),
                    next_try=f"in {pause:g} s",
                )
            return False
        return True
