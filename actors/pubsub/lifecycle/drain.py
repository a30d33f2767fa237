"""Unsubscribe, and wait for the handlers: no message that a server has sent is lost.

Messages are delivered until the server confirms the end of a subscription: whatever it sent before
comes before the confirmation on the same connection. Then the handlers handle what they have, and
after them the failure sinks that must be awaited write what they have.
"""

from __future__ import annotations

import asyncio

from actors.pubsub.lifecycle.manager import Drain, Unsubscribe
from actors.pubsub.lifecycle.tree import PubSubTree
from actors.pubsub.subscriptions.pending_calls import Call
from actors.redis.exceptions import ConnectionError  # noqa: A004
from supervisor.log import get_logger

log = get_logger("mailslot.pubsub")

# A node that sends no byte for so many seconds is not waited for.
_PATIENCE = 2.0
_LOOK = 0.25


async def drain(tree: PubSubTree, call: Call, timeout: float | None) -> bool:
    """End the subscriptions of ``call``, and wait until their handlers have handled all messages.

    By then the failure sinks have all failures, too.

    Args:
        tree: the pub/sub object's.
        call: names the targets; fails if the pub/sub object ends first.
        timeout: seconds for all of this; None: no limit.

    Returns:
        whether all messages were handled in time.
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
                await _confirmed(tree, call)
            for handler in handlers:
                await handler.stopped()
            if tree.written is not None:
                await tree.written()
    except ConnectionError:  # the pub/sub object ended meanwhile, and with it all subscriptions
        return not any(handler.alive for handler in handlers)
    except (TimeoutError, asyncio.CancelledError) as error:
        if call.open and tree.manager.alive:
            tree.manager.tell(Unsubscribe(list(call.open), Call((), tree.system.loop)))
        if isinstance(error, TimeoutError) and limit.expired():
            return False
        raise
    return True


async def _confirmed(tree: PubSubTree, call: Call) -> None:
    """Wait until each node has confirmed the end of its subscriptions, or is silent."""
    now = tree.system.loop.time
    begun = now()
    while True:
        done, _ = await asyncio.wait([call.future], timeout=_LOOK)
        if done:
            call.future.result()
            return
        reconciler = tree.reconciler
        if reconciler.waits_for_handlers:
            begun = now()  # reading is paused: silence proves nothing
            continue
        for subscriber in reconciler.holders(call.open):
            quiet = now() - max(begun, subscriber.connection.last_read)
            if quiet > _PATIENCE:
                log.warning(
                    "unsubscribe_not_acknowledged", node=subscriber.node, targets=len(call.open)
                )
                subscriber.connection.abort(
                    ConnectionError(f"{subscriber.node}: silent after an unsubscribe")
                )
