"""Commands that are sent together on a cluster: each node gets those for its slots in one piece."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any, Final

from actors.redis import exceptions
from actors.redis.cluster.cluster_pool import ClusterConnectionPool
from actors.redis.cluster.key_routing import Route, Scope
from actors.redis.cluster.redirects import RedirectingCall, Seen
from actors.redis.cluster.session import Owner
from actors.redis.shared.transaction import in_transaction

# The node has surely not executed the command.
_NOT_EXECUTED: Final = (
    exceptions.AskError,
    exceptions.ClusterDownError,
    exceptions.ConnectionError,
    exceptions.NoScriptError,
    exceptions.PrimaryDownError,
    exceptions.TryAgainError,
)


async def connect_to_owners(pool: ClusterConnectionPool, routes: Sequence[Route]) -> None:
    """Connect to the nodes of ``routes`` that have no connection yet.

    Errors are left to the commands, which try again by the client's retry policy.
    """
    missing = {
        node.address
        for slot in {to.slot for to in routes if to.slot is not None}
        if pool.shared_by_owner(slot) is None
        and (node := pool.topology.primary_for(slot)) is not None
        and node.addressable
        and not node.failing
    }
    if missing:
        attempts = (pool.shared_at(address).connect() for address in missing)
        await asyncio.gather(*attempts, return_exceptions=True)


class NodeBatches:
    """One batch for each node.

    Args:
        pool: knows the owners of slots, and the connections.
        packed: the commands.
        routes: where each command goes.
        noreply: do not wait for replies.
    """

    def __init__(
        self,
        pool: ClusterConnectionPool,
        packed: Sequence[bytes],
        routes: Sequence[Route],
        *,
        noreply: bool,
    ) -> None:
        self._pool = pool
        self._packed = packed
        self._noreply = noreply
        self._owners = [None if to.slot is None else pool.shared_by_owner(to.slot) for to in routes]
        self._replies: list[Any] = [None] * len(packed)

    async def send(self) -> list[Any]:
        """Send all batches in one turn of the loop; return the replies, errors as values.

        None stands for the reply to a command that no batch was for: see :meth:`unfinished`.
        """
        batches: dict[Owner, list[int]] = {}
        for number, owner in enumerate(self._owners):
            if owner is not None:
                batches.setdefault(owner, []).append(number)
        if self._noreply:
            await asyncio.gather(
                *(owner.shared.post(*self._of(numbers)) for owner, numbers in batches.items())
            )
            return self._replies
        answers = await asyncio.gather(
            *(owner.shared.submit_batch(self._of(numbers)) for owner, numbers in batches.items())
        )
        for numbers, replies in zip(batches.values(), answers, strict=True):
            for number, reply in zip(numbers, replies, strict=True):
                self._replies[number] = reply
        return self._replies

    def _of(self, numbers: list[int]) -> list[bytes]:
        return [self._packed[number] for number in numbers]

    def unfinished(self) -> Iterator[tuple[int, Seen | None]]:
        """Return the commands that no node has executed, and what was seen of each."""
        for number, (owner, reply) in enumerate(zip(self._owners, self._replies, strict=True)):
            if owner is None:
                yield number, None
            elif isinstance(reply, exceptions.UnansweredError):
                self._pool.refresh_soon()
            elif isinstance(reply, _NOT_EXECUTED):
                yield number, (owner.address, reply)


def transaction_call(
    pool: ClusterConnectionPool, packed: list[bytes], routes: Sequence[Route], *, noreply: bool
) -> RedirectingCall:
    """Return the call that sends commands of one slot between MULTI and EXEC.

    Raises:
        ClusterTransactionError: the commands are for no slot, or for several.
    """
    slots = {to.slot for to in routes}
    if len(slots) != 1 or None in slots:
        raise exceptions.ClusterTransactionError(
            "all commands of a transaction must have keys or channels of one slot: give them a "
            "common {hash tag}, or use a pipeline without transaction"
        )
    to = Route(Scope.OWNER, slots.pop())
    return RedirectingCall(
        pool, ("MULTI",), to, repeatable=False, noreply=noreply, batch=in_transaction(packed)
    )
