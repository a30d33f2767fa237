"""JSON schemas of what handlers decode payloads to, with shared parts under one roof.

msgspec describes Structs, dataclasses, TypedDicts, attrs classes and what is made of them; Pydantic
describes its models and types that have models in them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any, Final

import msgspec

_ROOF: Final = "#/components/schemas/"


class Schemas:
    """The schemas of one document.

    Attributes:
        components: named schemas, for ``components.schemas``.
    """

    def __init__(self) -> None:
        self.components: dict[str, Any] = {}

    def of(self, wanted: Any) -> dict[str, Any]:
        """Return the schema of the type ``wanted``, mostly a reference to a component.

        Raises:
            TypeError: the type has no JSON schema; says why.
        """
        try:
            # Another type may have this name: the module, and then a number, tells the two apart.
            for prefix in _prefixes(getattr(wanted, "__module__", "other")):
                schema, parts = _described(wanted, prefix)
                if all(self.components.get(name, part) == part for name, part in parts.items()):
                    break
        except Exception as error:
            why = " ".join(str(error).partition("\n")[0].split()) or type(error).__name__
            raise TypeError(why) from error
        self.components |= parts
        return schema


def _prefixes(module: str) -> Iterator[str]:
    yield ""
    yield f"{module}."
    yield from (f"{module}.{number}." for number in count(2))


def _described(wanted: Any, prefix: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the schema of ``wanted`` and the schemas that it refers to, by name."""
    schema: dict[str, Any]
    parts: Mapping[str, Any]
    if (own := _by_pydantic(wanted, f"{_ROOF}{prefix}{{model}}")) is not None:
        parts, schema = own.pop("$defs", {}), own
        if isinstance(wanted, type) and "$ref" not in schema:
            name = wanted.__name__
            parts, schema = {**parts, name: schema}, {"$ref": f"{_ROOF}{prefix}{name}"}
    else:
        template = f"{_ROOF}{prefix}{{name}}"
        (schema,), parts = msgspec.json.schema_components([wanted], ref_template=template)
    named = {f"{prefix}{name}": _plain(part) for name, part in parts.items()}
    return _plain(schema), named


def _by_pydantic(wanted: Any, template: str) -> dict[str, Any] | None:
    """Return the schema of a Pydantic model, or of a type with models in it; None: no models."""
    if callable(own := getattr(wanted, "model_json_schema", None)):
        schema: dict[str, Any] = own(ref_template=template)
        return schema
    if (pydantic := sys.modules.get("pydantic")) is None or _is_msgspec(wanted):
        return None
    described: dict[str, Any] = pydantic.TypeAdapter(wanted).json_schema(ref_template=template)
    return described


def _is_msgspec(wanted: Any) -> bool:
    """Return whether msgspec can describe ``wanted``."""
    try:
        msgspec.json.schema(wanted)
    except Exception:  # whatever it is about, somebody else may describe it
        return False
    return True


def _plain(schema: Any) -> Any:
    """Return ``schema`` without OpenAPI's discriminators, which AsyncAPI writes in another way.

    The members of such a union say in their own schemas what tells them apart.
    """
    if isinstance(schema, list):
        return [_plain(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    is_union = "anyOf" in schema or "oneOf" in schema
    return {
        name: _plain(part)
        for name, part in schema.items()
        if not (is_union and name == "discriminator")
    }
