"""A handler: one subscription's callback as an actor with a mailbox of its own (P12)."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from actors.pubsub.notices import call_back
from actors.pubsub.types import LagCallback, PubSubMessage, SubscriptionCallback
from actors.runtime.actor import Actor
from actors.runtime.messages import Lagged

__all__ = ["HandlerActor", "is_async_callable"]


def is_async_callable(callback: Callable[..., Any]) -> bool:
    """Whether calling ``callback`` returns a coroutine, as far as its definition tells."""
    return inspect.iscoroutinefunction(callback) or inspect.iscoroutinefunction(
        getattr(callback, "__call__", None)  # noqa: B004 - an instance with an async __call__
    )


class HandlerActor(Actor[PubSubMessage]):
    """Runs a callback for each message. What it raises costs that message only."""

    resilient = True

    def __init__(self, callback: SubscriptionCallback, on_lagged: LagCallback | None) -> None:
        self.on_lagged_callback = on_lagged
        # The callback itself is the actor's receive: no frame of ours between the two.
        receive: Any = callback
        if not inspect.iscoroutinefunction(callback):
            receive = receive.__call__ if is_async_callable(callback) else _tolerant(callback)
        self.__dict__["receive"] = receive

    async def on_lagged(self, lagged: Lagged) -> None:
        """Tell the user that messages were shed before the next one."""
        await call_back(self.on_lagged_callback, lagged.count)


def _tolerant(callback: SubscriptionCallback) -> Callable[[PubSubMessage], Any]:
    """Wrap a plain function: one that returns an awaitable after all has it awaited."""

    def receive(message: PubSubMessage) -> Awaitable[None] | None:
        result = callback(message)
        if result is None or not inspect.isawaitable(result):
            return None
        return result

    return receive
