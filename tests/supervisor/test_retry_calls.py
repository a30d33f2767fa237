"""RetryPolicy.call_with_retries and @retryable: attempts and hooks."""

from __future__ import annotations

import asyncio
import time

import pytest

from supervisor import (
    CompositeRetryPolicy,
    ConstantRetryPolicy,
    NoRetryPolicy,
    retryable,
)

LOST = ConnectionError("lost")


class Calls:
    """Raises each of ``errors`` once, then returns."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.count = 0

    async def __call__(self) -> str:
        self.count += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def policy(retries: int | None = 3, *types: type[BaseException], **options):
    return ConstantRetryPolicy(types or (ConnectionError,), retries, delay=0, **options)


async def test_it_returns_what_the_first_success_returned():
    calls = Calls(LOST, LOST)
    assert await policy().call_with_retries(calls) == "done"
    assert calls.count == 3


async def test_the_last_error_surfaces_when_the_retries_are_used_up():
    last = ConnectionError("last")
    calls = Calls(LOST, LOST, LOST, last, LOST)
    with pytest.raises(ConnectionError) as caught:
        await policy(3).call_with_retries(calls)
    assert caught.value is last
    assert calls.count == 4


@pytest.mark.parametrize("which", [policy(), NoRetryPolicy(), CompositeRetryPolicy(policy())])
async def test_an_error_that_is_not_for_the_policy_surfaces_at_once(which):
    calls = Calls(ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        await which.call_with_retries(calls)
    assert calls.count == 1


class Lost(BaseException):
    """An error that is no Exception, as some libraries have them."""


@pytest.mark.parametrize(
    ("error", "types"),
    [
        (Lost(), (Lost,)),
        (Lost(), (BaseException,)),
        (BaseExceptionGroup("", [LOST, Lost()]), (ConnectionError,)),
        (BaseExceptionGroup("", [LOST, Lost()]), (Lost,)),
    ],
)
@pytest.mark.parametrize("compose", [lambda one: one, CompositeRetryPolicy])
async def test_errors_that_are_no_exceptions_are_retried_where_they_match(error, types, compose):
    calls, seen = Calls(error, error), []
    which = compose(policy(2, *types))
    assert await which.call_with_retries(calls, failure_hook=seen.append) == "done"
    assert calls.count == 3
    assert seen == [error, error]


@pytest.mark.parametrize(
    "ending", [asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit]
)
@pytest.mark.parametrize("compose", [lambda one: one, CompositeRetryPolicy])
async def test_what_ends_a_task_or_the_program_is_not_held_up(ending, compose):
    which = compose(policy(None, BaseException, ConnectionError))
    for error in (ending(), BaseExceptionGroup("", [LOST, BaseExceptionGroup("", [ending()])])):
        calls = Calls(error)
        with pytest.raises(type(error)) as caught:
            await which.call_with_retries(calls)
        assert caught.value is error
        assert calls.count == 1


@pytest.mark.parametrize("ending", [asyncio.CancelledError, KeyboardInterrupt, SystemExit])
async def test_unless_the_policy_names_it(ending):
    calls = Calls(ending(), BaseExceptionGroup("", [LOST, ending()]))
    assert await policy(2, ending).call_with_retries(calls) == "done"
    assert calls.count == 3


@pytest.mark.parametrize("in_a_group", [False, True])
async def test_the_callers_own_cancellation_is_never_retried(in_a_group):
    begun = asyncio.Event()
    calls = 0

    async def attempt() -> None:
        nonlocal calls
        calls += 1
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            if in_a_group:
                raise BaseExceptionGroup("", [LOST, error]) from None
            raise

    which = policy(None, asyncio.CancelledError, BaseException, ConnectionError)
    task = asyncio.create_task(which.call_with_retries(attempt))
    await begun.wait()
    task.cancel()
    with pytest.raises((asyncio.CancelledError, BaseExceptionGroup)):
        await task
    assert calls == 1


async def test_a_coroutine_that_is_closed_ends():
    class Paused:
        def __await__(self):
            yield

    async def attempt() -> None:
        await Paused()

    coroutine = policy(None, GeneratorExit, BaseException).call_with_retries(attempt)
    coroutine.send(None)
    coroutine.close()


async def test_a_deadline_ends_the_attempts():
    calls = Calls(*[LOST] * 1000)
    begun = time.monotonic()
    waiting = ConstantRetryPolicy((ConnectionError,), None, delay=0.01, deadline=0.05)
    with pytest.raises(ConnectionError):
        await waiting.call_with_retries(calls)
    assert 2 <= calls.count <= 6
    assert time.monotonic() - begun < 1


async def test_it_waits_between_attempts_and_can_be_cancelled_there():
    calls = Calls(LOST)
    endless = ConstantRetryPolicy((ConnectionError,), None, delay=3600)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(endless.call_with_retries(calls), 0.02)
    assert calls.count == 1


async def test_the_before_hook_runs_before_every_attempt():
    order = []

    async def attempt():
        order.append("attempt")
        if len(order) < 4:
            raise LOST

    async def later():
        order.append("before")

    await policy().call_with_retries(attempt, before_hook=later)
    assert order == ["before", "attempt", "before", "attempt"]
    order.clear()
    await policy().call_with_retries(attempt, before_hook=lambda: order.append("before"))
    assert order == ["before", "attempt", "before", "attempt"]


async def test_what_a_before_hook_raises_counts_as_the_attempts_own():
    """As in the reference API: it may be what connects, say."""
    hook, calls = Calls(LOST, LOST), Calls()
    assert await policy(2).call_with_retries(calls, before_hook=hook) == "done"
    assert (hook.count, calls.count) == (3, 1)
    with pytest.raises(ValueError, match="bug"):
        await policy(2).call_with_retries(calls, before_hook=Calls(ValueError("bug")))
    assert calls.count == 1


async def test_the_failure_hook_is_called_before_each_further_attempt():
    seen = []
    errors = [ConnectionError("1"), ConnectionError("2")]
    await policy().call_with_retries(Calls(*errors), failure_hook=seen.append)
    assert seen == errors
    seen.clear()
    with pytest.raises(ConnectionError):
        await policy(1).call_with_retries(Calls(*errors), failure_hook=seen.append)
    assert seen == errors[:1]  # none follows the last


async def test_a_mapping_of_failure_hooks_picks_by_type():
    seen = []

    async def on_reset(error):
        seen.append("reset")

    hooks = {
        ConnectionResetError: on_reset,
        ConnectionError: lambda error: seen.append("connection"),
        TimeoutError: lambda error: seen.append("timeout"),
    }
    calls = Calls(ConnectionResetError(), LOST, TimeoutError(), ExceptionGroup("", [LOST]))
    await policy(9, ConnectionError, TimeoutError).call_with_retries(calls, failure_hook=hooks)
    assert seen == ["reset", "connection", "timeout", "connection"]


async def test_what_a_failure_hook_raises_ends_the_attempts():
    def broken(error):
        raise RuntimeError("hook")

    calls = Calls(LOST)
    with pytest.raises(RuntimeError, match="hook") as caught:
        await policy().call_with_retries(calls, failure_hook=broken)
    assert calls.count == 1
    assert caught.value.__context__ is LOST


async def test_each_call_counts_anew():
    shared = policy(1)
    for _ in range(5):
        assert await shared.call_with_retries(Calls(LOST)) == "done"


async def test_a_composite_counts_each_kind_by_itself():
    both = CompositeRetryPolicy(policy(2), policy(1, TimeoutError))
    calls = Calls(LOST, TimeoutError(), LOST)
    assert await both.call_with_retries(calls) == "done"
    with pytest.raises(TimeoutError, match="second"):
        await both.call_with_retries(Calls(TimeoutError(), LOST, TimeoutError("second")))


async def test_retryable_decorates_a_coroutine_function():
    failures = [LOST, LOST]
    seen = []

    @retryable(policy(), failure_hook=seen.append)
    async def double(number: int, *, plus: int = 0) -> int:
        """Twice the number."""
        if failures:
            raise failures.pop()
        return 2 * number + plus

    assert await double(4, plus=1) == 9
    assert len(seen) == 2
    assert (double.__name__, double.__doc__) == ("double", "Twice the number.")
