"""Positions that are kept at the server, so that the next process goes on there (R4).

The positions of a channel's consumers are one hash, ``<history>:positions``: each field is the
``resume`` name of a consumer, its value the id of the entry behind which the consumer goes on.
"""

from __future__ import annotations

import asyncio
from typing import Any

from actors.pubsub.delivery.progress import Progress
from actors.redis.wire.resp import Argument
from actors.runtime.messages.mailbox import Mailbox

#: Seconds before a position that could not be written is written again: at first, at the most.
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 5.0


class KeptPosition:
    """The position of one channel's consumer.

    Attributes:
        key: where the positions of the channel's consumers are kept.
        name: the consumer's resume name.
        progress: what the consumer has handled.
        is_ours: whether this process may write the position: no other one has the channel.
        leaving: the mailbox of the consumer whose subscription has ended; None: it has not.
        failures: how many times in a row the position could not be written.
        due: the loop's time before which it is not written again.
    """

    __slots__ = (
        "_positions",
        "due",
        "failures",
        "is_ours",
        "key",
        "leaving",
        "name",
        "progress",
    )

    def __init__(self, key: bytes, name: str, positions: KeptPositions) -> None:
        self.key = key
        self.name = name
        self.progress = Progress(lambda: positions.note(self))
        self.is_ours = True
        self.leaving: Mailbox | None = None
        self.failures = 0
        self.due = 0.0
        self._positions = positions

    @property
    def command(self) -> tuple[Argument, ...]:
        """What writes the position; it counts as written from now on."""
        return ("HSET", self.key, self.name, self.progress.noted())

    @property
    def is_over(self) -> bool:
        """Whether the consumer has left, and has nothing more to handle or to write."""
        mailbox, progress = self.leaving, self.progress
        if mailbox is None or mailbox.queue:
            return False
        return progress.is_noted and not progress.in_hand

    def begun(self, position: Any) -> None:
        """Take where the consumer begins; the server has to know."""
        self.is_ours = True
        self.progress.begun(position)

    def resumed(self, position: Any) -> None:
        """Take what the server has; None: nothing."""
        self.is_ours = True
        if position is not None:
            self.progress.resumed(position)

    def give_up(self) -> None:
        """Take that another process may have the channel, and write its position."""
        self.is_ours = False
        self.progress.forget()

    def join(self) -> None:
        """Take that a subscription feeds the consumer."""
        self.leaving = None
        self._positions.left.discard(self)

    def leave(self, mailbox: Mailbox) -> None:
        """Take that the subscription ended; its consumer may still have messages."""
        self.leaving = mailbox
        self._positions.left.add(self)
        self.progress.touch()

    def written(self) -> None:
        """Take that the server has the position."""
        self.failures, self.due = 0, 0.0

    def failed(self, now: float) -> None:
        """Take that the position could not be written: it is written later, and later each time."""
        self.due = now + min(_FIRST_PAUSE * 2 ** min(self.failures, 10), _LONGEST_PAUSE)
        self.failures += 1
        self.progress.touch()


class KeptPositions:
    """The positions of one pub/sub object's consumers.

    Attributes:
        progress: what is handled of each channel, by the name that messages show.
        some_changed: set while there is something to write.
        left: those whose subscriptions have ended.
    """

    def __init__(self) -> None:
        self.progress: dict[Any, Progress] = {}
        self.some_changed = asyncio.Event()
        self.left: set[KeptPosition] = set()
        self._kept: dict[Any, KeptPosition] = {}
        self._changed: list[KeptPosition] = []

    def of(self, label: Any, key: bytes, name: str) -> KeptPosition:
        """Return the position of the consumer of a channel.

        Args:
            label: the channel, as its messages show it.
            key: where its positions are kept.
            name: the consumer's resume name.
        """
        kept = self._kept.get(label)
        if kept is None or (kept.key, kept.name) != (key, name):
            kept = self._kept[label] = KeptPosition(key, name, self)
            self.progress[label] = kept.progress
        return kept

    @property
    def changed(self) -> int:
        """How many positions are to be written, at once or later."""
        return len(self._changed)

    def note(self, kept: KeptPosition) -> None:
        """Take that ``kept`` has something to be written."""
        self._changed.append(kept)
        self.some_changed.set()

    def take_changed(self, now: float | None) -> list[KeptPosition]:
        """Return what is to be written; ``now``: without what is to be written later."""
        changed, self._changed = self._changed, []
        self.some_changed.clear()
        ready = []
        for kept in changed:
            if now is not None and kept.due > now:
                self.note(kept)
            elif kept.progress.noted() is not None and kept.is_ours:
                ready.append(kept)
        return ready

    def forget_left(self) -> None:
        """Forget the consumers that have left and have nothing more to handle."""
        over = {kept for kept in self.left if kept.is_over}
        if over:
            self.left -= over
            for label in [label for label, kept in self._kept.items() if kept in over]:
                del self._kept[label], self.progress[label]
