"""What the recovering channels of one pub/sub object share: who is behind, counters, the log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, Generic, Protocol, TypeVar

from actors.pubsub.delivery.mailbox_writer import MailboxWriter
from actors.pubsub.model.types import Gap, Target
from actors.runtime.ref import ActorRef
from supervisor.log import get_logger

log = get_logger("mailslot.pubsub")

#: The name of the actor that reads histories; the actor is a child of the handlers' supervisor.
READER_NAME: Final = "mailslot:histories"
#: Seconds for which recoveries are collected into one line of the log.
_LOG_SECONDS = 0.5


class Recovering(Protocol):
    """A recovering channel."""

    @property
    def held(self) -> int:
        """How many of its messages are held back."""


C = TypeVar("C", bound=Recovering)


class RecoveryCounts:
    """Counters; none of them ever falls.

    Attributes:
        recovered: messages that were delivered out of a history.
        lost: messages that were trimmed before they could be read.
        unknown: losses of which nobody knows the number.
        reads: commands that asked for a history.
        resumed: those of them that came between a position that was kept and the end of the history
            when the consumer began; some of them may have been handled before.
        repeats: messages dropped because they had been delivered.
        discarded: messages dropped because no history has them, or that were none.
        seconds: how long a channel was behind, whichever it was.
    """

    __slots__ = (
        "discarded",
        "lost",
        "reads",
        "recovered",
        "repeats",
        "resumed",
        "seconds",
        "unknown",
    )

    def __init__(self) -> None:
        self.recovered = self.resumed = self.lost = self.unknown = self.reads = 0
        self.repeats = self.discarded = 0
        self.seconds = 0.0


class Wanted:
    """Tells the reader that channels want their histories read."""


#: The only one.
WANTED = Wanted()


class Histories(Generic[C]):
    """Connects the channels that want their histories read with the reader that reads them.

    Attributes:
        counts: the counters.
        channels: how many channels recover.
        behind: the channels that want something read, each with the time since when.
        fresh: those of them that the reader has not taken yet.
        reader: the actor that reads; None while it does not run.
        touched: the writers that deliveries outside of a read of a connection touched.

    Args:
        loop: the event loop.
        touched: see above.
        tell: called with a channel's target and a gap that its consumer has to hear of.
        encoding: the codec of names and payloads.
        decode: whether payloads become str.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        touched: list[MailboxWriter],
        tell: Callable[[Target, Gap], None],
        *,
        encoding: str,
        decode: bool,
    ) -> None:
        self.loop = loop
        self.touched = touched
        self.encoding = encoding
        self.decode = decode
        self.counts = RecoveryCounts()
        self.channels = 0
        self.behind: dict[C, float] = {}
        self.fresh: list[C] = []
        self.reader: ActorRef[Any] | None = None
        self.tell = tell
        self._behind_since = 0.0
        self._settled: list[asyncio.Future[None]] = []
        # For the next line of the log: channels, messages, the longest time.
        self._summary = (0, 0, 0.0)
        self._timer: asyncio.TimerHandle | None = None

    @property
    def held(self) -> int:
        """How many messages are held back at the moment."""
        return sum(intake.held for intake in self.behind)

    @property
    def seconds(self) -> float:
        """How long a channel was behind so far, whichever it was."""
        open_for = self.loop.time() - self._behind_since if self.behind else 0.0
        return self.counts.seconds + open_for

    @property
    def behind_seconds(self) -> float:
        """For how long the channel has been behind that has been so for the longest time."""
        return self.loop.time() - min(self.behind.values()) if self.behind else 0.0

    def describe(self) -> dict[str, Any]:
        """Return what the tree shows: how many channels recover, and how many are behind."""
        detail: dict[str, Any] = {"channels": self.channels, "behind": len(self.behind)}
        if self.behind:
            detail |= {"held": self.held, "behind_seconds": round(self.behind_seconds, 1)}
        return detail

    def stats(self) -> dict[str, Any]:
        """Return the counters, by the names that users see."""
        counts = self.counts
        return {
            "recovering": self.channels,
            "behind": len(self.behind),
            "behind_seconds": self.behind_seconds,
            "recovered": counts.recovered,
            "resumed": counts.resumed,
            "lost": counts.lost,
            "unknown": counts.unknown,
            "history_reads": counts.reads,
            "held": self.held,
            "repeats": counts.repeats,
            "discarded": counts.discarded,
            "recovery_seconds": self.seconds,
        }

    def want(self, intake: C) -> None:
        """Have the history of ``intake`` read, if that is not under way."""
        if intake in self.behind:
            return
        now = self.loop.time()
        if not self.behind:
            self._behind_since = now
        self.behind[intake] = now
        self.fresh.append(intake)
        if len(self.fresh) == 1 and self.reader is not None:
            self.reader.tell(WANTED)

    def take(self) -> list[C]:
        """Return the channels that want something read and were not returned before."""
        fresh, self.fresh = self.fresh, []
        return fresh

    def done(self, intake: C, recovered: int) -> None:
        """Take that nothing more is to be read for ``intake``.

        Args:
            intake: the channel.
            recovered: how many messages were delivered out of its history since it was behind.
        """
        since = self.behind.pop(intake, None)
        if since is None:
            return
        now = self.loop.time()
        if recovered:
            channels, messages, longest = self._summary
            self._summary = channels + 1, messages + recovered, max(longest, now - since)
            if self._timer is None:
                self._timer = self.loop.call_later(_LOG_SECONDS, self._log)
        if not self.behind:
            self.counts.seconds += now - self._behind_since
            settled, self._settled = self._settled, []
            for waiter in settled:
                if not waiter.done():
                    waiter.set_result(None)

    async def settled(self) -> None:
        """Wait until no channel is behind."""
        while self.behind:
            waiter = self.loop.create_future()
            self._settled.append(waiter)
            await waiter

    def close(self) -> None:
        """Log what has not been logged yet."""
        if self._timer is not None:
            self._timer.cancel()
            self._log()

    def _log(self) -> None:
        self._timer = None
        (channels, messages, seconds), self._summary = self._summary, (0, 0, 0.0)
        log.info("recovered", targets=channels, messages=messages, seconds=round(seconds, 3))
