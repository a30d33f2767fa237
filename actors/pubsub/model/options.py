"""Checks of the options of handlers, and of those that pub/sub objects share with them (pure)."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from actors.pubsub.model.recover import problems_of_recover
from actors.runtime.messages.overflow import MailboxSpec, Overflow, problems_of_mailbox
from supervisor import SpecError
from supervisor.checks import is_whole, problems_of_seconds

_DEFAULT: Final = MailboxSpec(overflow=Overflow.DROP_OLDEST)
_MOST_WORKERS: Final = 1024
_POLICIES: Final = (Overflow.DROP_OLDEST, Overflow.DROP_NEWEST, Overflow.BLOCK)


def problems_of_hooks(**hooks: Any) -> Iterator[str]:
    """Return what is wrong with ``hooks``, functions of the user's, by name."""
    for name, hook in hooks.items():
        if hook is None:
            continue
        if not callable(hook):
            yield f"{name} must be a function or coroutine function, or None, not {hook!r}"
        elif not _takes_one(hook):
            called = getattr(hook, "__qualname__", None) or repr(hook)
            yield f"{name} is called with one argument, and {called}() does not take that"


def _takes_one(hook: Callable[..., Any]) -> bool:
    try:
        inspect.signature(hook).bind(None)
    except TypeError:
        return False
    except ValueError:  # some built-ins have no signature
        pass
    return True


def is_coroutine_function(fn: Any) -> bool:
    """Return whether ``fn`` is a coroutine function, as far as its definition shows."""
    call = getattr(fn, "__call__", None)  # noqa: B004 - an async __call__ counts
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(call)


def problems_of_bound(
    mailbox: MailboxSpec | int | None, overflow: Overflow | str | None
) -> Iterator[str]:
    """Return what is wrong with the bound of a consumer's mailbox."""
    yield from problems_of_mailbox(mailbox)
    allowed = ", ".join(_POLICIES)
    if overflow is not None and overflow not in _POLICIES:
        yield f"overflow must be one of {allowed}, not {str(overflow)!r}{_why_not(overflow)}"
    default = mailbox.overflow if isinstance(mailbox, MailboxSpec) else None
    if overflow is None and default is not None and default not in _POLICIES:
        yield f"a MailboxSpec needs an overflow here, one of {allowed}{_why_not(default)}"


def _why_not(overflow: Overflow | str) -> str:
    return ": 'fail' tells the sender, and a server cannot be told" if overflow == "fail" else ""


def consumer_mailbox(
    mailbox: MailboxSpec | int | None,
    overflow: Overflow | str | None,
    default: MailboxSpec = _DEFAULT,
) -> MailboxSpec:
    """Return the bound of a consumer's queue; what is not given is taken from ``default``.

    Raises:
        SpecError: the options contradict each other, or are not for a consumer.
    """
    if problems := list(problems_of_bound(mailbox, overflow)):
        raise SpecError("pubsub", problems)
    given = default if mailbox is None else mailbox
    if isinstance(given, MailboxSpec):
        # The spec itself where it can be: ten thousand handlers share one.
        return given if overflow is None else MailboxSpec(given.capacity, overflow)
    return MailboxSpec(given, default.overflow if overflow is None else overflow)


def option_problems(options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the name and the problem of each wrong option of a handler."""
    mailbox, overflow = options.get("mailbox"), options.get("overflow")
    for problem in problems_of_bound(mailbox, overflow):
        yield "mailbox" if overflow is None else "overflow", problem
    concurrency = options.get("concurrency", 1)
    if not is_whole(concurrency):
        yield "concurrency", f"concurrency must be a whole number, not {concurrency!r}"
    elif not 1 <= concurrency <= _MOST_WORKERS:
        yield "concurrency", f"concurrency must be 1 to {_MOST_WORKERS}, not {concurrency}"
    for problem in problems_of_seconds("timeout", options.get("timeout"), optional=True):
        yield "timeout", problem
    for name in ("on_failure", "on_gap", "on_lagged"):
        for problem in problems_of_hooks(**{name: options.get(name)}):
            yield name, problem
    for problem in problems_of_recover(options.get("recover")):
        yield "recover", problem
    for name in ("in_thread", "shared"):
        value = options.get(name, False)
        if not isinstance(value, bool):
            yield name, f"{name} must be True or False, not {value!r}"
