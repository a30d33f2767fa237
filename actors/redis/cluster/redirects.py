"""One command on its way through the cluster: to a node, and on to where that node redirects it.

A redirection is followed at once. Other errors are raised, and the client's retry policy decides
about a next attempt; each attempt chooses the node by the topology of that moment.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any, Final, TypeAlias

from actors.redis import exceptions
from actors.redis.cluster.cluster_pool import ClusterConnectionPool
from actors.redis.cluster.key_routing import Route, Scope
from actors.redis.shared.blocking_commands import execute_alone, execute_on_replicas
from actors.redis.shared.shared_connection import SharedConnection
from actors.redis.topology.model import Address, Health, Node
from actors.redis.wire.resp import Argument, pack

_MAX_REDIRECTIONS: Final = 8
_ASKING: Final = pack(("ASKING",))

#: Where a command was sent, and the error that came.
Seen: TypeAlias = tuple[Address, Exception]


class MayHaveRunError(Exception):
    """Wraps an error after which nobody knows whether the node has executed the command.

    No retry policy retries this class: to send the command again might execute it twice.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


# After these errors the topology has probably changed.
_STALE: Final = (
    MayHaveRunError,
    exceptions.ConnectionError,
    TimeoutError,
    exceptions.ClusterError,
    exceptions.ClusterDownError,
    exceptions.PrimaryDownError,
)


class RedirectingCall:
    """The attempts to have one command executed.

    Args:
        repeatable: the command changes nothing, so that it may be sent again.
        noreply: do not wait for the reply.
        blocking: the seconds for which the command may block at the node, on a connection of its
            own; None: it does not block.
        replicas: how many replicas to wait for on that connection, see
            :func:`actors.redis.shared.blocking_commands.execute_on_replicas`; 0: none.
        batch: a packed transaction to send instead of the command, which is only its name then; the
            result is the list of the replies.

    Attributes:
        seen: where the command was sent before, and the error that came: the first attempt goes on
            from there; None: it begins with sending.
    """

    def __init__(
        self,
        pool: ClusterConnectionPool,
        args: tuple[Argument, ...],
        route: Route,
        *,
        repeatable: bool,
        noreply: bool,
        blocking: float | None = None,
        replicas: int = 0,
        batch: list[bytes] | None = None,
    ) -> None:
        self.seen: Seen | None = None
        self._pool = pool
        self._args = args
        self._route = route
        self._repeatable = repeatable
        self._noreply = noreply
        self._blocking = blocking
        self._replicas = replicas
        self._batch = batch
        # Nodes that could not be reached: others are tried first, if there are any.
        self._avoid: set[Address] = set()

    async def attempt(self) -> Any:
        """Send the command, follow redirections, and return the reply.

        Raises:
            MayHaveRunError: the connection was lost before the reply came.
            ClusterError: there were too many redirections.
            ClusterDownError: no node is known to serve the slot.
            RedisError, TimeoutError: there was no connection, or the node answered with an error.
        """
        try:
            return await self._send_and_follow()
        except _STALE:
            # Also if the retry policy gives up: the next command needs the new topology.
            self._pool.refresh_soon()
            raise

    async def _send_and_follow(self) -> Any:
        seen, self.seen = self.seen, None
        address = self._choose() if seen is None else seen[0]
        asking = False
        trail = [address]
        while True:
            try:
                if seen is not None:
                    (_, error), seen = seen, None
                    self._judge(address, error)
                    raise error
                return await self._send(address, asking)
            except exceptions.AskError as redirection:
                if self._route.scope is Scope.NODE:
                    raise
                if len(trail) > _MAX_REDIRECTIONS:
                    raise exceptions.ClusterError(
                        f"{self._name} was redirected {len(trail)} times, over "
                        f"{', '.join(f'{host}:{port}' for host, port in trail)}; the nodes do not "
                        "agree on who serves its slot"
                    ) from redirection
                asking = not isinstance(redirection, exceptions.MovedError)
                address = await self._follow(redirection, address)
                trail.append(address)

    async def recover(self, error: BaseException) -> None:
        """Refresh the topology after ``error``, before the next attempt."""
        if not isinstance(error, _STALE) or isinstance(error, exceptions.BusyLoadingError):
            return
        try:
            await self._pool.refresh()
        except exceptions.RedisError:
            # The next attempt finds out which nodes can be reached, and raises its own error.
            pass

    @property
    def _name(self) -> str:
        return f"{str(self._args[0])!r:.40}"

    # --- Choosing the node ------------------------------------------------------------------------

    def _choose(self) -> Address:
        topology = self._pool.topology
        route = self._route
        if route.node is not None:
            return self._pool.address_of(route.node)
        owner = topology.primary_for(route.slot) if route.slot is not None else None
        if route.scope is Scope.OWNER:
            return self._owner(owner)
        if owner is not None and self._good(owner):
            return owner.address
        candidates = topology.nodes.values() if route.scope is Scope.ANY else topology.primaries
        known = [node for node in candidates if node.addressable]
        good = [node for node in known if self._good(node)]
        choice = good or [node for node in known if not node.failing] or known
        if not choice:
            raise exceptions.ClusterDownError(f"no node is known that could take {self._name}")
        return random.choice(choice).address

    def _good(self, node: Node) -> bool:
        return (
            node.addressable
            and not node.failing
            and node.address not in self._avoid
            and not self._pool.silent(node.id)
            and not self._pool.shared_at(node.address).resting
        )

    def _owner(self, owner: Node | None) -> Address:
        if owner is None:
            raise exceptions.ClusterDownError(
                f"slot {self._route.slot} is served by no node at the moment"
            )
        if owner.health is Health.FAILED:
            # A stopped process still accepts commands and never answers.
            raise exceptions.ClusterDownError(
                f"slot {self._route.slot} is served by {owner.host}:{owner.port} alone, which "
                "the other nodes call failed; no replica has taken over yet"
            )
        return self._pool.address_of(owner.id)

    async def _follow(self, redirection: exceptions.AskError, asked: Address) -> Address:
        named = (redirection.host, redirection.port)
        if isinstance(redirection, exceptions.MovedError):
            address = self._pool.note_moved(redirection.slot, named, asked=asked)
            self._pool.refresh_soon()
        else:
            address = self._pool.resolve(named, asked=asked)
        if address is None:
            topology = await self._pool.refresh()
            address = self._owner(topology.primary_for(redirection.slot))
        return address

    # --- Sending ----------------------------------------------------------------------------------

    async def _send(self, address: Address, asking: bool) -> Any:
        try:
            if self._blocking is not None:
                return await self._send_alone(address, asking, self._blocking)
            return await self._send_shared(address, asking)
        except Exception as error:
            self._judge(address, error)
            raise

    def _judge(self, address: Address, error: Exception) -> None:
        """Avoid a node that cannot be reached; wrap an error after which nobody may try again."""
        if isinstance(error, exceptions.ConnectionError | TimeoutError):
            self._avoid.add(address)
        sent = isinstance(error, exceptions.UnansweredError | exceptions.ReplyTimeoutError)
        if sent and not self._repeatable:
            raise MayHaveRunError(error) from None

    async def _send_shared(self, address: Address, asking: bool) -> Any:
        shared = self._pool.shared_at(address)
        await shared.connect()
        if self._batch is not None:
            return await self._send_batch(shared, self._batch, asking)
        packed = [pack(self._args, self._pool.settings.encoding)]
        if asking:
            packed.insert(0, _ASKING)
        if self._noreply:
            return await shared.post(*packed)
        if not asking:
            return await shared.submit(packed[0])
        # One batch: ASKING never stays in the queue alone. If ASKING fails, the command fails, too.
        _, reply = await shared.submit_batch(packed)
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def _send_batch(self, shared: SharedConnection, batch: list[bytes], asking: bool) -> Any:
        if asking:
            # ASKING is for the next command alone, and EXEC is not the next one.
            raise exceptions.TryAgainError(
                f"slot {self._route.slot} is moving, and a transaction cannot follow its keys: "
                "try again when the move is over"
            )
        if self._noreply:
            return await shared.post(*batch)
        replies = await shared.submit_batch(batch)
        for reply in replies:
            if isinstance(reply, (*_STALE, exceptions.AskError, exceptions.TryAgainError)):
                raise reply  # nothing was executed, or nobody knows
        return replies

    async def _send_alone(self, address: Address, asking: bool, seconds: float) -> Any:
        connection = await self._pool.acquire_at(address)
        try:
            if asking:
                connection.send_command("ASKING").add_done_callback(_retrieve)
            if self._replicas:
                return await execute_on_replicas(connection, self._args, self._replicas)
            return await execute_alone(connection, seconds, self._args)
        finally:
            self._pool.release(connection)


def _retrieve(future: asyncio.Future[Any]) -> None:
    """Retrieve the future's exception: asyncio logs one that nobody retrieves."""
    if not future.cancelled():
        future.exception()
