"""From a message to a call: what a Handler says, put together once, so that it costs no decision.

Each step that a handler does not ask for is left out of the function that runs for its messages;
what is left for a plain callback is the callback itself. All of them, from the outside in:

    breaker -> thread is free -> time limit -> middleware -> decode -> function
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

import msgspec

from actors.pubsub.handlers.breaker import BreakerOpenError, BreakerState, BreakerStatus
from actors.pubsub.handlers.handler import Handler, Opener
from actors.pubsub.model.types import PubSubMessage
from supervisor.log import Throttle, get_logger

if TYPE_CHECKING:
    from actors.pubsub.handlers.worker_thread import WorkerThread

__all__ = [
    "UNOPENED",
    "Call",
    "Receive",
    "Run",
    "admit",
    "guard",
    "is_undecodable",
    "make_call",
    "make_decode",
    "make_receive",
    "make_run",
    "mark_undecodable",
    "note_success",
]

log = get_logger("mailslot.pubsub")

#: Runs the function for (payload, message).
Call = Callable[[Any, PubSubMessage], Awaitable[Any]]
#: Does all that is to be done with a message, and with its payload where that is known already.
Run = Callable[..., Awaitable[Any]]
Receive = Callable[[Any], Any]

#: Stands for a payload that has not been decoded yet.
UNOPENED: Final = msgspec.UNSET

_CLOSED = BreakerStatus.CLOSED
_MARK = "_mailslot_undecodable"
_overdue = Throttle(perf_counter, 10.0)


# -- decoding --------------------------------------------------------------------------------------


def make_decode(handler: Handler) -> Callable[[Any], Any] | None:
    """Return what makes an object of a payload; None: the handler takes messages as they are."""
    if handler.decode is None:
        return None
    if isinstance(handler.decode, Opener):
        return handler.decode.open
    if handler.format == "json":
        decode: Callable[[Any], Any] = msgspec.json.Decoder(handler.decode).decode
        return decode
    unpack = msgspec.msgpack.Decoder(handler.decode).decode

    def decode_bytes(data: Any) -> Any:
        # A client that decodes responses made str of what happened to be text.
        return unpack(data.encode() if isinstance(data, str) else data)

    return decode_bytes


def mark_undecodable(error: Exception) -> None:
    """Have ``error`` known from now on as one of decoding, and not of the handler."""
    # On the error itself: it may pass any middleware on its way to the failure sink.
    setattr(error, _MARK, True)


def is_undecodable(error: BaseException) -> bool:
    """Return whether ``error`` says that a payload does not decode."""
    return hasattr(error, _MARK)


# -- the whole -------------------------------------------------------------------------------------


def make_receive(handler: Handler, breaker: BreakerState | None, time: Callable[[], float]) -> Any:
    """Return the function that takes each message of a handler without lanes and threads."""
    if handler.timeout is None and not handler.in_thread and handler.around is None:
        receive = _make_simple(handler, breaker, time)
        if receive is not None:
            return receive
    return guard(make_run(handler, make_call(handler)), breaker, time)


def _make_simple(
    handler: Handler, breaker: BreakerState | None, time: Callable[[], float]
) -> Receive | None:
    """Return the usual cases written out, each with no call but the ones that it is for."""
    fn: Any = handler.fn
    decode = make_decode(handler)
    if decode is None and breaker is None:
        receive_plain: Receive = fn
        return receive_plain
    if decode is None or breaker is None or handler.wants_message or not handler.is_async:
        return None

    async def receive(message: Any) -> None:
        if breaker.status is not _CLOSED:
            admit(breaker, time())
        try:
            payload = decode(message["data"])
        except Exception as error:
            mark_undecodable(error)
            raise
        await fn(payload)
        breaker.ok = True
        if breaker.status is not _CLOSED:
            note_success(breaker)

    return receive


def make_run(handler: Handler, call: Call, thread: WorkerThread | None = None) -> Run:
    """Return what is done with each message behind the breaker."""
    run = _opened(call, make_decode(handler))
    if handler.around is not None:
        run = _surrounded(handler.around, run)
    if handler.timeout is not None:
        run = _limited(run, handler.timeout)
    return run if thread is None else _in_turn(run, thread, handler.name)


def make_call(handler: Handler, thread: WorkerThread | None = None) -> Call:
    """Return the coroutine function that runs the handler's function."""
    fn: Any = handler.fn
    two = handler.wants_message
    if thread is not None:
        return _threaded(fn, two, thread)
    if not handler.is_async:
        return _plain(fn, two)
    return fn if two else lambda payload, _: fn(payload)


# -- the breaker -----------------------------------------------------------------------------------


def guard(run: Run, breaker: BreakerState | None, time: Callable[[], float]) -> Run:
    """Return ``run`` behind ``breaker``."""
    if breaker is None:
        return run

    async def receive(message: Any, payload: Any = UNOPENED) -> None:
        if breaker.status is not _CLOSED:
            admit(breaker, time())
        await run(message, payload)
        breaker.ok = True
        if breaker.status is not _CLOSED:
            note_success(breaker)

    return receive


def admit(breaker: BreakerState, now: float) -> None:
    """Let a message pass a breaker that is not closed, or raise."""
    if not breaker.allows(now):
        raise BreakerOpenError("the handler failed on every one of the last messages")


def note_success(breaker: BreakerState) -> None:
    """Take note of a success while the breaker is not closed."""
    if breaker.succeeded():
        log.warning("breaker_closed", handler=breaker.handler, channel=breaker.channel)


# -- the tree -------------------------------------------------------------------------------------


def _opened(call: Call, decode: Callable[[Any], Any] | None) -> Run:
    if decode is None:
        return lambda message, _payload=UNOPENED: call(message, message)

    def opened(message: PubSubMessage, payload: Any = UNOPENED) -> Awaitable[Any]:
        if payload is UNOPENED:
            try:
                payload = decode(message["data"])
            except Exception as error:
                mark_undecodable(error)
                raise
        return call(payload, message)

    return opened


def _surrounded(around: Callable[[PubSubMessage, Any], Awaitable[Any]], run: Run) -> Run:
    def surrounded(message: PubSubMessage, payload: Any = UNOPENED) -> Awaitable[Any]:
        # What a middleware changed is decoded anew.
        return around(
            message, lambda passed: run(passed, payload if passed is message else UNOPENED)
        )

    return surrounded


def _limited(run: Run, seconds: float) -> Run:
    async def limited(message: PubSubMessage, payload: Any = UNOPENED) -> Any:
        async with asyncio.timeout(seconds) as limit:
            try:
                return await run(message, payload)
            except asyncio.CancelledError:
                if limit.expired():
                    raise TimeoutError(f"not handled within {seconds} s") from None
                raise

    return limited


def _in_turn(run: Run, thread: WorkerThread, name: str) -> Run:
    """Wait for a thread that is at work still on a message whose time was up."""

    async def in_turn(message: PubSubMessage, payload: Any = UNOPENED) -> Any:
        if thread.busy:
            await thread.free()
        try:
            return await run(message, payload)
        except TimeoutError:
            if thread.busy:
                thread.overdue = True
                _warn_overdue(name)
            raise

    return in_turn


def _warn_overdue(name: str) -> None:
    suppressed = _overdue.passes(name)
    if suppressed is not None:
        log.warning(
            "thread_goes_on",
            handler=name,
            consequence="the next message of its lane waits until the function returns",
            suppressed=suppressed,
        )


def _threaded(fn: Callable[..., Any], two: bool, thread: WorkerThread) -> Call:
    if two:
        return lambda payload, message: thread.run(fn, payload, message)
    return lambda payload, _: thread.run(fn, payload)


def _plain(fn: Callable[..., Any], two: bool) -> Call:
    async def call(payload: Any, message: PubSubMessage) -> Any:
        result = fn(payload, message) if two else fn(payload)
        if result is not None and inspect.isawaitable(result):
            return await result
        return result

    return call
