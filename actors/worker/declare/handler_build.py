"""From a user's function to a Handler, with context, raw payloads and middleware added.

Only what a handler asks for is added: one that takes its message or its decoded payload, in a
worker without middleware, runs as it would outside of a worker.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

from actors.pubsub.delivery.handling_times import HandlingTimes
from actors.pubsub.handlers.decoders import PayloadDecoder
from actors.pubsub.handlers.handler import Around, Handler
from actors.pubsub.model.types import PubSubMessage
from actors.runtime.actor import ActorSpec
from actors.worker.declare.middleware import Chain, Next, receive_times_of
from actors.worker.declare.signature import Binding, Role


class HandlerBuilder:
    """Builds the handlers of one worker, which wait until ``gate`` is set if there is one.

    ``measured`` takes what measures each handler, by path.
    """

    def __init__(
        self,
        context: Callable[[], Any],
        chain: Chain | None,
        gate: asyncio.Event | None,
        measured: MutableMapping[str, HandlingTimes] | None = None,
    ) -> None:
        self.context = context
        self._chain = chain
        self._gate = gate
        self._around = chain if gate is None else _behind(gate, chain)
        self._receive_times = receive_times_of(chain)
        self._measured = measured

    def handler(self, fn: Any, binding: Binding, options: Mapping[str, Any]) -> Handler:
        """Return the Handler that calls ``fn``, or an actor of that spec, as ``binding`` says."""
        decode, is_actor = binding.decode, isinstance(fn, ActorSpec)
        if binding.raw is not None:
            decode = PayloadDecoder(_as_bytes if binding.raw is bytes else _as_text, binding.raw)
        if not is_actor and not binding.direct:
            fn = self._filled(fn, binding, two=binding.opens)
        handler = Handler(fn, **{**options, "decode": decode})
        if is_actor and not (binding.direct and len(binding.roles) == 1):
            handler.adapt = lambda receive: self._filled(receive, binding, two=True)
        if handler.batch is None:
            handler.around = self._around
        else:
            handler.around, handler.gate = self._chain, self._gate
        handler.receive_times = self._receive_times
        handler.measured = self._measured
        return handler

    def _filled(self, fn: Callable[..., Any], binding: Binding, *, two: bool) -> Callable[..., Any]:
        """Return ``fn`` as a function of the message, or of two: the payload and the message."""
        known: dict[Role, Callable[[Any, Any], Any]] = {
            Role.CONTEXT: lambda _payload, _message: self.context(),
            Role.MESSAGE: lambda _payload, message: message,
            Role.PAYLOAD: lambda payload, _message: payload,
        }
        makers = [known[role] for role in binding.roles]

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

        # Not functools.wraps: inspect would show the parameters of ``fn``.
        for attribute in ("__name__", "__qualname__", "__module__"):
            if hasattr(fn, attribute):
                setattr(filled, attribute, getattr(fn, attribute))
        return filled


def _behind(gate: asyncio.Event, chain: Chain | None) -> Around:
    """Return ``chain`` with every message held until ``gate`` is set."""

    async def around(message: PubSubMessage, last: Next) -> Any:
        if not gate.is_set():
            await gate.wait()
        return await (last(message) if chain is None else chain(message, last))

    return around


def _as_bytes(data: Any) -> bytes:
    # A client with decode_responses makes str of every payload that is valid text.
    return data.encode() if isinstance(data, str) else data


def _as_text(data: Any) -> str:
    return data if isinstance(data, str) else data.decode()
