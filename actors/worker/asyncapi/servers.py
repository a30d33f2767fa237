"""From the address of a broker to AsyncAPI servers, without user and password (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

_PORT: Final = 6379


def servers(where: str | Sequence[str | tuple[str, int]], *, cluster: bool) -> dict[str, Any]:
    """Return the servers of a broker at ``where``, a URL or nodes of a cluster."""
    nodes = [where] if isinstance(where, str) else list(where)
    described = {"description": "A node of a cluster."} if cluster else {}
    names = _names(len(nodes))
    return {next(names): {**_server(node), **described} for node in nodes}


def _names(count: int) -> Iterator[str]:
    yield from ["broker"] if count == 1 else (f"node-{number}" for number in range(1, count + 1))


def _server(node: str | tuple[str, int]) -> dict[str, Any]:
    if not isinstance(node, str):
        host, port = node
        return {"host": f"{f'[{host}]' if ':' in host else host}:{port}", "protocol": "redis"}
    url = urlsplit(node if "://" in node else f"redis://{node}")
    if url.scheme.startswith("unix"):
        return {"host": "localhost", "pathname": url.path, "protocol": "redis"}
    # Not ``url.port``, which refuses what the client may accept; the user is left out with its @.
    place = url.netloc.rpartition("@")[2] or "localhost"
    has_port = place.rpartition(":")[2].isdecimal() and not place.endswith("]")
    server = {
        "host": place if has_port else f"{place}:{_PORT}",
        "protocol": "rediss" if url.scheme in ("rediss", "valkeys") else "redis",
    }
    return server | ({"pathname": url.path} if url.path.strip("/") else {})
