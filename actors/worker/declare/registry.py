"""What a worker is declared to be: handlers, actors, hooks, middleware; and all that is wrong."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Generic, TypeVar, cast

from actors.runtime.actor import ActorSpec
from actors.worker.declare.checks import actor_problems
from actors.worker.declare.middleware import Middleware, middleware_problems
from actors.worker.declare.routes import Route, is_actor_class, route_problems
from supervisor import SpecError

__all__ = ["Hook", "Registry"]

C = TypeVar("C")
F = TypeVar("F", bound=Callable[..., Any])

#: Runs at start-up or shutdown; takes the worker, if it takes anything; may be ``async``.
Hook = Callable[..., Awaitable[None] | None]


class Registry(Generic[C]):
    """The declarations of a worker. Decorators note; :meth:`validate` says what is wrong.

    Args:
        name: the worker's name: the root of its tree.
        context: what handlers get that ask for its type.
        context_type: that type, where a start-up hook sets ``app.context``.
    """

    def __init__(self, name: str, context: C | None, context_type: type[C] | None) -> None:
        self.name = name
        self.routes: list[Route] = []
        self.actors: list[ActorSpec] = []
        #: Of these, the names of those that one process alone has.
        self.single_actors: dict[int, str] = {}
        self.startup_hooks: list[Hook] = []
        self.shutdown_hooks: list[Hook] = []
        self.middlewares: list[Middleware] = []
        self._context = context
        self._context_type = context_type
        self._declaration_problems: list[str] = []

    # -- the context -------------------------------------------------------------------------------

    @property
    def context(self) -> C:
        """What handlers get that ask for its type; RuntimeError before it was set."""
        if self._context is None:
            raise RuntimeError(
                "there is no context: give the Worker context=, or have a start-up hook set"
                " app.context"
            )
        return self._context

    @context.setter
    def context(self, context: C) -> None:
        self._context = context

    @property
    def context_type(self) -> type | None:
        """The type that handlers ask for the context by."""
        if self._context_type is not None:
            return self._context_type
        return None if self._context is None else type(self._context)

    # -- decorators --------------------------------------------------------------------------------

    def channel(self, name: str | bytes, **options: Any) -> Callable[[F], F]:
        """Have messages of a channel handled; ``options`` are those of :class:`Handler`."""
        return self.handle("channel", name, **options)

    def pattern(self, name: str | bytes, **options: Any) -> Callable[[F], F]:
        """Have messages of all channels that a pattern matches handled."""
        return self.handle("pattern", name, **options)

    def shard_channel(self, name: str | bytes, **options: Any) -> Callable[[F], F]:
        """Have messages of a cluster's shard channel handled."""
        return self.handle("shard_channel", name, **options)

    def handle(self, kind: str, name: str | bytes, **options: Any) -> Callable[[F], F]:
        """Have messages handled; ``kind`` is channel, pattern or shard_channel."""

        def declare(fn: F) -> F:
            self.routes.append(Route(kind, name, fn, options))
            return fn

        return declare

    def actor(self, actor: Any = None, *args: Any, once: bool = False, **options: Any) -> Any:
        """Have an actor spawned at start: ``@app.actor``, or with fields of :class:`ActorSpec`.

        It is spawned before the first subscription, and stopped after the last message was handled.
        A parameter of its constructor that is annotated with the context's type gets the context.

        Args:
            actor: the class or spec; None: what this decorates.
            args: for its constructor.
            once: in one process alone, of however many: the one that its name falls to, as with
                channels. Otherwise there is one in each process.
            options: fields of :class:`ActorSpec`.
        """
        if actor is None:
            return lambda given: self.actor(given, *args, once=once, **options)
        if isinstance(actor, ActorSpec) or is_actor_class(actor):
            try:
                spec = ActorSpec.of(actor, args, options)
                if once:
                    name: Any = spec.name or getattr(spec.actor, "__name__", "actor")
                    self.single_actors[len(self.actors)] = str(name)
                self.actors.append(spec)
            except TypeError as error:
                self._declaration_problems.append(f"actor {actor!r}: {error}")
        else:
            self._declaration_problems.append(
                f"@app.actor is for Actor classes and ActorSpecs, not {actor!r}"
            )
        return actor

    def on_startup(self, hook: F) -> F:
        """Have ``hook`` run before anything else starts; hooks run in order."""
        self.startup_hooks.append(hook)
        return hook

    def on_shutdown(self, hook: F) -> F:
        """Have ``hook`` run once everything was handled; hooks run in order."""
        self.shutdown_hooks.append(hook)
        return hook

    def middleware(self, middleware: F) -> F:
        """Put ``async (message, next)`` around every handler; the first one is outermost."""
        self.middlewares.append(cast(Middleware, middleware))
        return middleware

    def actors_of(self, has: Callable[[str], bool]) -> list[ActorSpec]:
        """Return the actors of the process that has the names for which ``has`` returns True."""
        single = self.single_actors
        return [
            spec
            for number, spec in enumerate(self.actors)
            if number not in single or has(single[number])
        ]

    # -- problems ----------------------------------------------------------------------------------

    def check_declarations(self, more: Iterable[str], *, cluster: bool) -> None:
        """Raise SpecError with everything that is wrong, ``more`` included."""
        problems = [*more, *self._declaration_problems, *actor_problems(self.actors)]
        problems += route_problems(self.routes, self.context_type, cluster=cluster)
        for middleware in self.middlewares:
            problems += middleware_problems(middleware)
        for what, hooks in (("start-up", self.startup_hooks), ("shutdown", self.shutdown_hooks)):
            for hook in hooks:
                problems += _hook_problems(what, hook)
        if not self.routes and not self.actors:
            problems.append("there is nothing to run: declare a handler or an actor")
        if problems:
            raise SpecError(f"worker {self.name!r}", problems)

    @property
    def wants_context(self) -> bool:
        """Whether a handler cannot run without the context."""
        return self._context_type is not None


def takes_worker(hook: Hook) -> bool:
    """Return whether ``hook`` is called with the worker."""
    return bool(inspect.signature(hook).parameters)


def _hook_problems(what: str, hook: Any) -> list[str]:
    name = getattr(hook, "__qualname__", repr(hook))
    if not callable(hook):
        return [f"{what} hook {name}: it cannot be called"]
    try:
        signature = inspect.signature(hook)
        signature.bind(*[None] * min(1, len(signature.parameters)))
    except TypeError:
        return [f"{what} hook {name}: it is called with the worker, or without arguments"]
    except ValueError:  # some built-ins have no signature to show
        return []
    return []
