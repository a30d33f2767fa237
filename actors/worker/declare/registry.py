"""The declarations of a worker: handlers, actors, hooks and middleware."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, Unpack, cast, overload

from actors.runtime.actor import Actor, ActorSpec
from actors.worker.declare.checks import actor_name, actor_problems
from actors.worker.declare.groups import Group, group, subscription_problems
from actors.worker.declare.middleware import Middleware, middleware_problems
from actors.worker.declare.options import HandlerOptions
from actors.worker.declare.routes import Route, is_actor_class
from supervisor import SpecError

if TYPE_CHECKING:
    import typing_extensions  # for type checkers, which have it built in

    #: The type of the context; a worker without a context needs no annotation.
    C = typing_extensions.TypeVar("C", default=None)
else:
    C = TypeVar("C")
F = TypeVar("F", bound=Callable[..., Any])
#: What handles messages: a function, an Actor class or a spec.
H = TypeVar("H", bound=Callable[..., Any] | ActorSpec)
A = TypeVar("A", bound=type[Actor[Any]] | ActorSpec)

#: A function that runs at start-up or shutdown, plain or ``async``; it may take the worker.
Hook = Callable[..., Awaitable[None] | None]


#: A function, plain or ``async``, that takes a name.
NameHook = Callable[[str], Awaitable[None] | None]


class Registry(Generic[C]):
    """Collects what decorators declare. :meth:`check_declarations` lists what is wrong with it."""

    def __init__(self, name: str, context: C | None, context_type: type[C] | None) -> None:
        self.name = name
        self.routes: list[Route] = []
        self.groups: list[Group] = []
        self.actors: list[ActorSpec] = []
        #: The names of those with ``once=True``, by their position in ``actors``.
        self.single_actors: dict[int, str] = {}
        self.startup_hooks: list[Hook] = []
        self.shutdown_hooks: list[Hook] = []
        self.gain_hooks: list[NameHook] = []
        self.lose_hooks: list[NameHook] = []
        self.middlewares: list[Middleware] = []
        self._context = context
        self._context_type = context_type
        self._declaration_problems: list[str] = []
        # While it runs, a declaration comes too late.
        self._runs = False

    # -- the context -------------------------------------------------------------------------------

    @property
    def context(self) -> C:
        """The value for handlers that ask for its type; RuntimeError before it is set."""
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
        """The type that a parameter is annotated with to be given the context."""
        if self._context_type is not None:
            return self._context_type
        return None if self._context is None else type(self._context)

    # -- decorators --------------------------------------------------------------------------------

    def channel(self, name: str | bytes, **options: Unpack[HandlerOptions]) -> Callable[[H], H]:
        """Handle the messages of a channel; ``options`` are those of :class:`Handler`."""
        return self.handle("channel", name, **options)

    def pattern(self, name: str | bytes, **options: Unpack[HandlerOptions]) -> Callable[[H], H]:
        """Handle the messages of all channels that match a pattern."""
        return self.handle("pattern", name, **options)

    def shard_channel(
        self, name: str | bytes, **options: Unpack[HandlerOptions]
    ) -> Callable[[H], H]:
        """Handle the messages of a cluster's shard channel."""
        return self.handle("shard_channel", name, **options)

    def handle(
        self, kind: str, name: str | bytes, **options: Unpack[HandlerOptions]
    ) -> Callable[[H], H]:
        """Handle messages; ``kind`` is channel, pattern or shard_channel."""

        def declare(fn: H) -> H:
            self._check_in_time(f"{kind} {name!r}")
            self.routes.append(Route(kind, name, fn, options))
            return fn

        return declare

    @overload
    def channels(
        self,
        names: Iterable[str | bytes] | Callable[[], Any],
        handler: None = None,
        *,
        kind: str = ...,
        **options: Unpack[HandlerOptions],
    ) -> Callable[[H], H]: ...

    @overload
    def channels(
        self,
        names: Iterable[str | bytes] | Callable[[], Any],
        handler: H,
        *,
        kind: str = ...,
        **options: Unpack[HandlerOptions],
    ) -> H: ...

    def channels(
        self,
        names: Iterable[str | bytes] | Callable[[], Any],
        handler: Any = None,
        *,
        kind: str = "channel",
        **options: Unpack[HandlerOptions],
    ) -> Any:
        """Handle the messages of many channels with one handler, one mailbox and one actor.

        Messages are handled in the order in which they came. With ``concurrency`` those of one
        channel are, unless there is a ``key``. As a decorator, ``@app.channels(names)``, or with
        the handler as an argument.

        Args:
            names: the channels, or a function, plain or ``async``, that returns them when the
                worker starts, after the start-up hooks.
            handler: what :meth:`channel` takes; None: the function that is decorated.
            kind: channel, pattern or shard_channel.
            options: those of :class:`Handler`.

        Raises:
            SpecError: ``names`` is one name, or nothing that has names.
        """
        if handler is None:
            return lambda fn: self.channels(names, fn, kind=kind, **options)
        self._check_in_time(f"{kind}s")
        self.groups.append(group(kind, names, handler, options))
        return handler

    @overload
    def actor(
        self, actor: None = None, *args: Any, once: bool = ..., **options: Any
    ) -> Callable[[A], A]: ...

    @overload
    def actor(self, actor: A, *args: Any, once: bool = ..., **options: Any) -> A: ...

    def actor(self, actor: Any = None, *args: Any, once: bool = False, **options: Any) -> Any:
        """Spawn an actor at the start: ``@app.actor``, or with fields of :class:`ActorSpec`.

        The actor is spawned before the first subscription and stopped after the last message was
        handled. A constructor parameter annotated with the context's type gets the context.

        Args:
            actor: an Actor class or a spec; None: the class that is decorated.
            args: for the constructor.
            once: spawn it in one process only, the one that its name falls to, as channels do;
                otherwise every process has one.
            options: fields of :class:`ActorSpec`.
        """
        if actor is None:
            return lambda given: self.actor(given, *args, once=once, **options)
        self._check_in_time(f"actor {actor!r}")
        if isinstance(actor, ActorSpec) or is_actor_class(actor):
            try:
                spec = ActorSpec.of(actor, args, options)
                if once:
                    self.single_actors[len(self.actors)] = actor_name(spec)
                self.actors.append(spec)
            except (TypeError, SpecError) as error:
                self._declaration_problems.append(f"actor {actor!r}: {error}")
        else:
            self._declaration_problems.append(
                f"@app.actor is for Actor classes and ActorSpecs, not {actor!r}"
            )
        return actor

    def on_startup(self, hook: F) -> F:
        """Run ``hook`` before anything else starts; hooks run in order."""
        self.startup_hooks.append(hook)
        return hook

    def on_shutdown(self, hook: F) -> F:
        """Run ``hook`` after the last message was handled; hooks run in order."""
        self.shutdown_hooks.append(hook)
        return hook

    def on_gain(self, hook: F) -> F:
        """Call ``hook`` with each name that this member of the fleet owns from now on.

        Names are those of channels, patterns and actors with ``once=True``. Messages of the name
        may come a moment earlier.
        """
        self.gain_hooks.append(hook)
        return hook

    def on_lose(self, hook: F) -> F:
        """Call ``hook`` with each name that this member of the fleet owns no longer.

        What came before is still being handled.
        """
        self.lose_hooks.append(hook)
        return hook

    def middleware(self, middleware: F) -> F:
        """Put ``async (message, next)`` around every handler; the first one is outermost."""
        self._check_in_time("middleware")
        self.middlewares.append(cast(Middleware, middleware))
        return middleware

    def _check_in_time(self, what: str) -> None:
        if self._runs:
            raise RuntimeError(
                f"{what}: worker {self.name!r} runs already: declare before it starts, or let"
                " @app.channels() take a function that finds names at the start"
            )

    def actors_of(self, has: Callable[[str], bool]) -> list[ActorSpec]:
        """Return the actors of this process; ``has`` says which names fall to it."""
        single = self.single_actors
        numbered = enumerate(self.actors)
        return [spec for number, spec in numbered if number not in single or has(single[number])]

    # -- problems ----------------------------------------------------------------------------------

    def check_declarations(self, more: Iterable[str], *, cluster: bool) -> None:
        """Raise SpecError with every problem, those in ``more`` included."""
        problems = [*more, *self._declaration_problems, *actor_problems(self.actors)]
        problems += subscription_problems(
            self.routes, self.groups, self.context_type, cluster=cluster
        )
        for middleware in self.middlewares:
            problems += middleware_problems(middleware)
        for what, hooks in (("start-up", self.startup_hooks), ("shutdown", self.shutdown_hooks)):
            for hook in hooks:
                problems += _hook_problems(what, hook)
        for what, named in (("on_gain", self.gain_hooks), ("on_lose", self.lose_hooks)):
            problems += [
                f"{what} hook {h!r}: it cannot be called" for h in named if not callable(h)
            ]
        if not self.routes and not self.groups and not self.actors:
            problems.append("there is nothing to run: declare a handler or an actor")
        if problems:
            raise SpecError(f"worker {self.name!r}", problems)

    @property
    def wants_context(self) -> bool:
        """Whether the context has to be set when the start-up hooks have run."""
        return self._context_type is not None


def takes_worker(hook: Hook) -> bool:
    """Return whether ``hook`` takes the worker."""
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
    except ValueError:
        pass  # some built-ins have no signature to show
    return []
