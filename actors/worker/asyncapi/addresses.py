"""From the names of channels and patterns to AsyncAPI addresses and their parameters (pure).

In an address ``{parameter}`` stands for a part that varies. What varies in a glob pattern becomes a
parameter; a name that has braces itself, such as ``{user1}:orders``, gets a parameter with one
value, so that the address still says the name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from actors.worker.observe.snapshot import as_text

#: The tokens of a glob pattern, the longest first.
_GLOB = re.compile(r"\\(?P<escaped>.)|\[(?P<set>(?:\\.|[^\]])*)\]|(?P<wild>[*?])", re.DOTALL)
_BRACES = re.compile(r"\{[^{}]*\}|[{}]")
#: What an AsyncAPI identifier may not have in it.
_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9_-]+")


class Address(msgspec.Struct, frozen=True):
    """The address of a channel object, and what each of its parameters may be."""

    text: str
    parameters: Mapping[str, Mapping[str, Any]] = {}


def address_of(name: str | bytes) -> Address:
    """Return the address of one channel."""
    parameters: dict[str, Mapping[str, Any]] = {}
    return Address(_literal(as_text(name), parameters), parameters)


def address_of_pattern(pattern: str | bytes) -> Address:
    """Return the address that stands for all channels that match a glob ``pattern``."""
    text, parameters = as_text(pattern), dict[str, Mapping[str, Any]]()
    parts: list[str] = []
    plain = ""
    for piece, described in _pieces(text):
        if described is None:
            plain += piece
            continue
        parts.append(_literal(plain, parameters))
        plain = ""
        parts.append(_parameter(described, parameters))
    parts.append(_literal(plain, parameters))
    return Address("".join(parts), parameters)


def address_of_any(names: Iterable[str | bytes], found_by: str = "") -> Address:
    """Return the address of any of ``names``, or of the names that ``found_by`` returns."""
    texts = [as_text(name) for name in names]
    if len(texts) == 1:
        return address_of(texts[0])
    if texts:
        described = {"description": "The name of the channel.", "enum": texts}
    else:
        text = f"The name of the channel: {found_by} returns the names when the worker starts."
        described = {"description": text}
    return Address("{name}", {"name": described})


def identifier(text: str, taken: Iterable[str]) -> str:
    """Return ``text`` as an AsyncAPI identifier that none of ``taken`` is."""
    known = set(taken)
    wanted = _NOT_IN_IDS.sub("_", text).strip("_") or "channel"
    candidates = (f"{wanted}_{number}" if number > 1 else wanted for number in range(1, 10**9))
    return next(one for one in candidates if one not in known)


def _pieces(pattern: str) -> Iterator[tuple[str, Mapping[str, Any] | None]]:
    """Yield the parts of a glob: plain text with None, and what varies with its description."""
    end = 0
    for found in _GLOB.finditer(pattern):
        yield pattern[end : found.start()], None
        end = found.end()
        if (escaped := found["escaped"]) is not None:
            yield escaped, None
        elif found["wild"] == "*":
            yield "*", {"description": "Any text, also none."}
        elif found["wild"] == "?":
            yield "?", {"description": "Any one character."}
        else:
            yield found[0], {"description": f"One character of {found[0]}."}
    yield pattern[end:], None


def _literal(text: str, parameters: dict[str, Mapping[str, Any]]) -> str:
    """Return ``text`` for an address; what looks like a parameter in it becomes one."""

    def replaced(found: re.Match[str]) -> str:
        described = {"description": "Always this text.", "enum": [found[0]], "default": found[0]}
        return _parameter(described, parameters)

    return _BRACES.sub(replaced, text)


def _parameter(described: Mapping[str, Any], parameters: dict[str, Mapping[str, Any]]) -> str:
    name = f"part{len(parameters) + 1}"
    parameters[name] = described
    return f"{{{name}}}"
