"""What a member asks of the server: its fleet's script, subscribers, and the end of connections."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable
from typing import Any, Final

from actors.redis.exceptions import (
    AuthorizationError,
    ConnectionError,  # noqa: A004
    NoScriptError,
    RedisError,
    ResponseError,
)
from actors.redis.topology.slots import key_slot
from actors.worker.fleet.calls import call_arguments, control_channel, presence_channel
from actors.worker.fleet.decisions import Call
from actors.worker.fleet.members import FleetSettings, Member
from actors.worker.fleet.messages import FleetFormatError, Reply, decode_reply
from actors.worker.fleet.script import DIGEST, SCRIPT
from supervisor.log import get_logger

log = get_logger("mailslot.fleet")

#: Where a call cannot be made, or is not answered in time.
UNANSWERED: Final = (RedisError, TimeoutError, OSError, FleetFormatError)
#: The id of a connection that no server has.
_NOBODY: Final = str(2**63 - 1)
_CONNECTION: Final = re.compile(r"\bid=(\d+)\b.*?\bname=(\S+)")


def connection_name(fleet: str, member: Member) -> str:
    """Return what servers list the connections as with which ``member`` consumes."""
    return f"fleet:{fleet}:{member}"


class FleetServer:
    """Calls of one member. Each has a deadline, and raises one of UNANSWERED if that passes.

    Args:
        client: the worker's client.
        fleet: the fleet's name.
        me: the member.
        settings: the fleet's.
        is_cluster: whether the client is a cluster's.
    """

    def __init__(
        self, client: Any, fleet: str, me: Member, settings: FleetSettings, *, is_cluster: bool
    ) -> None:
        self.settings = settings
        #: How far the server's clock is ahead of this machine's, in seconds; None: unknown.
        self.ahead: float | None = None
        self._client = client
        self._fleet = fleet
        self._me = me
        self._is_cluster = is_cluster
        self._deadline = settings.ttl / 4

    async def may_kill(self) -> bool:
        """Return whether this user may list and end connections; what not is logged."""
        for command in (("CLIENT", "LIST", "ID", _NOBODY), ("CLIENT", "KILL", "ID", _NOBODY)):
            try:
                await self._ask(*command)
            except (AuthorizationError, ResponseError) as error:
                log.warning(
                    "fleet_cannot_fence",
                    fleet=self._fleet,
                    error=str(error),
                    consequence="a dead member is replaced when its lease has ended, not at once",
                    cure="give the user +client|list and +client|kill",
                )
                return False
        return True

    async def call(self, call: Call, handled_until: float) -> Reply:
        """Run the fleet's script.

        Args:
            call: the call.
            handled_until: the time (Unix seconds) until which all is handled.
        """
        value = call.value
        if call.action in ("renew", "leave") and not value and self.ahead is not None:
            value = str(round((handled_until + self.ahead) * 1000))
        args = call_arguments(self._fleet, self._me, self.settings, call.action, value)
        begun = time.time()
        async with asyncio.timeout(self._deadline):
            try:
                text = await self._client.execute_command("EVALSHA", DIGEST, *args)
            except NoScriptError:
                text = await self._client.execute_command("EVAL", SCRIPT, *args)
        reply = decode_reply(text)
        self.ahead = reply.now / 1000 - (begun + time.time()) / 2
        return reply

    async def publish(self, payload: bytes) -> None:
        """Publish ``payload`` on the control channel."""
        async with asyncio.timeout(self._deadline):
            await self._client.publish(control_channel(self._fleet), payload)

    async def count_subscribers(self, members: Iterable[Member]) -> dict[Member, int]:
        """Return how many are subscribed to the presence channel of each of ``members``."""
        channels = {presence_channel(self._fleet, member): member for member in members}
        reply = await self._ask("PUBSUB", "NUMSUB", *channels)
        pairs = reply.items() if isinstance(reply, dict) else zip(*[iter(reply)] * 2, strict=True)
        return {channels[_text(channel)]: int(count) for channel, count in pairs}

    async def fence(self, members: Iterable[Member]) -> None:
        """End all connections with which ``members`` consume, at all nodes; errors are logged."""
        names = {connection_name(self._fleet, member) for member in members}
        results = await asyncio.gather(
            *(self._end_connections(names, node) for node in self._nodes()), return_exceptions=True
        )
        for result in results:
            if isinstance(result, UNANSWERED):
                log.warning("fleet_not_fenced", fleet=self._fleet, error=repr(result))
            elif isinstance(result, BaseException):
                raise result
        ended = sum(result for result in results if isinstance(result, int))
        log.info("fleet_fenced", fleet=self._fleet, members=sorted(names), connections=ended)

    async def _end_connections(self, names: set[str], node: str | None) -> int:
        listed = _text(await self._ask("CLIENT", "LIST", node=node))
        found = [match for line in listed.splitlines() if (match := _CONNECTION.search(line))]
        ids = [match[1] for match in found if match[2] in names]
        for connection in ids:
            await self._ask("CLIENT", "KILL", "ID", connection, node=node)
        return len(ids)

    def _nodes(self) -> list[str | None]:
        if not self._is_cluster:
            return [None]
        return [n.id for n in self._client.connection_pool.topology.nodes.values() if not n.failing]

    async def _ask(self, *command: str, node: str | None = None) -> Any:
        async with asyncio.timeout(self._deadline):
            if not self._is_cluster:
                return await self._client.execute_command(*command)
            if node is None:
                node = self._record_node()
            return await self._client.execute_command(*command, node=node)

    def _record_node(self) -> str:
        slot = key_slot(control_channel(self._fleet).encode())
        primary = self._client.connection_pool.topology.primary_for(slot)
        if primary is None:
            raise ConnectionError(
                f"no node of the cluster serves the slot of fleet {self._fleet!r}"
            )
        found: str = primary.id
        return found


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
