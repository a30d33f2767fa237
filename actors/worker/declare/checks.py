"""Checks of a worker's options before it runs, each problem with the option's name.

The objects that the options end up in check most of them too, but late: when the broker is
connected, or with the first message.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from actors.pubsub.handlers.breaker import Breaker
from actors.pubsub.model.options import problems_of_bound, problems_of_hooks
from actors.pubsub.model.recover import problems_of_recover
from actors.runtime.actor import ActorSpec
from actors.runtime.messages.overflow import MailboxSpec
from supervisor import ChildSpec, RetryPolicy, SpecError, SupervisorSpec

#: Names of the worker's own actors.
_RESERVED: Final = ("probe", "sharded-probe", "sampler", "fleet", "fleet-holder", "fleet-reporter")
_FLEET: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}")
#: Characters of a token for operators: enough not to be guessed.
_TOKEN: Final = 16


def worker_problems(app: Any) -> Iterator[str]:
    """Yield the problems of a Worker's own options."""
    if not isinstance(app.name, str) or not app.name:
        yield f"name must be a str with something in it, not {app.name!r}"
    for name in ("drain_timeout", "shutdown_timeout"):
        yield from _seconds(name, getattr(app, name))
    for name in ("probe_interval", "start_timeout"):
        yield from _seconds(name, getattr(app, name), optional=True)
    pubsub = app.pubsub_options
    yield from _seconds("subscription_timeout", pubsub["subscription_timeout"])
    policy = pubsub["retry_policy"]
    if policy is not None and not isinstance(policy, RetryPolicy):
        yield f"retry_policy must be a RetryPolicy, or None, not {policy!r}"
    if pubsub["every_primary"] and not app.broker.is_cluster:
        yield "every_primary is for clusters: Worker(..., cluster=True)"
    yield from _fleet_problems(app)
    yield from _mailbox(pubsub["mailbox"])
    yield from problems_of_bound(pubsub["mailbox"], pubsub["overflow"])
    yield from problems_of_hooks(on_failure=app.on_failure, on_gap=app.on_gap, sink=app.sink)
    if (token := app.http_token) is not None and not _is_token(token):
        yield f"http_token must be a str of {_TOKEN} printable ASCII characters at least, or None"
    intensity, period = app.restart_limit
    if intensity is not None and not _is_int(intensity):
        yield f"intensity must be a whole number, or None, not {intensity!r}"
    elif intensity is not None:
        yield from _raised(SupervisorSpec, intensity=intensity)
    yield from _seconds("period", period)
    if app.on_give_up not in ("exit", "restart") and not callable(app.on_give_up):
        yield f"on_give_up must be 'exit', 'restart' or a function, not {app.on_give_up!r}"


def _fleet_problems(app: Any) -> Iterator[str]:
    yield from _seconds("fleet_ttl", app.fleet_ttl)
    if app.fleet is None:
        return
    if not isinstance(app.fleet, str) or _FLEET.fullmatch(app.fleet) is None:
        yield f"fleet must be 1 to 64 characters of A-Z a-z 0-9 . _ : -, not {app.fleet!r}"
    if str(app.partition) != "0/1":
        yield "a fleet's members share all names: leave the partition out"


def option_problems(options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the name and the problem of each wrong option of a handler."""
    mailbox, overflow = options.get("mailbox"), options.get("overflow")
    for problem in _mailbox(mailbox):
        yield "mailbox", problem
    for problem in problems_of_bound(mailbox, overflow):
        yield "mailbox" if overflow is None else "overflow", problem
    if "concurrency" in options and not _is_int(options["concurrency"]):
        yield "concurrency", f"concurrency must be a whole number, not {options['concurrency']!r}"
    for problem in _seconds("timeout", options.get("timeout"), optional=True):
        yield "timeout", problem
    for name in ("on_failure", "on_gap", "on_lagged"):
        for problem in problems_of_hooks(**{name: options.get(name)}):
            yield name, problem
    breaker = options.get("breaker")
    if breaker is not None and not isinstance(breaker, Breaker):
        yield "breaker", f"breaker must be a Breaker, or None, not {breaker!r}"
    for problem in problems_of_recover(options.get("recover")):
        yield "recover", problem
    if not isinstance(options.get("in_thread", False), bool):
        yield "in_thread", f"in_thread must be True or False, not {options['in_thread']!r}"


def actor_problems(actors: list[ActorSpec]) -> Iterator[str]:
    """Yield the problems of the actors that a user declared."""
    names: set[str] = set()
    for spec in actors:
        label = actor_name(spec)
        if spec.name in _RESERVED:
            yield f"actor {label!r}: the worker has one of this name itself"
        elif spec.name in names:
            yield f"actor {label!r}: there are several of this name"
        if spec.name is not None:
            names.add(spec.name)
        try:
            ChildSpec(
                id=label,
                start=_never,
                restart=spec.restart,
                shutdown=spec.shutdown,
                retry_policy=spec.retry_policy,
                start_timeout=spec.start_timeout,
            )
        except SpecError as error:
            yield f"actor {label!r}: {'; '.join(error.problems)}"
        except TypeError as error:
            yield f"actor {label!r}: {error}"
        yield from (f"actor {label!r}: {problem}" for problem in _mailbox(spec.mailbox))


def actor_name(spec: ActorSpec) -> str:
    """Return the name of an actor in the tree, as far as it is known before it is spawned."""
    return str(spec.name or getattr(spec.actor, "__name__", "actor"))


async def _never(child: Any) -> None: ...


def _seconds(name: str, value: Any, *, optional: bool = False) -> Iterator[str]:
    if value is None and optional:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        yield f"{name} must be a number of seconds{', or None' if optional else ''}, not {value!r}"
    elif not value > 0:
        yield f"{name} must be more than 0 seconds, not {value}"


def _mailbox(mailbox: Any) -> Iterator[str]:
    if mailbox is not None and not isinstance(mailbox, MailboxSpec):
        yield from (f"mailbox: {problem}" for problem in _raised(MailboxSpec, capacity=mailbox))


def _raised(make: Any, **options: Any) -> Iterator[str]:
    try:
        make(**options)
    except SpecError as error:
        yield from error.problems


def _is_token(token: Any) -> bool:
    is_text = isinstance(token, str) and token.isascii() and token.isprintable()
    return is_text and len(token) >= _TOKEN and token == token.strip()


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
