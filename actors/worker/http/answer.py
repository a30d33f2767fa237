"""An HTTP response as a value, and its way to an ASGI server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, TypeAlias

import msgspec

#: What an ASGI server gives to an application: https://asgi.readthedocs.io.
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Answer(msgspec.Struct, frozen=True):
    """An HTTP response."""

    body: bytes
    type: str = "text/plain; charset=utf-8"  # the media type of the body
    status: int = 200
    headers: Mapping[str, str] = {}

    @classmethod
    def json(cls, value: Any, status: int = 200) -> Answer:
        """Return a response with ``value`` as JSON."""
        return cls(msgspec.json.encode(value), "application/json", status)

    async def send(self, scope: Scope, send: Send) -> None:
        """Send the response to the request of ``scope``; the body is left out for HEAD."""
        headers = {
            "content-type": self.type,
            "content-length": str(len(self.body)),
            "cache-control": "no-store",
            "x-content-type-options": "nosniff",
            **self.headers,
        }
        encoded = [
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()
        ]
        await send({"type": "http.response.start", "status": self.status, "headers": encoded})
        body = b"" if scope["method"] == "HEAD" else self.body
        await send({"type": "http.response.body", "body": body})
