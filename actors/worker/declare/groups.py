"""Groups: many names with one handler, one mailbox and one actor; checks of all subscriptions."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from actors.pubsub.model.types import Kind
from actors.pubsub.recovery.wanted import wanted_recovery
from actors.redis.exceptions import DataError
from actors.worker.declare.routes import KINDS, Route, on_the_wire
from supervisor import SpecError


class Group(msgspec.Struct, frozen=True):
    """Several subscriptions of a worker that share one handler.

    Attributes:
        route: the subscription of any of the names: its kind, handler and options.
        names: the names; empty where ``find_names`` finds them.
        find_names: returns the names when the worker starts, after the start-up hooks.
    """

    route: Route
    names: tuple[Any, ...] = ()
    find_names: Callable[[], Any] | None = None

    def __str__(self) -> str:
        if self.find_names is not None:
            names = f"of {getattr(self.find_names, '__qualname__', repr(self.find_names))}"
        else:
            names = ", ".join(map(repr, self.names[:3]))
            names += f", ... ({len(self.names):,})" * (len(self.names) > 3)
        return f"{self.route.kind}s {names}"

    def problems(self, context: type | None) -> list[str]:
        """Return what is wrong with this group, one sentence each."""
        found = [*_name_problems(self.names), *self.route.handler_problems(context)]
        return [f"{self} ({self.route.handler_name}): {problem}" for problem in found]

    async def find(self) -> Sequence[Any]:
        """Return the names to subscribe to.

        Raises:
            SpecError: ``find_names`` returned no names.
        """
        if self.find_names is None:
            return self.names
        found = self.find_names()
        if inspect.isawaitable(found):
            found = await found
        if isinstance(found, str | bytes) or not isinstance(found, Iterable):
            raise SpecError(str(self), [f"the function must return names, not {found!r}"])
        names = list(dict.fromkeys(found))
        if problems := _name_problems(names):
            raise SpecError(str(self), problems)
        return names


def group(kind: str, names: Any, fn: Any, options: Mapping[str, Any]) -> Group:
    """Return a group of ``names``: an iterable, which is read now, or a function.

    Raises:
        SpecError: ``names`` is neither.
    """
    route = Route(kind, f"any {kind}", fn, {**options, "shared": True})
    if callable(names):
        return Group(route, find_names=names)
    if isinstance(names, str | bytes) or not isinstance(names, Iterable):
        problem = f"names must be several str or bytes, or a function, not {names!r}"
        raise SpecError(f"{kind}s", [problem])
    return Group(route, tuple(dict.fromkeys(names)))


def _name_problems(names: Iterable[Any]) -> list[str]:
    wrong = [name for name in names if not on_the_wire(name)]
    return [f"each name must be a str or bytes with something in it: {name!r}" for name in wrong]


def _recovery_problems(one: Route | Group, route: Route, name: bytes) -> list[str]:
    recover = route.options.get("recover")
    if not recover or route.kind not in KINDS:
        return []
    try:
        wanted_recovery(KINDS[route.kind], name, None, recover)
    except (DataError, TypeError) as error:
        return [f"{one}: {error}"]
    return []


def subscription_problems(
    routes: Sequence[Route], groups: Sequence[Group], context: type | None, *, cluster: bool
) -> list[str]:
    """Return what is wrong with the subscriptions of a worker, each and together."""
    found = []
    declared: list[tuple[Route | Group, Route]] = [(route, route) for route in routes]
    declared += [(one, one.route) for one in groups]
    for one, route in declared:
        found += one.problems(context)
        if route.kind == Kind.SHARD and not cluster:
            found.append(f"{one}: only clusters have shard channels: Worker(..., cluster=True)")
    handlers: dict[tuple[str, bytes], list[tuple[Any, str]]] = {}
    for one, route in declared:
        for name in one.names if isinstance(one, Group) else (route.name,):
            if (wire := on_the_wire(name)) is not None:
                handlers.setdefault((route.kind, wire), []).append((name, route.handler_name))
                found += _recovery_problems(one, route, wire)
    for (kind, _), same in handlers.items():
        if len(same) > 1:
            names = ", ".join(handler for _, handler in same)
            count = len(same)
            found.append(f"{kind} {same[0][0]!r} has {count} handlers, it can have one: {names}")
    return found
