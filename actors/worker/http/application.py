"""The ASGI application that answers requests from memory. It needs no further package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from actors.worker.http.answer import Answer, Request, Route, Scope
from supervisor.log import get_logger

log = get_logger("mailslot.worker")

_ALLOWED: Final = ("GET", "HEAD")


class Application:
    """An ASGI application; a web framework may mount it below any path.

    Args:
        routes: what is answered, by path.
    """

    def __init__(self, routes: Mapping[str, Route]) -> None:
        self._routes = routes

    # Any: every framework has types of its own for these three.
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer the request of ``scope``; a websocket is refused.

        Raises:
            ValueError: ``scope`` is of another protocol. Servers take that for "no lifespan here".
        """
        match scope["type"]:
            case "http":
                await self._answer(scope).send(scope, send)
            case "websocket":
                await receive()
                await send({"type": "websocket.close"})
            case other:
                raise ValueError(f"this ASGI application speaks http, not {other}")

    def _answer(self, scope: Scope) -> Answer:
        path = _path_below_mount(scope)
        route = self._routes.get(path)
        allowed = _ALLOWED if route is None else route.allowed
        if scope["method"] == "POST" and route is None and path.startswith("/actions/"):
            known = " ".join(path for path, one in self._routes.items() if one.method == "POST")
            return Answer(f"no such action; there is {known}\n".encode(), status=404)
        if scope["method"] not in allowed:
            text = f"only {' and '.join(allowed)}\n"
            return Answer(text.encode(), status=405, headers={"allow": ", ".join(allowed)})
        asked: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
        if path == "/" and not asked.endswith(b"/"):
            # Links of the page are relative: the browser needs the slash at the end.
            last = asked.rpartition(b"/")[2].decode("latin-1")
            return Answer(b"", status=307, headers={"location": f"{last}/"})
        if route is None:
            known = " ".join(path for path, one in self._routes.items() if one.method == "GET")
            return Answer(f"nothing here; there is {known}\n".encode(), status=404)
        try:
            return route.answer(Request.of(scope))
        except Exception as error:
            log.error("http_failed", path=path, error=repr(error), exc_info=error)
            return Answer(f"{type(error).__name__}\n".encode(), status=500)


def _path_below_mount(scope: Scope) -> str:
    """Return the path of the request below the place where the application is mounted.

    Starlette leaves that place at the beginning of ``path``. Litestar takes it away, and puts a
    slash at the end.
    """
    path: str = scope["path"]
    mount: str = scope.get("root_path", "").rstrip("/")
    below = path.removeprefix(mount)
    if below and not below.startswith("/"):
        below = path
    return below.rstrip("/") or "/"
