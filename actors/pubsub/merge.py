"""Several nodes feed one target for a while: each message passes once, in order (P7).

The nodes of a shard deliver the same messages in the same order, some later than others: the
cluster bus takes milliseconds, under load tens of them. One node *leads*:

- What the leader delivers passes at once.
- What another one delivers was passed already, and is dropped; or the leader has yet to deliver it,
  and it is held until it does. When the leader delivers a later one instead, or does not deliver it
  in time, it has missed it: then what was held passes.
- What the leader missed, and another node delivers after the leader's next, is dropped: it would
  come out of order.
- When another node leads from now on, what was held of it passes first, in order; what it delivers
  late is known and dropped.

Messages are told apart by their payloads, in order, and only for ``MEMORY`` seconds: a payload that
comes again after that is another message.

Nodes of different shards never deliver the same message. While a slot moves from one to the other,
the new owner's are held until the old one has said its last word.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from typing import Any

__all__ = ["MEMORY", "Merge", "Port"]

#: Seconds by which the nodes of a shard may be apart, with ample room.
MEMORY = 0.25
# So many messages within that time are as good as any number.
_MOST = 8192


class Merge:
    """The ways of several nodes into one inlet.

    Args:
        inlet: where messages go.
        now: returns the time in seconds.
    """

    def __init__(self, inlet: Any, now: Callable[[], float]) -> None:
        self.inlet = inlet
        self.ports: dict[Hashable, Port] = {}
        self.leader: Port | None = None
        #: Which stream a node delivers, or delivered; for whoever adds them.
        self.streams: dict[Hashable, Hashable] = {}
        self._now = now
        # What passed lately, and how many entries were forgotten before the first of it.
        self._passed: deque[tuple[Any, Hashable, float]] = deque()
        self._forgotten = 0
        self._closed: list[Port] = []

    def remember(self, payloads: Iterable[Any], stream: Hashable) -> None:
        """Note what passed of ``stream`` before there was a merge; later ports may repeat it."""
        now = self._now()
        self._passed.extend((payload, stream, now) for payload in payloads)

    def add(self, node: Hashable, stream: Hashable, *, repeats: bool = True) -> Port:
        """Return the way in for ``node``.

        Args:
            node: any name.
            stream: the same for nodes of one shard.
            repeats: it may deliver what passed already.
        """
        position = self._forgotten if repeats else self._forgotten + len(self._passed)
        port = self.ports[node] = Port(self, stream, position)
        return port

    def remove(self, node: Hashable) -> None:
        """``node`` delivers nothing more; what is held of it waits for the leader still."""
        port = self.ports.pop(node)
        if port is self.leader:
            self.leader = None
        elif port.held:
            self._closed.append(port)

    def lead(self, node: Hashable) -> None:
        """Let ``node`` lead: what is held of it passes."""
        port = self.ports[node]
        if port is self.leader:
            return
        self.leader = port
        # Nobody else will say when what ended nodes had before the change is due: it is, now.
        for closed in self._closed:
            self._release(closed)
        self._closed.clear()
        self._release(port)

    def expire(self) -> bool:
        """Give up waiting for what the leader should have delivered; return whether all is quiet.

        Quiet: one node is left, and nothing is remembered that could come again.
        """
        limit = self._now() - MEMORY
        for port in [*self.ports.values(), *self._closed]:
            if port is not self.leader:
                while port.held and port.held[0][1] < limit:
                    self._pass(port, port.held.popleft()[0])
        self._closed = [port for port in self._closed if port.held]
        self._forget(limit)
        return len(self.ports) <= 1 and not self._passed and not self._closed

    def finish(self) -> None:
        """No node delivers any more: what is still held, nobody else has."""
        for port in [*self.ports.values(), *self._closed]:
            self._release(port)

    # -- messages ----------------------------------------------------------------------------------

    def put(self, port: Port, message: Any) -> None:
        """Take a message that ``port``'s node delivered."""
        if self._known(port, message["data"]):
            return
        if port is self.leader:
            self._pass(port, message)
        else:
            port.held.append((message, self._now()))
            if len(port.held) > _MOST:
                self._pass(port, port.held.popleft()[0])

    def _known(self, port: Port, payload: Any) -> bool:
        """Whether it passed already, after what ``port`` delivered before."""
        passed = self._passed
        for index in range(max(port.position - self._forgotten, 0), len(passed)):
            entry = passed[index]
            if entry[0] == payload and entry[1] == port.stream:
                port.position = self._forgotten + index + 1
                # What came before it and waits, the leader has missed, and is too late to pass.
                port.held.clear()
                return True
        return False

    def _pass(self, port: Port, message: Any) -> None:
        payload = message["data"]
        behind = [
            other
            for other in (*self.ports.values(), *self._closed)
            if other.held and other is not port and other.stream == port.stream
        ]
        for other in behind:
            place = next((i for i, held in enumerate(other.held) if held[0]["data"] == payload), -1)
            for _ in range(place):
                # This came before it, and the leader has missed it.
                self._pass(other, other.held.popleft()[0])
            if place >= 0:
                other.held.popleft()
                other.position = self._forgotten + len(self._passed) + 1
        self._passed.append((payload, port.stream, self._now()))
        if len(self._passed) > _MOST:
            self._passed.popleft()
            self._forgotten += 1
        port.position = self._forgotten + len(self._passed)
        self.inlet.put(message)

    def _release(self, port: Port) -> None:
        while port.held:
            self._pass(port, port.held.popleft()[0])

    def _forget(self, limit: float) -> None:
        while self._passed and self._passed[0][2] < limit:
            self._passed.popleft()
            self._forgotten += 1


class Port:
    """One node's way in: a consumer like an inlet.

    Attributes:
        stream: which sequence of messages it delivers.
        position: how many of all messages that passed are surely before the next one from here.
        held: messages, each with when it came, that have not passed.
    """

    __slots__ = ("_merge", "held", "position", "stream")

    def __init__(self, merge: Merge, stream: Hashable, position: int) -> None:
        self._merge = merge
        self.stream = stream
        self.position = position
        self.held: deque[tuple[Any, float]] = deque()

    def put(self, message: Any) -> None:
        """Take a message."""
        self._merge.put(self, message)
