"""What a worker has to know of its pub/sub objects that their users need not.

The one place that looks below their surface.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

from actors.pubsub.facade import BasePubSub
from actors.pubsub.types import Target
from actors.runtime.messages import Envelope
from actors.runtime.system import ActorSystem

__all__ = [
    "close_at_once",
    "has_handlers_only",
    "node_of",
    "pubsub_name",
    "sources",
    "unconfirmed",
    "waiting",
]


def pubsub_name(pubsub: BasePubSub[Any]) -> str:
    """Return what ``pubsub`` is called in the tree."""
    parts = pubsub._session.parts
    return "" if parts is None else parts.name


def has_handlers_only(pubsub: BasePubSub[Any]) -> None:
    """Say that nobody will call ``get_message``, so that no mailbox holds notices for it."""
    pubsub._inbox.nones = sys.maxsize


def unconfirmed(pubsub: BasePubSub[Any]) -> list[Target]:
    """Return the desired targets that no node has confirmed."""
    parts = pubsub._session.parts
    if parts is None or parts._router is None:
        return list(pubsub._book.subscriptions)
    rows = parts.router.table.rows
    return [
        target
        for target in parts.book.subscriptions
        if target not in rows or not rows[target].is_live(rows[target].source)
    ]


def node_of(pubsub: BasePubSub[Any], target: Target) -> str | None:
    """Return the node whose messages of ``target`` are used, or None."""
    parts = pubsub._session.parts
    if parts is None or parts._router is None:
        return None
    row = parts.router.table.rows.get(target)
    return None if row is None or not row.is_live(row.source) else row.source


def waiting(system: ActorSystem, path: str) -> int:
    """Return how many messages wait for the actor at ``path``, notices among them left out."""
    ref = system.lookup(path)
    if ref is None:
        return 0
    return sum(type(message) not in Envelope.classes for message in ref._queue)


async def close_at_once(pubsubs: Sequence[BasePubSub[Any]], system: ActorSystem) -> None:
    """Cancel all that runs in ``system``, as the wish of the owner of ``pubsubs``."""
    closing = [asyncio.ensure_future(pubsub._session.close()) for pubsub in pubsubs]
    # One turn, in which each takes note that its end is wanted: what is killed after that is no
    # failure of it.
    await asyncio.sleep(0)
    await system.stop(0.0)
    await asyncio.gather(*closing)


def sources(pubsub: BasePubSub[Any]) -> dict[str, list[Target]]:
    """Return the targets that are live, by the node whose messages are used."""
    found: dict[str, list[Target]] = {}
    for target in pubsub._book.subscriptions:
        node = node_of(pubsub, target)
        if node is not None:
            found.setdefault(node, []).append(target)
    return found
