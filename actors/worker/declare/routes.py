"""Routes: a channel or pattern, its kind, and the handler for its messages."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from actors.pubsub.handlers.handler import Handler, name_of
from actors.pubsub.model.names import encode_name
from actors.pubsub.model.options import option_problems
from actors.pubsub.model.types import Kind
from actors.runtime.actor import Actor, ActorSpec
from actors.worker.declare.handler_build import HandlerBuilder
from actors.worker.declare.signature import Binding, bind, wants_context
from supervisor import SpecError

#: The kinds of subscriptions by the names that users write.
KINDS: Mapping[str, Kind] = {kind.value: kind for kind in Kind}


class Route(msgspec.Struct, frozen=True):
    """One subscription of a worker."""

    kind: str  # channel, pattern or shard_channel
    name: Any  # of the channel or pattern
    fn: Any  # a function, an Actor class or an ActorSpec
    options: Mapping[str, Any]  # those of :class:`Handler`

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r}"

    @property
    def is_actor(self) -> bool:
        """Whether an actor of the user's receives the messages."""
        return isinstance(self.fn, ActorSpec) or is_actor_class(self.fn)

    @property
    def handler_name(self) -> str:
        """The name of the handler in reports."""
        return name_of(self.fn)

    def binding(self, context: type | None) -> Binding:
        """Return how the handler is called."""
        fn = self.fn.actor if isinstance(self.fn, ActorSpec) else self.fn
        if self.is_actor:
            fn = _receive_of(fn)
        batches = self.options.get("batch") is not None
        return bind(fn, context, self.options.get("decode"), batches=batches)

    def problems(self, context: type | None) -> list[str]:
        """Return what is wrong with this route, one sentence each."""
        found = []
        if not on_the_wire(self.name):
            found.append(f"the name must be a str or bytes with something in it: {self.name!r}")
        found += self.handler_problems(context)
        return [f"{self} ({self.handler_name}): {problem}" for problem in found]

    def handler_problems(self, context: type | None) -> list[str]:
        """Return what is wrong with the handler and the kind."""
        found = []
        if self.kind not in KINDS:
            found.append(f"unknown kind {self.kind!r}: one of {', '.join(KINDS)}")
        if not callable(self.fn) and not isinstance(self.fn, ActorSpec):
            found.append(f"the handler must be callable or an Actor class, not {self.fn!r}")
        else:
            found += self._option_problems(context)
        return found

    def _option_problems(self, context: type | None) -> list[str]:
        wrong = dict(option_problems(self.options))
        # The Handler checks the other options; it would refuse a key without a concurrency.
        good = {name: value for name, value in self.options.items() if name not in wrong}
        if "concurrency" in wrong and "key" in good:
            good["concurrency"] = 2
        found = list(wrong.values())
        route = msgspec.structs.replace(self, options=good)
        if problems := route.binding(context).problems:
            return [*found, *problems]
        try:
            route.handler(HandlerBuilder(lambda: None, None, None), context)
        except SpecError as error:
            found += error.problems
        except TypeError as error:
            text = str(error)
            _, unknown, option = text.partition("unexpected keyword argument ")
            found.append(f"Handler has no option {option}" if unknown else text)
        return found

    def handler(self, builder: HandlerBuilder, context: type | None) -> Handler:
        """Return the Handler to subscribe with.

        Raises:
            SpecError, TypeError: an option is wrong or unknown.
        """
        fn = actor_spec(self.fn, builder, context) if self.is_actor else self.fn
        return builder.handler(fn, self.binding(context), self.options)


def is_actor_class(fn: Any) -> bool:
    """Return whether ``fn`` is an Actor class."""
    return isinstance(fn, type) and issubclass(fn, Actor)


def actor_spec(actor: Any, builder: HandlerBuilder, context: type | None) -> ActorSpec:
    """Return ``actor`` as a spec; if its constructor asks for the context, it is given that."""
    spec = actor if isinstance(actor, ActorSpec) else ActorSpec(actor)
    init = getattr(spec.actor, "__init__", spec.actor) if inspect.isclass(spec.actor) else None
    wanted = None if init is None else wants_context(init, context)
    if wanted is None or wanted in (spec.kwargs or {}):
        return spec
    make = spec.actor

    def made(*args: Any, **kwargs: Any) -> Any:
        return make(*args, **{wanted: builder.context(), **kwargs})

    made.__name__ = getattr(make, "__name__", "actor")
    return msgspec.structs.replace(spec, actor=made)


def _receive_of(actor: Callable[..., Any]) -> Callable[..., Any]:
    """Return the ``receive`` of an actor class as callers see it, without ``self``."""
    receive = getattr(actor, "receive", None)
    if receive is None or not is_actor_class(actor):
        return lambda message: message  # a factory: its actors receive messages
    instance: Any = object.__new__(actor)  # type: ignore[arg-type]
    bound: Callable[..., Any] = receive.__get__(instance)
    return bound


def on_the_wire(name: Any) -> bytes | None:
    """Return ``name`` as the bytes that a server sees; None: it is no valid name."""
    try:
        return encode_name(name) if isinstance(name, str | bytes) else None
    except UnicodeEncodeError:
        return None
