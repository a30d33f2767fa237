"""JSON schemas of what handlers decode payloads to, with shared parts under one roof.

A type with a ``model_json_schema`` of its own (Pydantic's models) is asked for it; all others,
Structs, dataclasses, TypedDicts, attrs classes and what is made of them, msgspec describes.
"""

from __future__ import annotations

from collections.abc import Mapping
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
            schema, parts = _described(wanted, "")
            if any(self.components.get(name, part) != part for name, part in parts.items()):
                # Another type has this name: tell the two apart by their modules.
                module = getattr(wanted, "__module__", "other")
                schema, parts = _described(wanted, f"{module}.")
        except Exception as error:
            why = " ".join(str(error).partition("\n")[0].split()) or type(error).__name__
            raise TypeError(why) from error
        self.components |= parts
        return schema


def _described(wanted: Any, prefix: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the schema of ``wanted`` and the schemas that it refers to, by name."""
    template = f"{_ROOF}{prefix}{{name}}"
    if callable(own := getattr(wanted, "model_json_schema", None)):
        schema = own(ref_template=f"{_ROOF}{prefix}{{model}}")
        parts: Mapping[str, Any] = schema.pop("$defs", {})
        if "$ref" not in schema:
            name = wanted.__name__
            parts, schema = {**parts, name: schema}, {"$ref": f"{_ROOF}{prefix}{name}"}
    else:
        (schema,), parts = msgspec.json.schema_components([wanted], ref_template=template)
    named = {f"{prefix}{name}": _plain(part) for name, part in parts.items()}
    return _plain(schema), named


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
