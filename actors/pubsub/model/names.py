"""From what users give as names to names as a server has them (pure).

A name is a channel, a pattern or a shard channel. The same name may be given as str and as bytes.
A recovering channel is subscribed to by way of its history's channel: servers, the table and the
routes know that one, and users see the channel's own name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from actors.pubsub.model.types import Kind, NodeTarget, Target

_ONE_NAME = (str, bytes, bytearray, memoryview)


def names_in(option: str, given: Any) -> list[Any]:
    """Return the names in ``given``: one name, an iterable of names, or None for no name.

    Raises:
        TypeError: ``given`` is something else; says so, and the name of the option.
    """
    if given is None:
        return []
    if isinstance(given, Mapping) and any(value is not None for value in given.values()):
        raise TypeError(
            f"{option} takes names alone: handlers by name belong into {option[:-1]}_handlers"
        )
    names = [given] if isinstance(given, _ONE_NAME) else given
    if not isinstance(names, Iterable):
        raise TypeError(
            f"{option} must be a name (str or bytes), an iterable of names, or None, not {given!r}"
        )
    names = list(names)
    for name in names:
        _check(name, f"{option}: ")
    return names


def handlers_in(option: str, given: Any) -> dict[Any, Any]:
    """Return the handlers in ``given``, by name: those of a mapping, or none for None.

    Raises:
        TypeError: ``given`` is something else; says so, and the name of the option.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise TypeError(f"{option} must map names to handlers, or be None, not {given!r}")
    for name in given:
        _check(name, f"{option}: ")
    return dict(given)


def encode_name(name: Any, encoding: str = "utf-8") -> bytes:
    """Return ``name`` as bytes.

    Raises:
        TypeError: ``name`` is no str or bytes.
        UnicodeEncodeError: ``name`` is a str that ``encoding`` has no bytes for.
    """
    if isinstance(name, str):
        return name.encode(encoding)
    _check(name)
    return bytes(name)


def consumers(
    names: Iterable[Any], handlers: Mapping[Any, Any], encode: Callable[[Any], bytes]
) -> dict[bytes, Any]:
    """Return who is to consume each name: its handler, or None for the iterator.

    A name that is given with a handler and without one goes to the handler.

    Raises:
        TypeError: a name is no str or bytes.
        ValueError: a name has two different handlers: one given for the str, one for the bytes.
    """
    wanted: dict[bytes, Any] = dict.fromkeys(map(encode, names))
    given: set[bytes] = set()
    for name, handler in handlers.items():
        encoded = encode(name)
        if encoded in given and wanted[encoded] is not handler:
            raise ValueError(f"{name!r} has two handlers, one as str and one as bytes: give it one")
        given.add(encoded)
        wanted[encoded] = handler
    return wanted


def _check(name: Any, where: str = "") -> None:
    if isinstance(name, _ONE_NAME):
        return
    several = isinstance(name, list | tuple | set | frozenset)
    cure = "; give the names in it one by one" if several else ""
    raise TypeError(
        f"{where}a name must be str or bytes, not {type(name).__name__}: {name!r}{cure}"
    )


class WireNames:
    """The recovering channels of one pub/sub object, from the call that asks for them to their end.

    Both questions have an answer for every other target, too: the target itself.
    """

    def __init__(self) -> None:
        self._wire: dict[tuple[Kind, bytes], bytes] = {}
        self._own: dict[tuple[Kind, bytes], bytes] = {}

    def __bool__(self) -> bool:
        return bool(self._own)

    def add(self, kind: Kind, own: bytes, wire: bytes) -> None:
        """Take that ``wire`` is subscribed to for the channel ``own``."""
        self._wire[kind, own] = wire
        self._own[kind, wire] = own

    def forget(self, target: Target) -> None:
        """Take that ``target``, as servers know it, is not subscribed to any more."""
        own = self._own.pop((target.kind, target.name), None)
        if own is not None:
            self._wire.pop((target.kind, own), None)

    def wire(self, target: Target) -> Target:
        """Return what is subscribed to for ``target``, which is named as users do."""
        name = self._wire.get((target.kind, target.name))
        return target if name is None else Target(target.kind, name)

    def own(self, target: Target) -> Target:
        """Return ``target``, which is named as servers do, with the channel's own name."""
        name = self._own.get((target.kind, target.name))
        if name is None:
            return target
        if isinstance(target, NodeTarget):
            return NodeTarget(target.kind, name, target.node)
        return Target(target.kind, name)
