"""Where a scenario is played: nowhere, on one server, or on a cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from actors.redis.topology.slots import key_slot
from actors.testing import EmbeddedServer
from actors.testing.clusters.cluster import EmbeddedCluster
from tests.benchmarks.jobs import Job

__all__ = ["Place", "place_of"]

# A server that drops a subscriber which is behind would be taken for a client that loses messages.
_CONFIGURATION = ["--client-output-buffer-limit", "pubsub", "0", "0", "0"]


@dataclass(frozen=True)
class Place:
    """Servers.

    Attributes:
        url: what a client connects to.
        primaries: the URLs to publish on.
        owner: returns which of them has a channel.
    """

    url: str
    primaries: list[str]
    owner: Callable[[str], str]


@contextmanager
def place_of(job: Job) -> Iterator[Place]:
    """Run what the job needs."""
    if job.by == "shard":
        yield from _cluster()
    elif job.mode == "turns" or job.module == "actors":
        yield Place("", [], lambda _: "")
    else:
        with EmbeddedServer(args=_CONFIGURATION) as server:
            url = server.url
            yield Place(url, [url], lambda _: url)


def _cluster() -> Iterator[Place]:
    with asyncio.Runner() as runner:
        cluster = EmbeddedCluster(3, 0, args=_CONFIGURATION)
        runner.run(cluster.__aenter__())
        try:
            owners: dict[int, str] = {}

            def owner(name: str) -> str:
                slot = key_slot(name.encode())
                if slot not in owners:
                    owners[slot] = runner.run(cluster.primary_for(slot)).url
                return owners[slot]

            yield Place(cluster.url, [node.url for node in cluster.nodes], owner)
        finally:
            runner.run(cluster.__aexit__(None, None, None))
