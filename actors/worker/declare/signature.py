"""Reads from a handler's signature what it is called with (pure).

The annotation of each parameter says what the parameter is given:

    the context's type                the worker's context
    PubSubMessage, dict, Any, none    the message as it came (also ``dict[str, Any]``)
    anything else                     the payload: ``bytes`` and ``str`` as they are, every other
                                      type decoded

A handler of batches is called with lists: ``list[PubSubMessage]``, ``list[Order]``, ...

With ``decode=``, the first parameter that neither wants the context nor names PubSubMessage is the
payload, whatever its annotation is.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

import msgspec

from actors.pubsub.handlers.decoders import type_decoder
from actors.pubsub.model.types import PubSubMessage


class Role(Enum):
    """What a parameter is given."""

    PAYLOAD = "payload"
    MESSAGE = "message"
    CONTEXT = "context"


class Binding(msgspec.Struct, frozen=True):
    """How a handler is called."""

    roles: tuple[Role, ...]  # what each positional argument is
    decode: Any = None  # what the payload is decoded to, or a function that does so; None: neither
    # ``bytes`` or ``str`` if the handler takes the payload as that; None otherwise
    raw: type | None = None
    problems: tuple[str, ...] = ()  # why the handler cannot be called, one sentence each

    @property
    def opens(self) -> bool:
        """Whether the payload is taken out of the message: decoded, or as bytes or str."""
        return self.decode is not None or self.raw is not None

    @property
    def direct(self) -> bool:
        """Whether a :class:`Handler` can call the function itself, without an adapter."""
        if self.opens:
            return self.roles in ((Role.PAYLOAD,), (Role.PAYLOAD, Role.MESSAGE))
        return self.roles == (Role.MESSAGE,)


_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_EMPTY = inspect.Parameter.empty
_MESSAGES = (PubSubMessage, dict, Any, _EMPTY, object)


def bind(
    fn: Callable[..., Any], context: type | None, decode: Any = None, *, batches: bool = False
) -> Binding:
    """Return how ``fn``, a handler or a bound ``receive``, is called.

    ``context`` is the context's type, and ``decode`` the handler's option. With ``batches``, the
    handler is called with lists.
    """
    try:
        parameters = list(inspect.signature(fn).parameters.values())
    except (TypeError, ValueError):  # some built-ins have no signature
        return Binding((Role.MESSAGE if decode is None else Role.PAYLOAD,), decode)
    hints, problem = hints_of(fn)
    if problem:
        return Binding((), problems=(problem,))
    names, problems = _positional(parameters)
    if problems:
        return Binding((), problems=tuple(problems))
    roles: list[Role] = []
    payloads: list[tuple[str, Any]] = []
    for name in names:
        hint = hints.get(name, _EMPTY)
        if batches and (context is None or bare(hint) is not context):
            hint, problem = _element(name, hint)
            if problem:
                return Binding((), problems=(problem,))
        role = _role(bare(hint), context, explicit=decode is not None and not payloads)
        if role is Role.PAYLOAD:
            payloads.append((name, hint))
        roles.append(role)
    return _checked(tuple(roles), payloads, decode)


def _element(name: str, hint: Any) -> tuple[Any, str]:
    """Return the type of the elements of a list, and a problem if ``hint`` is no list."""
    hint = bare(hint)
    if hint in (_EMPTY, Any, object, list, Sequence):
        return _EMPTY, ""
    if typing.get_origin(hint) in (list, Sequence):
        return typing.get_args(hint)[0], ""
    written = getattr(hint, "__name__", hint)
    return hint, f"{name}: a handler of batches is called with lists: annotate it list[{written}]"


def _positional(parameters: list[inspect.Parameter]) -> tuple[list[str], list[str]]:
    """Return the parameters that get an argument, and what is wrong with the others."""
    names = [p.name for p in parameters if p.kind in _POSITIONAL and p.default is _EMPTY]
    if not names:  # all have defaults: the first one gets the message
        names = [p.name for p in parameters if p.kind in _POSITIONAL][:1]
    if not names and any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters):
        names = [""]
    only_keyword = inspect.Parameter.KEYWORD_ONLY
    keywords = [p.name for p in parameters if p.kind is only_keyword and p.default is _EMPTY]
    problems = []
    if not names:
        problems.append("it takes no argument: it is called with the message or its payload")
    if keywords:
        missing = ", ".join(keywords)
        problems.append(f"no value for the keyword argument {missing}: arguments are positional")
    return names, problems


def _role(hint: Any, context: type | None, *, explicit: bool) -> Role:
    if context is not None and hint is context:
        return Role.CONTEXT
    if hint is PubSubMessage:
        return Role.MESSAGE
    if explicit:
        return Role.PAYLOAD
    is_message = any(hint is known for known in _MESSAGES) or hint == dict[str, Any]
    return Role.MESSAGE if is_message else Role.PAYLOAD


def _checked(roles: tuple[Role, ...], payloads: list[tuple[str, Any]], decode: Any) -> Binding:
    problems = [
        f"it asks for the {role.value} {roles.count(role)} times"
        for role in (Role.MESSAGE, Role.CONTEXT)
        if roles.count(role) > 1
    ]
    if len(payloads) > 1:
        names = " and ".join(name for name, _ in payloads)
        problems.append(
            f"{names}: only one of them can be the payload; is one the context? then give the"
            " Worker context= or context_type="
        )
    if roles and Role.PAYLOAD not in roles and Role.MESSAGE not in roles:
        problems.append("it takes neither the message nor its payload")
    if problems:
        return Binding(roles, problems=tuple(problems))
    if decode is not None or not payloads:
        return Binding(roles, decode)
    name, hint = payloads[0]
    if bare(hint) in (bytes, str):
        return Binding(roles, raw=bare(hint))
    try:
        type_decoder(hint)
    except TypeError as error:
        return Binding(roles, problems=(f"{name}: {error}",))
    return Binding(roles, hint)


def hints_of(fn: Callable[..., Any]) -> tuple[dict[str, Any], str]:
    """Return the annotations of ``fn`` as types, and a problem if one cannot be resolved.

    An ``Annotated`` stays one: what it adds to a type may be about the payload.
    """
    target = fn
    if not (inspect.isroutine(fn) or inspect.isclass(fn)):
        target = fn.__call__  # type: ignore[operator]
    try:
        return typing.get_type_hints(target, include_extras=True), ""
    except NameError as error:
        return {}, f"an annotation cannot be resolved: {error}"
    except TypeError:
        return {}, ""


def wants_context(init: Callable[..., Any], context: type | None) -> str | None:
    """Return the name of the constructor parameter annotated with ``context``, or None."""
    if context is None:
        return None
    hints, _ = hints_of(init)
    return next((name for name, hint in hints.items() if bare(hint) is context), None)


def bare(hint: Any) -> Any:
    """Return ``hint`` without the ``Annotated`` around it."""
    return hint.__origin__ if typing.get_origin(hint) is typing.Annotated else hint
