"""The AsyncAPI 3 document of a worker: channels, receive operations, messages and servers."""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Mapping
from typing import Any, Final

from actors.worker.asyncapi.addresses import (
    Address,
    address_of,
    address_of_any,
    address_of_pattern,
    identifier,
)
from actors.worker.asyncapi.schemas import Schemas
from actors.worker.asyncapi.servers import servers
from actors.worker.declare.groups import Group
from actors.worker.declare.routes import Route
from actors.worker.run.app import Worker

_VERSION: Final = "3.0.0"
_CONTENT: Final = {"json": "application/json", "msgpack": "application/msgpack"}
_KINDS: Final = {
    "channel": "A channel (SUBSCRIBE).",
    "pattern": "All channels that match the pattern {!r} (PSUBSCRIBE).",
    "shard_channel": "A shard channel of a cluster (SSUBSCRIBE).",
}


def document(worker: Worker[Any], module: str = "") -> dict[str, Any]:
    """Return the AsyncAPI document of ``worker``, a value for JSON or YAML.

    Args:
        worker: the worker; it need not run.
        module: the name of the module that declares it: its docstring is the description, and its
            ``__version__`` or that of a package around it the version.
    """
    made = _Document(worker)
    for route in worker.routes:
        made.add(route, _address(route))
    for group in worker.groups:
        made.add(group.route, _address_of_group(group))
    where = worker.broker.where
    return {
        "asyncapi": _VERSION,
        "info": _info(worker.name, module),
        "defaultContentType": "application/json",
        "servers": servers(where, cluster=worker.broker.is_cluster),
        "channels": made.channels,
        "operations": made.operations,
        "components": {"messages": made.messages, "schemas": made.schemas.components},
    }


class _Document:
    """Collects the parts of a document, one route after another."""

    def __init__(self, worker: Worker[Any]) -> None:
        self.channels: dict[str, Any] = {}
        self.operations: dict[str, Any] = {}
        self.messages: dict[str, Any] = {}
        self.schemas = Schemas()
        self._context = worker.context_type

    def add(self, route: Route, address: Address) -> None:
        """Add the channel of ``route``, its message, and the operation that receives it."""
        channel = identifier(address.text, self.channels)
        message = self._message(channel, route)
        described = _KINDS[route.kind].format(route.name)
        self.channels[channel] = {
            "address": address.text,
            "description": described,
            **({"parameters": address.parameters} if address.parameters else {}),
            "messages": {message: {"$ref": f"#/components/messages/{message}"}},
            "x-mailslot-kind": route.kind,
        }
        operation = identifier(f"receive_{channel}", self.operations)
        self.operations[operation] = {
            "action": "receive",
            "channel": {"$ref": f"#/channels/{channel}"},
            "title": route.handler_name,
            **_description_of(route),
            "messages": [{"$ref": f"#/channels/{channel}/messages/{message}"}],
        }

    def _message(self, channel: str, route: Route) -> str:
        """Return the name of the message of ``route``; equal messages are one."""
        wanted, content_type = _payload(route, self._context)
        message: dict[str, Any] = {"contentType": content_type}
        name = channel
        if wanted is None:
            message["description"] = "The handler takes the payload as it came."
        else:
            name = getattr(wanted, "__name__", channel)
            try:
                message["payload"] = self.schemas.of(wanted)
            except TypeError as error:
                message["description"] = f"No JSON schema describes the payload: {error}"
        for known, same in self.messages.items():
            if same == {"name": known, **message}:
                return known
        name = identifier(name, self.messages)
        self.messages[name] = {"name": name, **message}
        return name


def _payload(route: Route, context: type | None) -> tuple[Any, str]:
    """Return the type of the payload, None if the handler does not say, and its media type."""
    binding = route.binding(context)
    if binding.raw is str:
        return str, "text/plain"
    if binding.raw is bytes:
        return None, "application/octet-stream"
    is_known = _is_type(binding.decode)
    return (
        binding.decode if is_known else None,
        _CONTENT[route.options.get("format", "json")] if is_known else "application/octet-stream",
    )


def _is_type(decode: Any) -> bool:
    """Return whether ``decode`` is a type; what a function makes of payloads, nobody knows."""
    alias = hasattr(decode, "__supertype__") or hasattr(decode, "__value__")
    return isinstance(decode, type) or typing.get_origin(decode) is not None or alias


def _address(route: Route) -> Address:
    return address_of_pattern(route.name) if route.kind == "pattern" else address_of(route.name)


def _address_of_group(group: Group) -> Address:
    found_by = getattr(group.find_names, "__qualname__", "a function")
    if group.route.kind == "pattern" and len(group.names) == 1:
        return address_of_pattern(group.names[0])
    return address_of_any(group.names, found_by)


def _description_of(route: Route) -> Mapping[str, str]:
    text = inspect.getdoc(route.fn) if callable(route.fn) else None
    return {"description": text} if text else {}


def _info(name: str, module: str) -> dict[str, str]:
    found = sys.modules.get(module)
    described = inspect.getdoc(found) if found is not None else None
    info = {"title": name, "version": _version(module)}
    return info | ({"description": described} if described else {})


def _version(module: str) -> str:
    """Return the ``__version__`` of ``module`` or of a package around it."""
    while module:
        version = getattr(sys.modules.get(module), "__version__", None)
        if isinstance(version, str):
            return version
        module = module.rpartition(".")[0]
    return "unversioned"
