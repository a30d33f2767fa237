"""From a user's function to a Handler: context, raw payloads and middleware put in between.

What a handler does not ask for is left out; one that takes its message or payload and nothing else,
in a worker without middleware, runs as if there were no worker around it.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from actors.pubsub.handler_spec import Handler
from actors.pubsub.pipeline import make_call, make_decode
from actors.pubsub.types import PubSubMessage
from actors.runtime.actor import Actor
from actors.runtime.spec import ActorSpec
from actors.worker.binding import Binding, Role
from actors.worker.middleware import Chain

__all__ = ["Wiring"]


class Wiring:
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
        self._chain = chain
        self._gate = gate

    def function_handler(
        self, fn: Callable[..., Any], binding: Binding, options: Mapping[str, Any]
    ) -> Handler:
        """Return the Handler that runs ``fn`` as ``binding`` says."""
        direct = fn if binding.plain else self._filled(fn, binding)
        if self._chain is None and self._gate is None:
            return Handler(direct, **options)
        # The time limit is the outer one's: it covers the middleware, too.
        inner = Handler(direct, **{**options, "timeout": None})
        run = self._through(make_call(inner), make_decode(inner))
        _name_as(run, fn)
        outer = {name: value for name, value in options.items() if name != "in_thread"}
        if binding.decode is not None:
            return Handler(run, **outer)

        async def run_message(message: PubSubMessage) -> Any:
            return await run(message, message)

        _name_as(run_message, fn)
        return Handler(run_message, **outer)

    def actor_handler(
        self, spec: ActorSpec, binding: Binding, options: Mapping[str, Any]
    ) -> Handler:
        """Return the Handler that has messages received by an actor of ``spec``."""
        direct = binding.plain and len(binding.roles) == 1
        if self._chain is None and self._gate is None and direct:
            return Handler(spec, **options)
        checked = Handler(spec, **options)
        decode, make = make_decode(checked), spec.actor

        def made(*args: Any, **kwargs: Any) -> Actor[Any]:
            actor = make(*args, **kwargs)
            actor.__dict__["receive"] = self._receive(actor.receive, binding, decode)
            return actor

        made.__name__ = getattr(make, "__name__", "actor")
        made.__qualname__ = getattr(make, "__qualname__", made.__name__)
        # Decoding happens here, inside of the middleware: the Handler passes messages on.
        return Handler(msgspec.structs.replace(spec, actor=made), **{**options, "decode": None})

    def _receive(
        self, receive: Callable[..., Any], binding: Binding, decode: Callable[[Any], Any] | None
    ) -> Callable[[Any], Awaitable[Any]]:
        call = _awaited(receive if binding.plain else self._filled(receive, binding))
        two = binding.decode is not None and binding.roles != (Role.PAYLOAD,)

        async def inner(payload: Any, message: PubSubMessage) -> Any:
            return await (call(payload, message) if two else call(payload))

        run = self._through(inner, decode)

        async def received(message: Any) -> Any:
            # What is no dict is not the server's: timers, Terminated, what others tell the actor.
            if not isinstance(message, dict):
                return await _awaited(receive)(message)
            payload = message if decode is None else decode(message["data"])
            return await run(payload, message)  # type: ignore[arg-type]

        return received

    # -- the parts ---------------------------------------------------------------------------------

    def _filled(self, fn: Callable[..., Any], binding: Binding) -> Callable[..., Any]:
        """Return ``fn`` as a function of the message, or of the payload and the message."""
        makers = [self._maker(role, binding) for role in binding.roles]

        def arguments(payload: Any, message: Any) -> list[Any]:
            return [make(payload, message) for make in makers]

        filled: Callable[..., Any]
        if inspect.iscoroutinefunction(fn):
            if binding.decode is not None:

                async def filled(payload: Any, message: Any) -> Any:
                    return await fn(*arguments(payload, message))
            else:

                async def filled(message: Any) -> Any:
                    return await fn(*arguments(message, message))
        elif binding.decode is not None:

            def filled(payload: Any, message: Any) -> Any:
                return fn(*arguments(payload, message))
        else:

            def filled(message: Any) -> Any:
                return fn(*arguments(message, message))

        _name_as(filled, fn)
        return filled

    def _maker(self, role: Role, binding: Binding) -> Callable[[Any, Any], Any]:
        match role:
            case Role.CONTEXT:
                return lambda _payload, _message: self.context()
            case Role.MESSAGE:
                return lambda _payload, message: message
            case _ if binding.raw is bytes:
                return lambda _payload, message: _as_bytes(message["data"])
            case _ if binding.raw is str:
                return lambda _payload, message: _as_text(message["data"])
        return lambda payload, _message: payload

    def _through(
        self,
        call: Callable[[Any, PubSubMessage], Awaitable[Any]],
        decode: Callable[[Any], Any] | None,
    ) -> Callable[[Any, PubSubMessage], Awaitable[Any]]:
        """Return ``call`` behind the gate and inside of the chain."""
        chain, gate = self._chain, self._gate

        async def run(payload: Any, message: PubSubMessage) -> Any:
            if gate is not None and not gate.is_set():
                await gate.wait()
            if chain is None:
                return await call(payload, message)

            def last(passed: PubSubMessage) -> Awaitable[Any]:
                if passed is message:
                    return call(payload, passed)
                changed = passed if decode is None else decode(passed["data"])
                return call(changed, passed)

            return await chain(message, last)

        return run


def _as_bytes(data: Any) -> bytes:
    # A client that decodes responses made str of what happened to be text.
    return data.encode() if isinstance(data, str) else data


def _as_text(data: Any) -> str:
    return data if isinstance(data, str) else data.decode()


def _awaited(fn: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    async def call(*args: Any) -> Any:
        result = fn(*args)
        return await result if inspect.isawaitable(result) else result

    return call


def _name_as(function: Any, fn: Any) -> None:
    # Not functools.wraps: that would make it look as if it took what ``fn`` takes.
    for attribute in ("__name__", "__qualname__", "__module__"):
        if hasattr(fn, attribute):
            setattr(function, attribute, getattr(fn, attribute))
