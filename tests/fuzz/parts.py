"""The parts by name, each with the servers that it is played on."""

from __future__ import annotations

import asyncio
import gc
import resource
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from actors.testing import EmbeddedServer
from actors.testing.clusters.cluster import EmbeddedCluster
from tests.fuzz import bytes, cancel, cluster, server  # noqa: A004
from tests.fuzz.judge import Judge
from tests.fuzz.places import ClusterPlace, ServerPlace
from tests.redis.helpers import peer, tunnel

__all__ = ["PARTS", "run"]

# Bytes of address space that a part may take beyond what the process has.
_SPACE = 2**30


async def _server(judge: Judge) -> None:
    async with EmbeddedServer() as real:
        await server.play(judge, real)


async def _bytes(judge: Judge) -> None:
    async with EmbeddedServer() as real:
        await bytes.play(judge, real, (real.host, real.port))


async def _tls(judge: Judge) -> None:
    with tempfile.TemporaryDirectory() as folder:
        theirs, ours = _contexts(Path(folder))
    async with EmbeddedServer() as real, peer(tunnel(real.host, real.port), context=theirs) as port:
        await bytes.play(judge, real, ("127.0.0.1", port), ssl=True, ssl_context=ours)


def _contexts(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the contexts of a TLS server and of a client that trusts it."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost"
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", *words.split(), *files], check=True, capture_output=True)
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(certificate, key)
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ours.check_hostname = False
    ours.load_verify_locations(certificate)
    return theirs, ours


async def _cluster(judge: Judge) -> None:
    async with EmbeddedCluster(2, 1) as real:
        await cluster.play(judge, real)


async def _cancel(judge: Judge) -> None:
    async with EmbeddedServer() as real:
        await cancel.play(judge, ServerPlace(real))


async def _cancel_cluster(judge: Judge) -> None:
    async with EmbeddedCluster(1, 1) as real:
        await cancel.play(judge, ClusterPlace(real))


#: What is played, by name.
PARTS: dict[str, Callable[[Judge], Coroutine[Any, Any, None]]] = {
    "server": _server,
    "bytes": _bytes,
    "tls": _tls,
    "cluster": _cluster,
    "cancel": _cancel,
    "cancel-cluster": _cancel_cluster,
}


def run(name: str, seed: int, seconds: float, step: str | None = None) -> Judge:
    """Play a part in an event loop of its own, and return its judge."""
    judge = Judge(name, seed, seconds, step)
    gc.collect()
    gc.freeze()  # each step collects garbage: that takes long where all imports are looked at, too
    loop = asyncio.SelectorEventLoop(judge.selector)
    with _bounded_space(), asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(PARTS[name](judge))
    return judge


@contextmanager
def _bounded_space() -> Iterator[None]:
    """Make allocations fail that the machine could not bear."""
    if sys.platform != "linux":
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + _SPACE, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
