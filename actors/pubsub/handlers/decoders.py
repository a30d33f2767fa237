"""From the option ``decode=`` to the function that decodes a payload, chosen once for a handler.

    a function                     is called with the payload as bytes, or as str where its
                                   parameter is annotated with str
    a type with Pydantic in it     Pydantic's TypeAdapter decodes; nothing else needs Pydantic
    any other type                 msgspec decodes: Structs, dataclasses, attrs classes, TypedDicts,
                                   NamedTuples, unions, lists, ...

What cannot be decoded is refused here, before there is a message.
"""

from __future__ import annotations

import dataclasses
import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, TypeAlias

import msgspec

from actors.pubsub.model.options import is_coroutine_function

#: Decodes the ``data`` of a message.
Decoder: TypeAlias = Callable[[Any], Any]

#: What msgspec makes of a payload without being told a type.
_PLAIN: Final = (dict, list, str, int, float, bool, types.NoneType, bytes, datetime)
#: The packages of what Pydantic, and nobody else, reads out of an ``Annotated``.
_PYDANTIC: Final = ("pydantic", "annotated_types")
#: Where the classes of what looks callable, but stands for a type, are defined.
_TYPING: Final = ("typing", "typing_extensions")


class PayloadDecoder:
    """A function of a message's ``data`` as the client has it, and the class of what it returns.

    May be given as ``decode=``.
    """

    __slots__ = ("decode", "makes")

    def __init__(self, decode: Decoder, makes: type) -> None:
        self.decode = decode
        self.makes = makes


def make_decoder(decode: Any, format: str) -> Decoder:
    """Return the function that decodes payloads as ``decode``, a function or a type, says.

    Raises:
        TypeError: no payload can be decoded this way; says why.
    """
    if isinstance(decode, PayloadDecoder):
        return decode.decode
    if is_function(decode):
        return _by_function(decode, format)
    return type_decoder(decode, format)


def type_decoder(wanted: Any, format: str = "json") -> Decoder:
    """Return the function that decodes payloads to the type ``wanted``.

    Raises:
        TypeError: no payload can be decoded to it; says why.
    """
    by = _by_pydantic if _mentions_pydantic(wanted, {}) else _by_msgspec
    try:
        return by(wanted, format)
    except Exception as error:
        # The first line: Pydantic adds advice about its own options.
        why = " ".join(str(error).partition("\n")[0].split()) or type(error).__name__
        raise TypeError(f"nothing can be decoded to {wanted!r}: {why}") from error


def argument_of(decode: Any) -> Any:
    """Return the type of what ``decode`` makes of payloads; Any: nobody knows."""
    if isinstance(decode, PayloadDecoder):
        return decode.makes
    return Any if is_function(decode) else decode


def is_function(decode: Any) -> bool:
    """Return whether ``decode`` is something to call with a payload, and not a type."""
    if isinstance(decode, type) or not callable(decode):
        return False
    return typing.get_origin(decode) is None and type(decode).__module__ not in _TYPING


# -- functions -------------------------------------------------------------------------------------


def _by_function(decode: Callable[[Any], Any], format: str) -> Decoder:
    name = getattr(decode, "__qualname__", None) or repr(decode)
    if is_coroutine_function(decode):
        raise TypeError(f"decode must be a plain function, and {name} is a coroutine function")
    if format != "json":
        raise TypeError(f"format is for types: the function {name} decodes payloads by itself")
    if _takes_text(decode, name):
        return lambda data: decode(data.decode() if isinstance(data, bytes) else data)
    # A client that decodes responses has made str of a payload that happens to be text.
    return lambda data: decode(data.encode() if isinstance(data, str) else data)


def _takes_text(decode: Callable[[Any], Any], name: str) -> bool:
    """Return whether ``decode`` wants its argument as str; TypeError if it cannot take one."""
    try:
        signature = inspect.signature(decode)
    except ValueError:  # some built-ins have no signature
        return False
    try:
        (argument,) = signature.bind(b"").arguments
    except TypeError:
        raise TypeError(
            f"decode is called with one argument, the payload, and {name}{signature} does not"
            " take that"
        ) from None
    return signature.parameters[argument].annotation in (str, "str")


# -- Pydantic --------------------------------------------------------------------------------------


def _mentions_pydantic(wanted: Any, seen: dict[int, Any]) -> bool:
    """Return whether ``wanted`` is a type that Pydantic alone decodes, or has such a type in it."""
    if "pydantic" not in sys.modules or id(wanted) in seen:
        return False
    seen[id(wanted)] = wanted
    if is_pydantic(wanted) or hasattr(wanted, "__get_pydantic_core_schema__"):
        return True
    if any(_package(type(note)) in _PYDANTIC for note in getattr(wanted, "__metadata__", ())):
        return True
    parts = [*typing.get_args(wanted), typing.get_origin(wanted), *_fields(wanted)]
    # Of a NewType, and of an alias that a `type` statement made.
    parts += [getattr(wanted, name, None) for name in ("__supertype__", "__value__")]
    return any(_mentions_pydantic(part, seen) for part in parts if part is not None)


def _package(cls: type) -> str:
    return cls.__module__.partition(".")[0]


def is_pydantic(wanted: Any) -> bool:
    """Return whether ``wanted`` is a model or dataclass of Pydantic 2."""
    return isinstance(wanted, type) and hasattr(wanted, "__pydantic_validator__")


def _fields(wanted: Any) -> Iterable[Any]:
    """Return the types of the fields of a class that Pydantic can decode, too."""
    if not isinstance(wanted, type):
        return ()
    is_typed_dict = hasattr(wanted, "__required_keys__")
    if not (is_typed_dict or dataclasses.is_dataclass(wanted) or issubclass(wanted, tuple)):
        return ()
    try:
        return typing.get_type_hints(wanted, include_extras=True).values()
    except Exception:  # the decoder will say what is wrong with an annotation
        return ()


def _by_pydantic(wanted: Any, format: str) -> Decoder:
    adapter: Any = sys.modules["pydantic"].TypeAdapter(wanted)
    if not getattr(adapter, "pydantic_complete", True):
        adapter.rebuild()  # an annotation was not resolved: it is by now, or this raises
    if format == "json":
        decode: Decoder = adapter.validator.validate_json
        return decode
    validate, unpack = adapter.validator.validate_python, _unpacker(Any)
    return lambda data: validate(unpack(data))


# -- msgspec ---------------------------------------------------------------------------------------


def _by_msgspec(wanted: Any, format: str) -> Decoder:
    decode = msgspec.json.Decoder(wanted).decode if format == "json" else _unpacker(wanted)
    try:
        strangers = _known_strangers(wanted)
    except TypeError:  # a type without a hash
        strangers = _strangers(wanted)
    if strangers:
        raise TypeError(
            f"msgspec makes no {' and no '.join(strangers)}: use a Struct, dataclass, TypedDict,"
            " attrs class or Pydantic 2 model, or give decode= a function of the payload"
        )
    return decode


def _unpacker(wanted: Any) -> Decoder:
    unpack = msgspec.msgpack.Decoder(wanted).decode
    # A client that decodes responses has made str of a payload that happens to be text.
    return lambda data: unpack(data.encode() if isinstance(data, str) else data)


def _strangers(wanted: Any) -> list[str]:
    """Return the names of classes in ``wanted`` that msgspec accepts and makes of no payload."""
    try:
        todo: list[Any] = [msgspec.inspect.type_info(wanted)]
    except Exception:  # there is a decoder: what msgspec cannot describe, it decodes all the same
        return []
    names = set()
    seen: dict[int, Any] = {}
    while todo:
        one = todo.pop()
        if id(one) in seen:
            continue
        seen[id(one)] = one
        if isinstance(one, msgspec.inspect.CustomType):
            if not _made_anyway(one.cls):
                names.add(one.cls.__qualname__)
        elif isinstance(one, tuple):
            todo += one
        elif isinstance(one, msgspec.inspect.Type | msgspec.inspect.Field):
            todo += [getattr(one, name) for name in one.__struct_fields__]
    return sorted(names)


# Thousands of handlers may have one type, which takes longer to look at than its decoder to make.
_known_strangers: Final = lru_cache(maxsize=256)(_strangers)


def _made_anyway(cls: type) -> bool:
    """Return whether payloads without a type are instances of ``cls``: ``object``, for instance."""
    try:
        return any(issubclass(plain, cls) for plain in _PLAIN)
    except TypeError:  # a Protocol that is no class to check with
        return False
