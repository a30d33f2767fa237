"""Two nodes of one shard feed one target for a moment: each message passes once, in order (P7).

Both deliver the same messages in the same order, one of them later than the other: the cluster bus
takes milliseconds, under load tens of them. So during a hand-over

- the old source's messages pass as they come;
- the new source's are held, until the old one has delivered them, too, or the hand-over ends;
- what the old one delivered before the new one did is remembered, to be dropped when it comes.

When the old source is lost, or has had time enough to catch up, what is still held is what it never
delivered: it passes, and the new source is alone. Messages are told apart by their payloads, in
order; the old source's are remembered from the moment on in which the new one is asked, which is
before its first message.

Nodes of different shards never deliver the same message and need no merge.
"""

from __future__ import annotations

from collections import deque
from typing import Any

__all__ = ["Merge"]

# A hand-over takes a tenth of a second: more than this many are a node that never answered.
_MOST = 8192


class Merge:
    """The two ways into one inlet, ``old`` and ``new``, each with a ``put`` like an inlet's."""

    __slots__ = ("_ahead", "_held", "_inlet", "new", "old")

    def __init__(self, inlet: Any) -> None:
        self._inlet = inlet
        self._ahead: deque[Any] = deque(maxlen=_MOST)
        self._held: deque[Any] = deque()
        self.old = _Port(self._put_old)
        self.new = _Port(self._put_new)

    def release(self) -> None:
        """Pass on what the old source did not deliver: nothing more comes from it."""
        while self._held:
            self._inlet.put(self._held.popleft())
        self._ahead.clear()

    def _put_old(self, message: Any) -> None:
        payload, held = message["data"], self._held
        if any(other["data"] == payload for other in held):
            # What the new source delivered before this one, the old source has missed.
            while (first := held.popleft())["data"] != payload:
                self._inlet.put(first)
        else:
            self._ahead.append(payload)
        self._inlet.put(message)

    def _put_new(self, message: Any) -> None:
        payload, ahead = message["data"], self._ahead
        if payload in ahead:
            while ahead.popleft() != payload:
                pass
        elif len(self._held) < _MOST:
            self._held.append(message)
        else:
            self._inlet.put(self._held.popleft())
            self._held.append(message)


class _Port:
    __slots__ = ("put",)

    def __init__(self, put: Any) -> None:
        self.put = put
