"""The user's calls that wait: done when all their targets are, failed by the first error."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from actors.pubsub.model.types import Target
from actors.redis.exceptions import AuthorizationError, RedisError

if TYPE_CHECKING:
    from actors.pubsub.subscriptions.registry import Subscription


class Call:
    """One ``subscribe`` or ``unsubscribe`` call.

    Attributes:
        future: done with the call.
        open: the targets that it waits for.
        fresh: subscriptions of targets that nobody wanted before; given up if the call fails.
        swaps: subscriptions that replace an earlier one of their target if the call succeeds.
        refusal: the latest error of a server that refuses a target for the moment.
        on_refusal: called when there is one.
    """

    __slots__ = ("fresh", "future", "on_refusal", "open", "refusal", "swaps")

    def __init__(self, targets: Iterable[Target], loop: asyncio.AbstractEventLoop) -> None:
        self.open = set(targets)
        self.fresh: dict[Target, Subscription] = {}
        self.swaps: dict[Target, Subscription] = {}
        self.refusal: RedisError | None = None
        self.on_refusal: Callable[[], None] = lambda: None
        self.future: asyncio.Future[None] = loop.create_future()

    def waits_for(self) -> int:
        """Return how many targets are not confirmed."""
        return len(self.open)

    def done(self, target: Target) -> None:
        """Take that ``target`` is confirmed; with the last one the call is done."""
        self.open.discard(target)
        if not self.open and not self.future.done():
            self.future.set_result(None)

    def delay(self, refusal: RedisError) -> None:
        """Take that a server refuses a target for the moment."""
        self.refusal = refusal
        self.on_refusal()

    def fail(self, error: BaseException) -> None:
        """Fail the call with ``error``."""
        if not self.future.done():
            self.future.set_exception(error)
            # Retrieve the error: the caller may have been cancelled, and asyncio logs an error that
            # nobody retrieves.
            self.future.exception()


class PendingCalls:
    """The calls that wait for a confirmation, by target."""

    __slots__ = ("_calls",)

    def __init__(self) -> None:
        self._calls: dict[Target, list[Call]] = {}

    def __bool__(self) -> bool:
        return bool(self._calls)

    def __contains__(self, target: Target) -> bool:
        return target in self._calls

    def targets(self) -> list[Target]:
        """Return the targets that are waited for."""
        return list(self._calls)

    def add(self, target: Target, call: Call) -> None:
        """Have ``call`` wait for ``target``."""
        self._calls.setdefault(target, []).append(call)

    def done(self, target: Target) -> None:
        """Take that ``target`` is confirmed."""
        for call in self._calls.pop(target, ()):
            call.done(target)

    def fail(self, target: Target, error: BaseException) -> bool:
        """Fail the calls that wait for ``target``; return whether there were any."""
        calls = self._calls.pop(target, ())
        for call in calls:
            call.fail(error)
        return bool(calls)

    def delay(self, targets: Iterable[Target], refusal: RedisError) -> None:
        """Tell the calls that wait for ``targets`` that a server refuses them for the moment."""
        for call in {call for target in targets for call in self._calls.get(target, ())}:
            call.delay(refusal)

    def forget(self, call: Call) -> None:
        """Forget ``call``: its caller waits no longer."""
        for target in list(call.open):
            calls = self._calls.get(target)
            if calls and call in calls:
                calls.remove(call)
                if not calls:
                    del self._calls[target]


def named(error: RedisError, targets: list[Target], own: Callable[[Target], Target]) -> RedisError:
    """Return ``error`` with the names that were asked for, which the server leaves out.

    ``own`` returns a target with the name that users know it by.
    """
    if not isinstance(error, AuthorizationError):
        return error
    more = f" and {len(targets) - 3} more" if len(targets) > 3 else ""
    asked = ", ".join(_both_names(target, own(target)) for target in targets[:3]) + more
    return AuthorizationError(f"{error} (asked for {asked}; ACL SETUSER gives the right)")


def _both_names(asked: Target, own: Target) -> str:
    shown = repr(own.name.decode(errors="backslashreplace"))
    if asked == own:
        return shown
    return f"{shown} by way of {asked.name.decode(errors='backslashreplace')!r}"
