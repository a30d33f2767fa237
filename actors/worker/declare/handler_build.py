"""From a user's function to a Handler: context, raw payloads and middleware put in between.

What a handler does not ask for is left out; one that takes its message or payload and nothing else,
in a worker without middleware, runs as if there were no worker around it.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from actors.pubsub.handlers.handler import Around, Handler, Opener
from actors.pubsub.model.types import PubSubMessage
from actors.runtime.actor import ActorSpec
from actors.worker.declare.middleware import Chain, receipts_of
from actors.worker.declare.signature import Binding, Role

__all__ = ["HandlerBuilder"]


class HandlerBuilder:
    """What all handlers of a worker share.

    Args:
        context: returns the worker's context.
        chain: the middleware; None: there is none.
        gate: what must be set before the first message is handled; None: nothing.
    """

    def __init__(
        self, context: Callable[[], Any], chain: Chain | None, gate: asyncio.Event | None
    ) -> None:
        self.context = context
        self._around = _around(chain, gate)
        self._receipts = receipts_of(chain)

    def function_handler(
        self, fn: Callable[..., Any], binding: Binding, options: Mapping[str, Any]
    ) -> Handler:
        """Return the Handler that runs ``fn`` as ``binding`` says."""
        direct = fn if _is_plain(binding) else self._filled(fn, binding)
        return self._surrounded(Handler(direct, **_opening(binding, options)))

    def actor_handler(
        self, spec: ActorSpec, binding: Binding, options: Mapping[str, Any]
    ) -> Handler:
        """Return the Handler that has messages received by an actor of ``spec``."""
        handler = Handler(spec, **_opening(binding, options))
        if not _is_plain(binding) or len(binding.roles) != 1:
            handler.adapt = lambda receive: self._filled(receive, binding, two=True)
        return self._surrounded(handler)

    def _surrounded(self, handler: Handler) -> Handler:
        handler.around = self._around
        handler.receive_times = self._receipts
        return handler

    # -- the parts ---------------------------------------------------------------------------------

    def _filled(
        self, fn: Callable[..., Any], binding: Binding, *, two: bool | None = None
    ) -> Callable[..., Any]:
        """Return ``fn`` as a function of the message, or of the payload and the message."""
        makers = [self._maker(role) for role in binding.roles]
        if two is None:
            two = _opens(binding)

        def arguments(payload: Any, message: Any) -> list[Any]:
            return [make(payload, message) for make in makers]

        filled: Callable[..., Any]
        if inspect.iscoroutinefunction(fn):
            if two:

                async def filled(payload: Any, message: Any) -> Any:
                    return await fn(*arguments(payload, message))
            else:

                async def filled(message: Any) -> Any:
                    return await fn(*arguments(message, message))
        elif two:

            def filled(payload: Any, message: Any) -> Any:
                return fn(*arguments(payload, message))
        else:

            def filled(message: Any) -> Any:
                return fn(*arguments(message, message))

        _name_as(filled, fn)
        return filled

    def _maker(self, role: Role) -> Callable[[Any, Any], Any]:
        match role:
            case Role.CONTEXT:
                return lambda _payload, _message: self.context()
            case Role.MESSAGE:
                return lambda _payload, message: message
        return lambda payload, _message: payload


def _around(chain: Chain | None, gate: asyncio.Event | None) -> Around | None:
    """Return what every message passes: the gate, then the chain; None: nothing."""
    if gate is None:
        return chain
    opened = gate

    async def around(
        message: PubSubMessage, last: Callable[[PubSubMessage], Awaitable[Any]]
    ) -> Any:
        if not opened.is_set():
            await opened.wait()
        return await (last(message) if chain is None else chain(message, last))

    return around


def _opens(binding: Binding) -> bool:
    """Return whether a payload is made of what comes."""
    return binding.decode is not None or binding.raw is not None


def _is_plain(binding: Binding) -> bool:
    """Return whether a Handler calls it in the same way, without anything between."""
    if binding.raw is None:
        return binding.plain
    return binding.roles in ((Role.PAYLOAD,), (Role.PAYLOAD, Role.MESSAGE))


def _opening(binding: Binding, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``options`` with what makes the payload."""
    if binding.raw is None:
        return dict(options)
    return {**options, "decode": Opener(_as_bytes if binding.raw is bytes else _as_text)}


def _as_bytes(data: Any) -> bytes:
    # A client that decodes responses made str of what happened to be text.
    return data.encode() if isinstance(data, str) else data


def _as_text(data: Any) -> str:
    return data if isinstance(data, str) else data.decode()


def _name_as(function: Any, fn: Any) -> None:
    # Not functools.wraps: that would make it look as if it took what ``fn`` takes.
    for attribute in ("__name__", "__qualname__", "__module__"):
        if hasattr(fn, attribute):
            setattr(function, attribute, getattr(fn, attribute))
