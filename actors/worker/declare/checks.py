"""Checks of a worker's options before it runs, each problem with the option's name.

The objects that the options end up in check most of them too, but late: when the broker is
connected, or with the first message.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from actors.pubsub.model.options import problems_of_bound, problems_of_hooks
from actors.runtime.actor import ActorSpec
from actors.runtime.messages.overflow import problems_of_mailbox
from supervisor import ChildSpec, RetryPolicy, SpecError
from supervisor.checks import problems_of_count, problems_of_seconds

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
        yield from problems_of_seconds(name, getattr(app, name))
    for name in ("probe_interval", "start_timeout"):
        yield from problems_of_seconds(name, getattr(app, name), optional=True)
    pubsub = app.pubsub_options
    yield from problems_of_seconds("subscription_timeout", pubsub["subscription_timeout"])
    policy = pubsub["retry_policy"]
    if policy is not None and not isinstance(policy, RetryPolicy):
        yield f"retry_policy must be a RetryPolicy, or None, not {policy!r}"
    if pubsub["every_primary"] and not app.broker.is_cluster:
        yield "every_primary is for clusters: Worker(..., cluster=True)"
    yield from _fleet_problems(app)
    yield from problems_of_bound(pubsub["mailbox"], pubsub["overflow"])
    yield from problems_of_hooks(on_failure=app.on_failure, on_gap=app.on_gap, sink=app.sink)
    if (token := app.http_token) is not None and not _is_token(token):
        yield f"http_token must be a str of {_TOKEN} printable ASCII characters at least, or None"
    intensity, period = app.restart_limit
    yield from problems_of_count("intensity", intensity, least=0, optional=True)
    yield from problems_of_seconds("period", period)
    if app.on_give_up not in ("exit", "restart") and not callable(app.on_give_up):
        yield f"on_give_up must be 'exit', 'restart' or a function, not {app.on_give_up!r}"


def _fleet_problems(app: Any) -> Iterator[str]:
    yield from problems_of_seconds("fleet_ttl", app.fleet_ttl)
    if app.fleet is None:
        return
    if not isinstance(app.fleet, str) or _FLEET.fullmatch(app.fleet) is None:
        yield f"fleet must be 1 to 64 characters of A-Z a-z 0-9 . _ : -, not {app.fleet!r}"
    if str(app.partition) != "0/1":
        yield "a fleet's members share all names: leave the partition out"


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
        yield from (f"actor {label!r}: {problem}" for problem in problems_of_mailbox(spec.mailbox))


def actor_name(spec: ActorSpec) -> str:
    """Return the name of an actor in the tree, as far as it is known before it is spawned."""
    return str(spec.name or getattr(spec.actor, "__name__", "actor"))


async def _never(child: Any) -> None: ...


def _is_token(token: Any) -> bool:
    is_text = isinstance(token, str) and token.isascii() and token.isprintable()
    return is_text and len(token) >= _TOKEN and token == token.strip()
