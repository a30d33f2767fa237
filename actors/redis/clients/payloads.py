"""What a message may be besides str, bytes and numbers, and how it is encoded for a publish.

    str, bytes, int, float         as the argument of any command is
    dict (any mapping), list,      JSON, by msgspec
    tuple, Struct, dataclass,
    attrs class
    Pydantic model                 JSON, by its ``model_dump_json()``

Everything else is refused before anything is sent: None, bool, set and datetime among it, of which
consumers expect different forms.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final, Protocol, TypeAlias, cast

import msgspec

from actors.redis.exceptions import DataError
from actors.redis.wire.resp import Argument


class DataclassInstance(Protocol):
    """An instance of a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


class AttrsInstance(Protocol):
    """An instance of an attrs class."""

    __attrs_attrs__: ClassVar[Any]


class PydanticModel(Protocol):
    """An instance of a Pydantic model."""

    def model_dump_json(self) -> str:
        """Return the model as JSON."""


#: What can be published.
Payload: TypeAlias = (
    Argument
    | msgspec.Struct
    | Mapping[Any, Any]
    | list[Any]
    | tuple[Any, ...]
    | DataclassInstance
    | AttrsInstance
    | PydanticModel
)

#: The types of most messages: one look-up finds that there is nothing to do.
_USUAL: Final = frozenset((str, bytes, int, float))
_ARGUMENTS: Final = (str, bytes, int, float, bytearray, memoryview)
_CONTAINERS: Final = (msgspec.Struct, Mapping, list, tuple)
_MARKS: Final = ("__dataclass_fields__", "__attrs_attrs__")


def encoded(message: Any) -> Argument:
    """Return ``message`` as the argument of a command.

    Raises:
        DataError: there is no such form of it; names the type.
    """
    if type(message) in _USUAL:
        usual: Argument = message
        return usual
    if isinstance(message, _ARGUMENTS):
        return cast(Argument, message)  # the wire takes every buffer
    kind = type(message)
    try:
        if (json := _by_pydantic(message)) is not None:
            return json
        if isinstance(message, _CONTAINERS) or any(hasattr(kind, mark) for mark in _MARKS):
            return _encoder.encode(message)
    except Exception as error:
        raise DataError(
            f"cannot publish this message of type {kind.__qualname__} as JSON: {error}"
        ) from error
    raise DataError(
        f"cannot publish a message of type {kind.__qualname__}: convert it to str, bytes, int or"
        " float first, or to what is sent as JSON: a dict, list, tuple, Struct, dataclass, attrs"
        " class or Pydantic model"
    )


def _by_pydantic(message: Any) -> bytes | None:
    """Return a Pydantic model, or dataclass of Pydantic's, as JSON; None: it is neither."""
    serializer: Any = getattr(type(message), "__pydantic_serializer__", None)
    if serializer is None:
        return None
    if hasattr(message, "model_dump_json"):
        text: str = message.model_dump_json()
        return text.encode()
    json: bytes = serializer.to_json(message)
    return json


def _encode_part(part: Any) -> Any:
    """Return what msgspec encodes in place of ``part``, which it does not know."""
    if (json := _by_pydantic(part)) is not None:
        return msgspec.Raw(json)
    if isinstance(part, Mapping):
        return dict(part)
    raise TypeError(f"it contains a value of type {type(part).__qualname__}")


_encoder: Final = msgspec.json.Encoder(enc_hook=_encode_part)
