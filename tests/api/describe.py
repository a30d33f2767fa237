"""Describes the public API as text: every public name, its signature and its public members.

``python -m tests.api`` writes the text to ``tests/api/public_api.txt``.
"""

from __future__ import annotations

import enum
import inspect
import re
import typing
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from textwrap import indent
from types import ModuleType
from typing import Any

import msgspec

__all__ = ["PINNED", "PUBLIC_MODULES", "describe"]

PUBLIC_MODULES = ("actors", "actors.exceptions", "actors.testing", "supervisor")
PINNED = Path(__file__).with_name("public_api.txt")

_WIDTH = 80
_OURS = ("actors", "supervisor")
#: Special methods that users call, by their syntax. Others are details of a class.
_CALLED_BY_SYNTAX = {
    "__aenter__",
    "__aexit__",
    "__aiter__",
    "__anext__",
    "__await__",
    "__call__",
    "__contains__",
    "__enter__",
    "__exit__",
    "__getitem__",
    "__iter__",
    "__len__",
}
#: Users get objects of these classes and never construct one.
_MADE_BY_THE_RUNTIME = {"ActorContext", "ActorRef", "Deferred", "SupervisorRef"}
#: What the reprs of default values say about the place of a module or of an object in memory.
_PLACES = re.compile(r"(?:\b(?:actors|supervisor)\.(?:\w+\.)*)(?=_?[A-Z])| at 0x[0-9a-f]+")


def describe() -> str:
    """Return the description of all public modules."""
    lines: list[str] = []
    for name in PUBLIC_MODULES:
        module = _module(name)
        lines.append(f"# {name}")
        for public in sorted(module.__all__):
            lines += ["", *_describe_name(public, getattr(module, public))]
        lines.append("")
    return "\n".join(lines)


def _module(name: str) -> ModuleType:
    if name == "actors.exceptions":  # an attribute of the package, not a file of it
        return typing.cast(ModuleType, import_module("actors").exceptions)
    return import_module(name)


def _describe_name(name: str, value: Any) -> Iterator[str]:
    if isinstance(value, ModuleType):
        yield f"module {name}"
    elif inspect.isclass(value):
        yield from _describe_class(name, value)
    elif inspect.isroutine(value):
        yield from _describe_callable(name, value)
    else:
        yield f"{name} = {_plain(repr(value))}"


def _describe_class(name: str, cls: type) -> Iterator[str]:
    bases = [base.__name__ for base in cls.__mro__[1:] if _is_public(base)]
    yield f"class {name}" + (f"  # is a {', '.join(bases)}" if bases else "")
    if issubclass(cls, enum.Enum):
        for value in cls:
            yield f"    {value.name} = {value.value!r}"
    elif name in _MADE_BY_THE_RUNTIME:
        pass
    elif _is_ours(cls.__init__) or _is_ours(cls.__new__) or not issubclass(cls, BaseException):
        yield from _indented(_describe_callable("", cls))
    for member, value in sorted(_members(cls).items()):
        yield from _indented(_describe_member(member, value))


def _is_public(cls: type) -> bool:
    if cls.__module__ == "builtins":
        return issubclass(cls, BaseException) and cls not in (Exception, BaseException)
    public = (getattr(_module(name), cls.__name__, None) for name in PUBLIC_MODULES)
    return any(value is cls for value in public)


def _members(cls: type) -> dict[str, Any]:
    """Return the public members that our code defines, those of base classes among them."""
    members: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.partition(".")[0] in _OURS:
            declared = {k: _Text(v) for k, v in _annotations(base).items()}
            members |= {k: v for k, v in {**vars(base), **declared}.items() if _is_api(k)}
    if issubclass(cls, enum.Enum):
        members = {k: v for k, v in members.items() if k not in cls.__members__}
    return members


def _annotations(cls: type) -> dict[str, str]:
    """Return the annotations of the class's own body as the source has them."""
    annotations = inspect.get_annotations(cls)
    return {k: str(getattr(v, "__forward_arg__", v)) for k, v in annotations.items()}


def _is_api(name: str) -> bool:
    return not name.startswith("_") or name in _CALLED_BY_SYNTAX


def _is_ours(function: Any) -> bool:
    return str(getattr(function, "__module__", "")).partition(".")[0] in _OURS


def _describe_member(name: str, value: Any) -> Iterator[str]:
    if isinstance(value, property):
        settable = "" if value.fset is None else ", settable"
        returns = inspect.signature(value.fget).return_annotation if value.fget else "?"
        yield f"{name} -> {_annotation(returns)}  # property{settable}"
    elif isinstance(value, classmethod | staticmethod):
        kind = type(value).__name__
        yield from (f"{line}  # {kind}" for line in _describe_callable(name, value.__func__))
    elif inspect.isfunction(value):
        yield from _describe_callable(name, value)
    else:
        yield f"{name}: {value}" if isinstance(value, _Text) else f"{name}  # attribute"


def _describe_callable(name: str, function: Any) -> Iterator[str]:
    implementation = function.__init__ if inspect.isclass(function) else function
    overloads = (
        typing.get_overloads(implementation) if hasattr(implementation, "__module__") else []
    )
    prefix = "async " if inspect.iscoroutinefunction(function) else ""
    for overload in overloads:
        yield f"{prefix}{name}{_signature(getattr(overload, '__func__', overload))}  # overload"
    try:
        yield f"{prefix}{name}{_signature(function)}"
    except ValueError:  # a class of C without a text signature
        yield f"{prefix}{name}(...)"


def _signature(function: Any) -> str:
    if inspect.isclass(function) and issubclass(function, msgspec.Struct):
        return _struct_signature(function)
    signature = inspect.signature(function)
    parameters = [
        one.replace(
            annotation=_annotation(one.annotation),
            default=_Text("...") if one.default is ... else one.default,
        )
        for parameter in signature.parameters.values()
        for one in _unpacked(parameter, function)
    ]
    parameters.sort(key=_order)
    returns = _annotation(signature.return_annotation)
    end = "" if returns is signature.empty else f" -> {returns}"
    return f"({_separated(_one_by_one(parameters))}){end}"


def _order(parameter: inspect.Parameter) -> tuple[int, str]:
    """Keywords are shown by name: their order means nothing to a caller."""
    return parameter.kind, parameter.name if parameter.kind is parameter.KEYWORD_ONLY else ""


def _one_by_one(parameters: list[inspect.Parameter]) -> Iterator[str]:
    positional = True
    for parameter in parameters:
        if positional and parameter.kind is parameter.KEYWORD_ONLY:
            yield "*"
        if parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL):
            positional = False
        yield _plain(str(parameter))


def _separated(parameters: Iterable[str]) -> str:
    """Return the parameters on one line, or where that is too long on a line each."""
    parameters = list(parameters)
    line = ", ".join(parameters)
    return line if len(line) <= _WIDTH else "\n    " + ",\n    ".join(parameters) + ",\n"


def _struct_signature(cls: type[msgspec.Struct]) -> str:
    """Return the fields; a Struct resolves its annotations when asked for its signature."""
    annotations = {
        name: annotation
        for base in reversed(cls.__mro__)
        for name, annotation in _annotations(base).items()
    }
    fields = cls.__struct_fields__
    optional = fields[len(fields) - len(cls.__struct_defaults__) :]
    shown = (f"{f}: {annotations[f]}" + " = ..." * (f in optional) for f in fields)
    return f"({_separated(shown)})"


def _unpacked(parameter: inspect.Parameter, function: Any) -> list[inspect.Parameter]:
    """Return the keywords of ``**options: Unpack[Options]``; any other parameter as it is."""
    match = re.fullmatch(r"Unpack\[(\w+)\]", str(parameter.annotation))
    if match is None:
        return [parameter]
    implementation = function.__init__ if inspect.isclass(function) else function
    keywords = implementation.__globals__[match[1]].__annotations__
    return [
        inspect.Parameter(
            key,
            inspect.Parameter.KEYWORD_ONLY,
            default=_Text("..."),
            annotation=getattr(annotation, "__forward_arg__", annotation),
        )
        for key, annotation in sorted(keywords.items())
    ]


class _Text(str):
    """A string that ``inspect`` shows without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _annotation(annotation: Any) -> Any:
    if annotation is inspect.Signature.empty:
        return annotation
    if isinstance(annotation, str):
        return _Text(annotation)
    return _Text(_plain(inspect.formatannotation(annotation)))


def _plain(text: str) -> str:
    return _PLACES.sub("", text)


def _indented(lines: Iterator[str]) -> Iterator[str]:
    return (indent(line, "    ") for line in lines)
