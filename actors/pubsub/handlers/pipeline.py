"""From a Handler's options to the function that is called for each message, built once.

A step that a handler does not ask for is left out; of a plain callback only itself remains.
All steps, from the outside in:

    breaker -> thread is free -> time limit -> middleware -> decode -> function
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

import msgspec

from actors.pubsub.handlers.breaker import BreakerState, BreakerStatus
from actors.pubsub.handlers.failure_span import as_utc
from actors.pubsub.handlers.handler import Around, Handler
from actors.pubsub.model.types import PubSubMessage
from supervisor.log import Throttle, get_logger

if TYPE_CHECKING:
    from actors.pubsub.handlers.worker_thread import WorkerThread

log = get_logger("mailslot.pubsub")

#: Calls the handler's function with (payload, message).
Call = Callable[[Any, PubSubMessage], Awaitable[Any]]
#: Does all steps behind the breaker, with (message) or, where it is decoded, (message, payload).
Run = Callable[..., Awaitable[Any]]

#: Stands for a payload that is not decoded yet.
UNDECODED: Final = msgspec.UNSET

_CLOSED = BreakerStatus.CLOSED
_MARK = "_mailslot_undecodable"
_overdue = Throttle(perf_counter, 10.0)


# -- the whole -------------------------------------------------------------------------------------


def make_receive(
    handler: Handler, breaker: BreakerState | None, time: Callable[[], float]
) -> Callable[[Any], Any]:
    """Return the function for each message of a handler without ``concurrency`` and threads."""
    if handler.timeout is None and handler.around is None:
        fn: Any = handler.fn
        decode = handler.decoder
        if decode is None and breaker is None:
            plain: Callable[[Any], Any] = fn
            return plain
        if decode and breaker and handler.is_async and not handler.wants_message:
            return _decode_and_guard(fn, decode, breaker, time)
    return guard(make_run(handler, make_call(handler)), breaker, time)


def _decode_and_guard(
    fn: Callable[[Any], Any],
    decode: Callable[[Any], Any],
    breaker: BreakerState,
    time: Callable[[], float],
) -> Run:
    """Return the steps of the most usual handler written out: no call but the necessary ones."""

    async def receive(message: Any) -> None:
        if breaker.status is not _CLOSED:
            _admit(breaker, time())
        try:
            payload = decode(message["data"])
        except Exception as error:
            _mark_undecodable(error)
            raise
        await fn(payload)
        breaker.ok = True
        if breaker.status is not _CLOSED:
            _note_success(breaker)

    return receive


def make_run(handler: Handler, call: Call, thread: WorkerThread | None = None) -> Run:
    """Return the steps behind the breaker."""
    run = _with_decoding(call, handler.decoder)
    if handler.around is not None:
        run = _with_middleware(run, handler.around)
    if handler.timeout is not None:
        run = _with_time_limit(run, handler.timeout)
    return run if thread is None else _in_free_thread(run, thread, handler.name)


def make_batch_steps(run: Run, handler: Handler, thread: WorkerThread | None) -> Run:
    """Return ``run``, which handles a whole batch, with the handler's time limit and thread."""
    if handler.timeout is not None:
        run = _with_time_limit(run, handler.timeout)
    return run if thread is None else _in_free_thread(run, thread, handler.name)


def make_call(handler: Handler, thread: WorkerThread | None = None) -> Call:
    """Return the coroutine function that calls the handler's function."""
    fn: Any = handler.fn
    two = handler.wants_message
    if thread is not None:
        if two:
            return lambda payload, message: thread.run(fn, payload, message)
        return lambda payload, _: thread.run(fn, payload)
    if handler.is_async:
        return fn if two else lambda payload, _: fn(payload)
    return awaited(fn, two=two)


def awaited(fn: Callable[..., Any], *, two: bool) -> Call:
    """Return a coroutine function that calls ``fn``, and awaits its result if need be.

    ``two``: ``fn`` takes the message after the payload.
    """

    async def call(payload: Any, message: PubSubMessage) -> Any:
        result = fn(payload, message) if two else fn(payload)
        if result is not None and inspect.isawaitable(result):
            return await result
        return result

    return call


# -- the breaker -----------------------------------------------------------------------------------


def guard(run: Run, breaker: BreakerState | None, time: Callable[[], float]) -> Run:
    """Return ``run`` behind ``breaker``."""
    if breaker is None:
        return run

    async def receive(message: Any, payload: Any = UNDECODED) -> Any:
        if breaker.status is not _CLOSED:
            _admit(breaker, time())
        result = await run(message, payload)
        breaker.ok = True
        if breaker.status is not _CLOSED:
            _note_success(breaker)
        return result

    return receive


def _admit(breaker: BreakerState, now: float) -> None:
    if not breaker.allows(now):
        raise breaker.open_error()


def _note_success(breaker: BreakerState) -> None:
    failures = breaker.failures
    if breaker.succeeded() and failures is not None:
        log.warning(
            "breaker_closed",
            handler=breaker.handler,
            channel=breaker.channel,
            failures=failures.count,
            first_error=failures.first_error,
            first_at=as_utc(failures.first_at),
        )


# -- decoding --------------------------------------------------------------------------------------


def make_message_decode(handler: Handler) -> Callable[[PubSubMessage], Any]:
    """Return the function from a message to what the handler is called with."""
    decode = handler.decoder
    if decode is None:
        return lambda message: message

    def decode_message(message: PubSubMessage) -> Any:
        try:
            return decode(message["data"])
        except Exception as error:
            _mark_undecodable(error)
            raise

    return decode_message


def _with_decoding(call: Call, decode: Callable[[Any], Any] | None) -> Run:
    if decode is None:
        return lambda message, _payload=UNDECODED: call(message, message)

    def run(message: PubSubMessage, payload: Any = UNDECODED) -> Awaitable[Any]:
        if payload is UNDECODED:
            try:
                payload = decode(message["data"])
            except Exception as error:
                _mark_undecodable(error)
                raise
        return call(payload, message)

    return run


def _mark_undecodable(error: Exception) -> None:
    # The mark is on the error itself, which may pass any middleware on its way to the sink. By the
    # method of BaseException: a class of the user's may refuse new attributes.
    BaseException.__setattr__(error, _MARK, True)


def is_undecodable(error: BaseException) -> bool:
    """Return whether ``error`` says that a payload does not decode."""
    return _MARK in error.__dict__


# -- middleware, time limit, thread ----------------------------------------------------------------


def _with_middleware(run: Run, around: Around) -> Run:
    def surrounded(message: PubSubMessage, payload: Any = UNDECODED) -> Awaitable[Any]:
        # A message that the middleware replaced is decoded anew.
        return around(
            message, lambda passed: run(passed, payload if passed is message else UNDECODED)
        )

    return surrounded


def _with_time_limit(run: Run, seconds: float) -> Run:
    async def limited(message: PubSubMessage, payload: Any = UNDECODED) -> Any:
        async with asyncio.timeout(seconds) as limit:
            try:
                return await run(message, payload)
            except asyncio.CancelledError:
                if limit.expired():
                    raise TimeoutError(f"not handled within {seconds} s") from None
                raise

    return limited


def _in_free_thread(run: Run, thread: WorkerThread, name: str) -> Run:
    """Wait first for a thread that still runs an earlier message, whose time limit was up."""

    async def run_when_free(message: PubSubMessage, payload: Any = UNDECODED) -> Any:
        if thread.busy:
            await thread.wait_free()
        try:
            return await run(message, payload)
        except TimeoutError:
            if thread.busy:
                thread.overdue = True
                suppressed = _overdue.passes(name)
                if suppressed is not None:
                    log.warning(
                        "thread_goes_on",
                        handler=name,
                        consequence="the thread takes its next message once the function returns",
                        suppressed=suppressed,
                    )
            raise

    return run_when_free
