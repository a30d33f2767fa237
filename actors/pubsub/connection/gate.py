"""A gate: whose messages reach their consumers, where several processes own names together.

The gate's *control channel* is a plain channel that is subscribed on every connection that
consumes, ahead of all names. A server puts what it publishes into one order, the same for all its
subscribers. So a message of the control channel stands at one place among the messages of all
names, and what it decides about their owners holds on that connection from that place on.

Who owns what is the *keeper*'s decision: the gate asks it when routes are set, and tells it what
connections bring. A message costs nothing more by that: the names that do not pass have no route.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from actors.pubsub.connection.subscriber import Subscriber
from actors.pubsub.model.types import Kind, Target
from actors.redis.exceptions import ConnectionError, RedisError  # noqa: A004


class LineFacts(Protocol):
    """Takes what connections bring, within their callbacks; a node is named as in the table."""

    def opened(self, node: str) -> None:
        """The control channel is subscribed on a new connection to ``node``."""

    def closed(self, node: str) -> None:
        """The connection to ``node`` has ended."""

    def told(self, node: str, payload: bytes | str) -> None:
        """``node`` published ``payload`` on the control channel."""

    def refused(self, error: RedisError) -> None:
        """A server refused to subscribe to the gate's channels."""

    def check(self) -> None:
        """Raise ConnectionError where nothing that was received may be delivered any more."""

    def is_undecided(self, node: str) -> bool:
        """Whether names have to wait for what ``node`` says next on the control channel."""


class Keeper(LineFacts, Protocol):
    """Decides which names pass. A target has the name that users know it by."""

    def passes(self, node: str, target: Target) -> bool:
        """Whether the messages of ``target`` that ``node`` publishes are this process's."""

    def concerns(self, target: Target) -> bool:
        """Whether messages of ``target`` are this process's at any node."""


class Gate:
    """The gate of one pub/sub object.

    Attributes:
        keeper: decides.
        control: the control channel.
        lines: the connections that have not ended.

    Args:
        keeper: decides.
        control: the control channel.
        presence: a channel of this process alone: its subscribers show that it is connected.
        connection_name: what servers list the connections as.
    """

    def __init__(
        self, keeper: Keeper, control: bytes, presence: bytes, connection_name: str
    ) -> None:
        self.keeper = keeper
        self.control = control
        self.lines: set[Line] = set()
        self.targets = frozenset((Target(Kind.CHANNEL, control), Target(Kind.CHANNEL, presence)))
        self._connection_name = connection_name

    def attach(self, subscriber: Subscriber, admit: Callable[[], None]) -> None:
        """Subscribe to the gate's channels on a new connection.

        Args:
            subscriber: the connection's.
            admit: called when names can be subscribed on it.
        """
        line = Line(self, subscriber, admit)
        self.lines.add(line)
        subscriber.open_side(line, self._connection_name)

    def close(self, reason: str) -> None:
        """End all connections; what was read from them, and is not delivered yet, is dropped."""
        for line in list(self.lines):
            line.subscriber.channels.clear()
            line.subscriber.patterns.clear()
            line.subscriber.connection.abort(ConnectionError(reason))


class Line:
    """The gate's channels on one connection."""

    def __init__(self, gate: Gate, subscriber: Subscriber, admit: Callable[[], None]) -> None:
        self.subscriber = subscriber
        self._gate = gate
        self._keeper = gate.keeper
        self._admit: Callable[[], None] | None = admit
        self._missing = set(gate.targets)
        self._is_open = False
        self._drain = subscriber.drain
        subscriber.connection.drain = self._check_and_drain

    @property
    def targets(self) -> frozenset[Target]:
        """The gate's channels."""
        return self._gate.targets

    def put(self, message: Any) -> None:
        """Take a message of one of the channels."""
        if self._is_open and message["channel"] == self._gate.control:
            self._keeper.told(self.subscriber.node, message["data"])
            self._admit_names()

    def closed(self) -> None:
        """Take that the connection ends."""
        self._gate.lines.discard(self)
        self._admit = None
        if self._is_open:
            self._is_open = False
            self._keeper.closed(self.subscriber.node)

    def on_confirmed(
        self, subscriber: Subscriber, target: Target, subscribed: bool, count: int
    ) -> None:
        """Take that a channel is subscribed."""
        self._missing.discard(target)
        if not self._missing and not self._is_open and self in self._gate.lines:
            self._is_open = True
            self._keeper.opened(subscriber.node)
            self._admit_names()

    def on_revoked(self, subscriber: Subscriber, target: Target, count: int) -> None:
        """End the connection: the server has ended the subscription of a channel by itself."""
        name = target.name.decode(errors="backslashreplace")
        subscriber.connection.abort(ConnectionError(f"the server ended the subscription of {name}"))

    def on_refused(self, subscriber: Subscriber, targets: list[Target], error: RedisError) -> None:
        """End the connection: nobody knows what it may consume."""
        self._keeper.refused(error)
        subscriber.connection.abort(ConnectionError(f"no control channel: {error}"))

    def on_batch_done(self, subscriber: Subscriber) -> None:
        """Take that a batch is handled."""

    def _admit_names(self) -> None:
        if self._admit is not None and not self._keeper.is_undecided(self.subscriber.node):
            admit, self._admit = self._admit, None
            admit()

    def _check_and_drain(self, gets: Callable[[], Any]) -> None:
        self._keeper.check()
        self._drain(gets)
