"""How a recovering channel's consumer goes on where the last one with its name was (R4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actors.pubsub.recovery.kept_positions import KeptPosition
from actors.pubsub.recovery.position import Lost, Output
from actors.redis.history.entries import EntryId, Envelope

#: Why messages may be lost before a consumer's first one.
NOT_READ = "the kept position could not be read"


class Resume:
    """What an intake knows of the position that is kept for it.

    Attributes:
        kept: the position.
        is_known: whether it is known, or known not to be there.
        counts: whether what is read out of the history counts as resumed.

    Args:
        kept: the position.
        as_shown: returns an entry's id as messages show it.
    """

    __slots__ = ("_as_shown", "counts", "is_known", "kept")

    def __init__(self, kept: KeptPosition, as_shown: Callable[[EntryId], Any]) -> None:
        self.kept = kept
        self.is_known = kept.progress.position is not None
        self.counts = False
        self._as_shown = as_shown

    @property
    def beginning(self) -> EntryId | None:
        """Where to begin, if this process knows that already."""
        known = self.kept.progress.position
        if known is None:
            return None
        return EntryId.parse(known if isinstance(known, bytes) else known.encode())

    def took(self, position: bytes | None) -> EntryId | None:
        """Take what the server has, None for nothing; return where to begin.

        Raises:
            ValueError: that is no position.
        """
        beginning = None if position is None else EntryId.parse(position)
        self.is_known = True
        self.counts = self.counts or beginning is not None
        self.kept.resumed(None if beginning is None else self._as_shown(beginning))
        return beginning

    def delivered(self, before: EntryId | None, last: EntryId | None, output: Output) -> None:
        """Take what is delivered, not all of it in turn: the consumer may begin with it.

        Args:
            before: the last entry before that; None: the consumer had no position.
            last: the last entry after that.
            output: what is delivered.
        """
        begins = last
        for one in output:
            if not isinstance(one, Lost):
                virtual = EntryId(one.id.ms, one.id.n - 1)  # as good as the entry before
                begins = one.previous if isinstance(one, Envelope) else virtual
                break
        if begins is not None and (before is None or begins < before):
            self.kept.begun(self._as_shown(begins))
