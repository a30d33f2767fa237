"""Publishes to the plain channels of one server, and notes what became of each message."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence

from actors.redis.wire.resp import pack
from tests.faults.load import Accepted, Report, Unknown, word_of

__all__ = ["PlainLoad"]

_CONNECT, _REPLY, _RETRY = 0.5, 0.5, 0.02
# Seconds by which it may be behind its schedule, and catch up.
_LATE = 0.1


class PlainLoad:
    """Publishes numbers, or words, to channels in turn, from :meth:`start` to :meth:`stop`.

    One message at a time is on its way. A message that is sent and not answered is *unknown*, and
    the next number is next.

    Args:
        port: of the server itself, on loopback.
        channels: to publish to.
        rate: messages a second.
        words: payloads are one of two words.
    """

    def __init__(self, port: int, channels: Sequence[str], rate: float, *, words: bool) -> None:
        self._port = port
        self._channels = channels
        self._pause = 1 / rate
        self._words = words
        self._accepted: list[Accepted] = []
        self._unknown: list[Unknown] = []
        self._errors: Counter[str] = Counter()
        self._over = False
        self._task: asyncio.Task[None]

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="publisher")

    async def stop(self) -> Report:
        """End, and return what became of all messages."""
        self._over = True
        await self._task
        return Report(self._accepted, self._unknown, dict(self._errors))

    async def _run(self) -> None:
        numbers = [0] * len(self._channels)
        turn, due = 0, time.monotonic()
        while not self._over:
            try:
                async with asyncio.timeout(_CONNECT):
                    reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            except (OSError, TimeoutError) as error:
                self._errors[type(error).__name__] += 1
                await asyncio.sleep(_RETRY)
                continue
            try:
                while not self._over:
                    due = max(due + self._pause, time.monotonic() - _LATE)
                    await asyncio.sleep(due - time.monotonic())
                    await self._publish(turn, numbers, reader, writer)
                    turn = (turn + 1) % len(numbers)
            except (OSError, TimeoutError) as error:
                self._errors[type(error).__name__] += 1
            finally:
                writer.transport.abort()

    async def _publish(
        self,
        channel: int,
        numbers: list[int],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        number, sent = numbers[channel], time.time()
        numbers[channel] += 1
        data = word_of(number) if self._words else str(number)
        writer.write(pack(("PUBLISH", self._channels[channel], data)))
        try:
            async with asyncio.timeout(_REPLY):
                answer = await reader.readline()
            if not answer:
                raise ConnectionResetError
        except (OSError, TimeoutError):
            self._unknown.append(Unknown(channel, number, sent))
            raise
        if answer.startswith(b":"):
            self._accepted.append(Accepted(channel, number, sent, time.time(), self._port))
        else:
            self._errors[answer.split()[0].decode()] += 1
