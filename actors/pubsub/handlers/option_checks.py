"""Checks of a handler's options, each problem with the option's name (pure)."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from actors.pubsub.handlers.batch import Batch
from actors.pubsub.handlers.breaker import Breaker
from actors.pubsub.model.options import problems_of_bound, problems_of_hooks
from actors.pubsub.model.recover import problems_of_recover
from actors.runtime.actor import ActorSpec
from supervisor.checks import is_whole, problems_of_seconds

_MOST_WORKERS = 1024


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
    for name, kind in (("breaker", Breaker), ("batch", Batch)):
        value = options.get(name)
        if value is not None and not isinstance(value, kind):
            yield name, f"{name} must be a {kind.__name__}, or None, not {value!r}"
    for problem in problems_of_recover(options.get("recover")):
        yield "recover", problem
    for name in ("in_thread", "shared"):
        value = options.get(name, False)
        if not isinstance(value, bool):
            yield name, f"{name} must be True or False, not {value!r}"


def constructor_problem(actor: Any) -> str | None:
    """Return why no instance of ``actor``, an Actor class or a spec, can be made."""
    spec = actor if isinstance(actor, ActorSpec) else ActorSpec(actor)
    try:
        inspect.signature(spec.actor).bind(*spec.args, **(spec.kwargs or {}))
    except TypeError as error:
        name = getattr(spec.actor, "__qualname__", "Actor")
        return f"its constructor: {error}; give arguments as ActorSpec({name}, (...))"
    except ValueError:  # some built-ins have no signature
        pass
    return None
