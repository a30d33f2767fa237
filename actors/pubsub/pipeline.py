"""From a message to a call: what a Handler says, put together once, so that it costs no decision.

Each step that a handler does not ask for is left out of the function that runs for its messages;
what is left for a plain callback is the callback itself.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any

import msgspec

from actors.pubsub.breaker import BreakerOpenError, BreakerState, BreakerStatus
from actors.pubsub.handler_spec import Handler
from actors.pubsub.types import PubSubMessage
from actors.runtime.throttle import Throttle
from supervisor.log import get_logger

__all__ = ["Call", "Receive", "guard", "make_call", "make_decode", "make_receive"]

log = get_logger("mailslot.pubsub")

#: Seconds for which a plain function may hold the loop before it is warned about.
_HOLDS_LOOP = 0.1

#: Runs the function for (payload, message).
Call = Callable[[Any, PubSubMessage], Awaitable[Any]]
Receive = Callable[[Any], Any]

_CLOSED = BreakerStatus.CLOSED
_blocking = Throttle(perf_counter, 10.0)


def make_decode(handler: Handler) -> Callable[[Any], Any] | None:
    """Return what makes an object of a payload; None: the handler takes messages as they are."""
    if handler.decode is None:
        return None
    if handler.format == "json":
        decode: Callable[[Any], Any] = msgspec.json.Decoder(handler.decode).decode
        return decode
    unpack = msgspec.msgpack.Decoder(handler.decode).decode

    def decode_bytes(data: Any) -> Any:
        # A client that decodes responses made str of what happened to be text.
        return unpack(data.encode() if isinstance(data, str) else data)

    return decode_bytes


def make_receive(handler: Handler, breaker: BreakerState | None, time: Callable[[], float]) -> Any:
    """Return the function that takes each message."""
    fn, decode = handler.fn, make_decode(handler)
    assert callable(fn)
    if handler.timeout is None and not handler.in_thread:
        receive = _make_simple(handler, fn, decode, breaker, time)
        if receive is not None:
            return receive
    call = make_call(handler)
    if decode is None:
        return guard(lambda message: call(message, message), breaker, time)
    return guard(lambda message: call(decode(message["data"]), message), breaker, time)


def _make_simple(
    handler: Handler,
    fn: Callable[..., Any],
    decode: Callable[[Any], Any] | None,
    breaker: BreakerState | None,
    time: Callable[[], float],
) -> Receive | None:
    """Return the usual cases written out, each with no call but the ones that it is for."""
    if decode is None and breaker is None:
        if inspect.iscoroutinefunction(fn):
            return fn
        return None if handler.is_async else _timed(fn, handler.name)
    if decode is None or breaker is None or handler.wants_message or not handler.is_async:
        return None

    async def receive(message: Any) -> None:
        if breaker.status is not _CLOSED:
            _admit(breaker, time())
        await fn(decode(message["data"]))
        breaker.ok = True
        if breaker.status is not _CLOSED:
            _note_success(breaker)

    return receive


def _admit(breaker: BreakerState, now: float) -> None:
    if not breaker.allows(now):
        raise BreakerOpenError("the handler failed on every one of the last messages")


def _note_success(breaker: BreakerState) -> None:
    if breaker.succeeded():
        log.warning("breaker_closed")


def guard(
    run: Callable[[Any], Awaitable[Any]], breaker: BreakerState | None, time: Callable[[], float]
) -> Receive:
    """Return ``run`` behind ``breaker``."""
    if breaker is None:
        return run

    async def receive(message: Any) -> None:
        if breaker.status is not _CLOSED:
            _admit(breaker, time())
        await run(message)
        breaker.ok = True
        if breaker.status is not _CLOSED:
            _note_success(breaker)

    return receive


def make_call(handler: Handler) -> Call:
    """Return the coroutine function that runs the handler's function."""
    fn: Any = handler.fn
    two = handler.wants_message
    call: Call
    if handler.in_thread:
        call = _threaded(fn, two)
    elif not handler.is_async:
        call = _plain(fn, two, handler.name)
    elif two:
        call = fn
    else:
        call = lambda payload, _: fn(payload)  # noqa: E731 - one of four ways to the same thing
    return call if handler.timeout is None else _limited(call, handler.timeout)


def _threaded(fn: Callable[..., Any], two: bool) -> Call:
    async def call(payload: Any, message: PubSubMessage) -> Any:
        return await asyncio.to_thread(fn, *((payload, message) if two else (payload,)))

    return call


def _plain(fn: Callable[..., Any], two: bool, name: str) -> Call:
    """Run a plain function, and notice when it holds the loop."""
    timed = _timed(fn, name)

    async def call(payload: Any, message: PubSubMessage) -> Any:
        result = timed(payload, message) if two else timed(payload)
        if result is not None and inspect.isawaitable(result):
            return await result
        return result

    return call


def _timed(fn: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Return ``fn`` with a look at the clock; what it returns may be awaitable."""

    def timed(*payload: Any) -> Any:
        begun = perf_counter()
        result = fn(*payload)
        if perf_counter() - begun > _HOLDS_LOOP:
            _warn(name, perf_counter() - begun)
        return result

    return timed


def _warn(name: str, seconds: float) -> None:
    suppressed = _blocking.passes(name)
    if suppressed is not None:
        log.warning(
            "handler_holds_the_loop",
            handler=name,
            seconds=round(seconds, 3),
            suppressed=suppressed,
            cure="Handler(..., in_thread=True), or a coroutine function",
        )


def _limited(call: Call, seconds: float) -> Call:
    async def limited(payload: Any, message: PubSubMessage) -> Any:
        async with asyncio.timeout(seconds) as limit:
            try:
                return await call(payload, message)
            except asyncio.CancelledError:
                if limit.expired():
                    raise TimeoutError(f"not handled within {seconds} s") from None
                raise

    return limited
