"""The messages that a merge dropped lately, and what is to be told of them (P7)."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from math import inf

from actors.pubsub.delivery.passed import StreamKey


class DroppedMessages:
    """Remembers the keys of dropped messages; reports drops and doubts.

    Args:
        tell: called with the times between which messages were accepted that did not pass, or may
            not have, and with the reason.
    """

    __slots__ = ("_at", "_doubtful_since", "_tell")

    def __init__(self, tell: Callable[[float, float, str], None]) -> None:
        self._tell = tell
        self._at: dict[StreamKey, float] = {}
        # Since when a doubt is to be reported; infinity: there is none.
        self._doubtful_since = inf

    def __contains__(self, key: StreamKey) -> bool:
        return key in self._at

    def add(self, keys: Iterable[StreamKey], since: float, until: float, now: float) -> None:
        """Report that the messages with ``keys``, accepted between two times, are dropped."""
        self._at.update(dict.fromkeys(keys, now))
        self._tell(since, until, "messages came too late to be in order")

    def doubt(self, since: float) -> None:
        """Note that a message accepted after ``since`` may be missing."""
        self._doubtful_since = min(self._doubtful_since, since)

    def report_doubt(self, now: float) -> None:
        """Report what was noted, if anything was."""
        since, self._doubtful_since = self._doubtful_since, inf
        if since < inf:
            self._tell(since, now, "equal payloads: a repeat, or another message")

    def forget(self, limit: float) -> None:
        """Forget the messages that were dropped before ``limit``."""
        if self._at:
            self._at = {key: at for key, at in self._at.items() if at >= limit}

    def unite(self, stream: Hashable) -> None:
        """Make all messages those of ``stream``."""
        self._at = {(stream, key[1]): at for key, at in self._at.items()}
