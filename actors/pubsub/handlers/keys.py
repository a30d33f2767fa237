"""The option ``key=``: the function from a handler's argument to its key, and what is no key."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from actors.pubsub.handlers.decoders import is_pydantic
from actors.pubsub.model.options import is_coroutine_function


def key_function(key: Callable[[Any], Any] | str | None) -> Callable[[Any], Any] | None:
    """Return ``key`` as a function; None: there is no key."""
    if not isinstance(key, str):
        return key
    return lambda payload: payload[key] if isinstance(payload, dict) else getattr(payload, key)


def key_problem(key: Any, argument: Any) -> str | None:
    """Return why ``key`` cannot be the key of a handler's argument; None: it can.

    Args:
        key: the option: a function, or the name of an attribute.
        argument: the type of what the handler is called with; Any: nobody knows.
    """
    if isinstance(key, str):
        found = (_name_problem(key, cls) for cls in _classes(argument))
        return next((problem for problem in found if problem is not None), None)
    if not callable(key):
        return f"key must be a function, or the name of an attribute, not {key!r}"
    name = getattr(key, "__qualname__", None) or repr(key)
    if is_coroutine_function(key):
        return f"key must be a plain function, and {name} is a coroutine function"
    try:
        signature = inspect.signature(key)
    except ValueError:  # some built-ins have no signature
        return None
    try:
        signature.bind(None)
    except TypeError:
        return (
            f"key is called with one argument, that of the handler, and {name}{signature} does not"
            " take that"
        )
    return None


def _classes(wanted: Any) -> Iterator[type]:
    """Yield the classes of which a value of type ``wanted`` may be, as far as they are known."""
    inner = getattr(wanted, "__supertype__", None) or getattr(wanted, "__value__", None)
    origin = typing.get_origin(wanted)
    if inner is not None:  # a NewType, or an alias that a `type` statement made
        yield from _classes(inner)
    elif origin is typing.Annotated:
        yield from _classes(wanted.__origin__)
    elif origin in (typing.Union, types.UnionType):
        for member in typing.get_args(wanted):
            yield from _classes(member)
    else:
        cls = wanted if origin is None else origin
        if isinstance(cls, type) and cls not in (Any, object, types.NoneType):
            yield cls


def _name_problem(key: str, cls: type) -> str | None:
    """Return why no value of ``cls`` has a key by the name ``key``."""
    fields = _fields(cls)
    if fields is None:
        return None
    if key in fields:
        if _unhashable(fields[key]):
            return f"key {key!r} of {cls.__qualname__} is no key: its values have no hash"
        return None
    if not _is_typed_dict(cls) and hasattr(cls, key):
        if inspect.isroutine(getattr(cls, key)):
            return f"key {key!r} of {cls.__qualname__} is a method: give key= a function"
        return None
    known = f": one of {', '.join(fields)}" if fields else ""
    return f"key {key!r} is no field of {cls.__qualname__}{known}"


def _fields(cls: type) -> Mapping[str, Any] | None:
    """Return the fields of ``cls`` and their types; None: its values may have any field."""
    of_model = getattr(cls, "model_fields", None) if is_pydantic(cls) else None
    if of_model is not None:
        config = getattr(cls, "model_config", {})
        open_ended = config.get("extra") == "allow"
        return None if open_ended else {name: one.annotation for name, one in of_model.items()}
    if not _is_typed_dict(cls) and (
        issubclass(dict, cls) or issubclass(cls, dict) or hasattr(cls, "__getattr__")
    ):
        return None
    named = [*getattr(cls, "__struct_fields__", ())]
    named += [field.name for field in getattr(cls, "__attrs_attrs__", ())]
    try:
        hints = typing.get_type_hints(cls)
    except Exception:  # the decoder says what is wrong with an annotation
        return None
    fields = {**dict.fromkeys(named, Any), **hints}
    return {name: hint for name, hint in fields.items() if not _is_class_variable(hint)}


def _is_class_variable(hint: Any) -> bool:
    return hint is typing.ClassVar or typing.get_origin(hint) is typing.ClassVar


def _is_typed_dict(cls: type) -> bool:
    return hasattr(cls, "__required_keys__")


def _unhashable(wanted: Any) -> bool:
    """Return whether no value of type ``wanted`` has a hash."""
    classes = list(_classes(wanted))
    return bool(classes) and all(map(_has_no_hash, classes))


def _has_no_hash(cls: type) -> bool:
    if issubclass(cls, msgspec.Struct):
        return cls.__struct_config__.eq and not cls.__struct_config__.frozen
    return cls.__hash__ is None
