"""Checks of the options that pub/sub objects and handlers share: hooks, bounds."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any, Final

from actors.runtime.overflow import MailboxSpec, Overflow, problems_of_mailbox
from supervisor import SpecError

_DEFAULT: Final = MailboxSpec(overflow=Overflow.DROP_OLDEST)
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
