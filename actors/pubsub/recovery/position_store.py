"""Writes positions to the server: soon after they change, in pipelined batches, and at every end.

A write begins when the former one to the same node was answered and a short pause is over, and
takes all that has changed by then. So there are at most fifty writes a second to each node,
whatever the rate of messages, and none while nothing is handled. A node that does not answer holds
up no other one.

A position that cannot be written is written again with pauses that grow; the log says so once, and
once more when all of them are written. Meanwhile consumers go on: more would come again if the
process were killed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Any, Final

from actors.pubsub.recovery.history_access import HistoryAccess
from actors.pubsub.recovery.kept_positions import KeptPosition, KeptPositions
from actors.redis.exceptions import ConnectionError, RedisError  # noqa: A004
from actors.runtime.actor import Actor
from supervisor import ExitReason
from supervisor.log import get_logger

log = get_logger("mailslot.pubsub")

#: The name of the actor that writes positions; it is a child of the handlers' supervisor.
WRITER_NAME: Final = "mailslot:positions"
#: Seconds of the pause behind each write, and in addition for each position that was to be written.
_PAUSE, _PAUSE_FOR_EACH = 0.02, 0.0001
#: Positions in one batch, and seconds in which it must be answered.
_MOST, _DEADLINE = 512, 2.0


def pause_after(changed: int) -> float:
    """Return the seconds between the write of ``changed`` positions and the next write.

    One position is written fifty times a second at most, ten thousand positions about once a
    second: neither the server nor this process spends more on them where there are more.
    """
    return _PAUSE + _PAUSE_FOR_EACH * changed


class PositionStore:
    """Writes the positions of one pub/sub object.

    Args:
        positions: what to write.
        access: sends the commands.
        time: the loop's clock.
        check: raises ConnectionError where other processes may have the channels, whose positions
            are given up by then; None: no other process ever has them.
    """

    def __init__(
        self,
        positions: KeptPositions,
        access: HistoryAccess,
        time: Callable[[], float],
        check: Callable[[], None] | None = None,
    ) -> None:
        self._positions = positions
        self._access = access
        self._time = time
        self._check = check
        self._failing: set[KeptPosition] = set()
        # The latest write to each node.
        self._writes: dict[Hashable, asyncio.Task[None]] = {}

    def begin(self, *, last: bool = False) -> None:
        """Begin to write what has changed, to each node to which no write is under way.

        Args:
            last: also what could not be written a moment ago: this is the end.
        """
        if self._check is not None:
            with suppress(ConnectionError):
                self._check()
        groups: dict[Hashable, list[KeptPosition]] = {}
        for kept in self._positions.take_changed(None if last else self._time()):
            groups.setdefault(self._access.group(kept.key), []).append(kept)
        over = []
        for group, changed in groups.items():
            former = self._writes.get(group)
            if former is not None and not former.done():
                for kept in changed:
                    kept.progress.touch()  # with the next write
                continue
            if former is not None and not former.cancelled():
                over.append(former)
            self._writes[group] = asyncio.create_task(self._write_group(changed))
        for former in over:
            former.result()  # raises what is an error of this program

    async def finish(self) -> None:
        """Write all that has changed, and wait until servers have answered."""
        try:
            await self._answered()
            self.begin(last=True)
            await self._answered()
        except asyncio.CancelledError:
            await self.cancel()
            raise

    async def cancel(self) -> None:
        """End the writes under way: what they were about is written later."""
        for task in self._writes.values():
            task.cancel()
        await self._answered()

    async def _answered(self) -> None:
        """Wait until no write is under way."""
        if self._writes:
            await asyncio.wait(self._writes.values())

    async def _write_group(self, group: list[KeptPosition]) -> None:
        """Write the positions that one node keeps, batch after batch."""
        rest = group
        try:
            while rest:
                batch = rest[:_MOST]
                replies = await self._ask(batch)
                rest = rest[_MOST:]
                errors = {
                    kept: reply
                    for kept, reply in zip(batch, replies, strict=True)
                    if isinstance(reply, Exception)
                }
                self._succeeded([kept for kept in batch if kept not in errors])
                if errors:
                    failed = list(errors)
                    if len(failed) == len(batch):  # the node does not answer: nor would the rest
                        failed, rest = failed + rest, []
                    self._failed(failed, errors[failed[0]])
        finally:
            for kept in rest:  # the write was cancelled
                kept.progress.touch()
            self._positions.forget_left()

    async def _ask(self, batch: list[KeptPosition]) -> list[Any]:
        try:
            async with asyncio.timeout(_DEADLINE):
                return await self._access.send([kept.command for kept in batch])
        except (RedisError, TimeoutError, OSError) as error:
            return [error] * len(batch)

    def _failed(self, failed: list[KeptPosition], error: Exception) -> None:
        now = self._time()
        for kept in failed:
            kept.failed(now)
        if not self._failing:
            log.error(
                "positions_not_written",
                key=failed[0].key.decode(errors="backslashreplace"),
                positions=len(failed),
                error=str(error) or type(error).__name__,
                consequence="if this process is killed, more messages come again",
            )
        self._failing.update(failed)

    def _succeeded(self, written: list[KeptPosition]) -> None:
        for kept in written:
            kept.written()
        if self._failing:
            self._failing.difference_update(written)
            if not self._failing:
                log.info("positions_written", consequence="all positions are at the server again")


class PositionWriter(Actor[None]):
    """Has ``store`` write whenever something has changed, with pauses."""

    def __init__(self, store: PositionStore, positions: KeptPositions) -> None:
        self._store = store
        self._positions = positions
        self._task: asyncio.Task[None]

    async def on_start(self) -> None:
        """Begin to write."""
        self._task = self.context.system.loop.create_task(self._run())
        self._task.add_done_callback(self._ended)

    async def on_stop(self, reason: ExitReason) -> None:
        """End the write under way; what was not written is written at the end."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._store.cancel()

    async def _run(self) -> None:
        positions = self._positions
        while True:
            await positions.some_changed.wait()
            pause = pause_after(positions.changed)
            self._store.begin()
            await asyncio.sleep(pause)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            self.context.crash(error)
