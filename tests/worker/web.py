"""A client of the worker's HTTP port."""

from __future__ import annotations

import asyncio
import http.client
from typing import Any

import msgspec

__all__ = ["Reply", "get", "post"]


class Reply(msgspec.Struct):
    """What came back."""

    status: int
    type: str
    body: bytes

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


async def get(address: tuple[str, int], path: str, method: str = "GET") -> Reply:
    """Ask, in a thread."""
    return await asyncio.to_thread(_ask, address, path, method, {})


async def post(address: tuple[str, int], path: str, authorization: str | None = None) -> Reply:
    """Ask for an action, in a thread."""
    headers = {} if authorization is None else {"authorization": authorization}
    return await asyncio.to_thread(_ask, address, path, "POST", headers)


def _ask(address: tuple[str, int], path: str, method: str, headers: dict[str, str]) -> Reply:
    connection = http.client.HTTPConnection(*address, timeout=10)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return Reply(response.status, response.headers["content-type"], response.read())
    finally:
        connection.close()
