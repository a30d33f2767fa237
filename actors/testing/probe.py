"""A recorder of calls and messages, which a test waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar, overload

from actors.runtime.actor import Actor, ActorSpec

T = TypeVar("T")
_SHOWN = 10


class Probe:
    """Records every message that it is called with, and lets a test wait for one.

    A probe is a callable of one argument. It can be a handler (``subscribe(orders=probe)``,
    ``app.channel("orders")(probe)``, ``Handler(probe, decode=Order)``), and ``on_failure=``,
    ``on_gap=`` or ``sink=``. ``probe.tell`` does the same as an actor ref's ``tell``, and
    ``system.spawn(probe.actor())`` returns the ref of an actor whose messages the probe records.
    Any thread may call it.

    Args:
        name: the name of the probe in errors.

    Attributes:
        messages: all recorded messages, oldest first.
    """

    def __init__(self, name: str = "probe") -> None:
        self.messages: list[Any] = []
        self.__name__ = self.__qualname__ = name
        self._unread: list[Any] = []
        self._waiters: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def __call__(self, message: Any) -> None:
        """Record a message."""
        self.messages.append(message)
        self._unread.append(message)
        for loop, event in list(self._waiters):
            loop.call_soon_threadsafe(event.set)

    def tell(self, message: Any) -> None:
        """Record a message, as an actor's ref takes it."""
        self(message)

    def actor(self) -> ActorSpec:
        """Return the spec of an actor whose messages the probe records."""
        return ActorSpec(_Recorder, (self,), name=self.__name__)

    @overload
    async def expect(self, what: type[T], *, within: float = 1.0) -> T: ...
    @overload
    async def expect(self, what: Any = ..., *, within: float = 1.0) -> Any: ...
    async def expect(self, what: Any = ..., *, within: float = 1.0) -> Any:
        """Return the first message that matches and that no earlier ``expect`` returned.

        Args:
            what: a type matches its instances; a function matches the messages for which it
                returns a true value; any other value matches equal messages; without ``what`` any
                message matches. For a Pub/Sub message its payload is compared, too:
                ``expect("hello")``.
            within: seconds to wait for the message.

        Raises:
            AssertionError: no message matched in time; the error names those that came.
        """
        matches = _matcher(what)
        event, loop = asyncio.Event(), asyncio.get_running_loop()
        waiter = (loop, event)
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(within):
                while True:
                    for index, message in enumerate(list(self._unread)):
                        if matches(message):
                            return self._unread.pop(index)
                    event.clear()
                    await event.wait()
        except TimeoutError:
            raise AssertionError(
                f"{self.__name__}: no {_wanted(what)} within {within} s; {self._came()}"
            ) from None
        finally:
            self._waiters.remove(waiter)

    async def expect_nothing(self, what: Any = ..., *, within: float = 0.1) -> None:
        """Wait, and check that no message matches, neither a new one nor one that comes meanwhile.

        Args:
            what: as for :meth:`expect`.
            within: seconds to wait.

        Raises:
            AssertionError: a message matches.
        """
        try:
            message = await self.expect(what, within=within)
        except AssertionError:
            return
        raise AssertionError(f"{self.__name__}: expected no {_wanted(what)}, and got {message!r}")

    def clear(self) -> None:
        """Forget all recorded messages."""
        self.messages.clear()
        self._unread.clear()

    def _came(self) -> str:
        if not self.messages:
            return "nothing came"
        shown = ", ".join(map(repr, self._unread[-_SHOWN:])) or "nothing"
        read = len(self.messages) - len(self._unread)
        return f"what came and was not expected yet: {shown} ({read} expected before)"

    def __repr__(self) -> str:
        return f"<Probe {self.__name__}: {len(self.messages)} messages>"


class _Recorder(Actor[Any]):
    def __init__(self, probe: Probe) -> None:
        self._probe = probe

    def receive(self, message: Any) -> None:
        """Let the probe record the message."""
        self._probe(message)


def _matcher(what: Any) -> Callable[[Any], bool]:
    if what is ...:
        return lambda _: True
    if isinstance(what, type):
        return lambda message: any(isinstance(one, what) for one in _forms(message))
    if callable(what):
        return lambda message: bool(what(message))
    return lambda message: any(one == what for one in _forms(message))


def _forms(message: Any) -> tuple[Any, ...]:
    """Return the message, and the payload too if it is a Pub/Sub message."""
    if isinstance(message, dict) and message.keys() == {"type", "pattern", "channel", "data"}:
        return (message, message["data"])
    return (message,)


def _wanted(what: Any) -> str:
    if what is ...:
        return "message"
    if callable(what):
        return getattr(what, "__qualname__", repr(what))
    return repr(what)
