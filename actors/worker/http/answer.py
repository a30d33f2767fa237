"""HTTP requests and responses as values, and the way of a response to an ASGI server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Literal, TypeAlias
from urllib.parse import parse_qsl

import msgspec

#: What an ASGI server gives to an application: https://asgi.readthedocs.io.
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Request(msgspec.Struct, frozen=True):
    """What the answer of a route depends on."""

    query: Mapping[str, str] = {}
    token: str = ""  # the bearer token of the Authorization header; empty: there is none

    @classmethod
    def of(cls, scope: Scope) -> Request:
        """Return the request of ``scope``."""
        query = dict(parse_qsl(scope.get("query_string", b"").decode("latin-1")))
        given = dict(scope.get("headers", ())).get(b"authorization", b"").decode("latin-1")
        scheme, _, token = given.partition(" ")
        return cls(query, token.strip() if scheme.lower() == "bearer" else "")


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


class Route(msgspec.Struct, frozen=True):
    """A path: the function that makes its answer, and the method that it is for."""

    answer: Callable[[Request], Answer]
    method: Literal["GET", "POST"] = "GET"

    @property
    def allowed(self) -> tuple[str, ...]:
        """The methods that are answered."""
        return ("GET", "HEAD") if self.method == "GET" else ("POST",)
