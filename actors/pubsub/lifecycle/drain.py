"""The end of all subscriptions, with nothing lost that a server delivered before it knew of it.

Messages are routed until the server has said that a subscription is over: whatever it sent before
is ahead of that word on the same connection. Then the handlers finish what they have, and after
them those who take their failures to sinks that must be awaited.
"""

from __future__ import annotations

import asyncio

from actors.pubsub.lifecycle.manager import Drain, Unsubscribe
from actors.pubsub.lifecycle.tree import PubSubTree
from actors.pubsub.subscriptions.pending_calls import Call
from actors.redis.exceptions import ConnectionError  # noqa: A004
from supervisor.log import get_logger

__all__ = ["drain"]

log = get_logger("mailslot.pubsub")

#: Seconds without a byte in which a node must have said that a subscription is over.
_PATIENCE = 2.0
_LOOK = 0.25


async def drain(tree: PubSubTree, call: Call, timeout: float | None) -> bool:
    """End what ``call`` is for, and wait until its handlers are through with what they have.

    Their failures are with the sinks then, too.

    Args:
        tree: the pub/sub object's.
        call: names the targets; fails when the object ends before it.
        timeout: seconds for all of it; None: as long as it takes.

    Returns:
        whether all was handled in time.
    """
    registry = tree.registry
    handlers = [
        subscription.handler
        for target in call.open
        if (subscription := registry.subscriptions.get(target)) and subscription.handler is not None
    ]
    try:
        async with asyncio.timeout(timeout) as limit:
            if call.open:
                tree.manager.tell(Drain(list(call.open), call))
                await _last_words(tree, call)
            for handler in handlers:
                await handler.stopped()
            if tree.written is not None:
                await tree.written()
    except ConnectionError:  # it ended meanwhile, and with it all subscriptions
        return not any(handler.alive for handler in handlers)
    except (TimeoutError, asyncio.CancelledError) as error:
        if call.open and tree.manager.alive:
            tree.manager.tell(Unsubscribe(list(call.open), Call((), tree.system.loop)))
        if isinstance(error, TimeoutError) and limit.expired():
            return False
        raise
    return True


async def _last_words(tree: PubSubTree, call: Call) -> None:
    """Wait until each node has said that the subscriptions are over, or has fallen silent."""
    now = tree.system.loop.time
    begun = now()
    while True:
        done, _ = await asyncio.wait([call.future], timeout=_LOOK)
        if done:
            call.future.result()
            return
        reconciler = tree.reconciler
        if reconciler.waits_for_handlers:
            begun = now()  # nothing is read on purpose: silence proves nothing
            continue
        for subscriber in reconciler.holders(call.open):
            quiet = now() - max(begun, subscriber.connection.last_read)
            if quiet > _PATIENCE:
                log.warning(
                    "unsubscribe_not_acknowledged", node=subscriber.node, targets=len(call.open)
                )
                subscriber.connection.abort(
                    ConnectionError(f"{subscriber.node}: no word on an unsubscription")
                )
