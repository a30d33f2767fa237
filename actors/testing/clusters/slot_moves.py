"""Moves slots between primaries, by CLUSTER SETSLOT or by CLUSTER MIGRATESLOTS.

CLUSTER SETSLOT works slot by slot: the target imports, the source migrates, MIGRATE moves the keys,
and each node is told the new owner. CLUSTER MIGRATESLOTS (Valkey 9) moves ranges in one step.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

from actors.redis.topology.slots import slot_ranges
from actors.testing.clusters.node import ClusterNode, wait_until
from actors.testing.servers.binary import ServerBinary

_KEYS_AT_ONCE = 500
_MIGRATE_TIMEOUT_MS = 5000
#: The pause between two looks at the migrations, in multiples of the time that a look took.
_PAUSE = 10


async def move_slots(
    slots: Iterable[int],
    source: ClusterNode,
    target: ClusterNode,
    others: Sequence[ClusterNode],
    *,
    batch: int,
) -> None:
    """Move slots and their keys, ``batch`` slots at a time."""
    rest = iter(sorted(set(slots)))
    while part := list(islice(rest, batch)):
        await begin_moves(part, source, target)
        await finish_moves(part, source, target, others)


async def begin_moves(slots: Sequence[int], source: ClusterNode, target: ClusterNode) -> None:
    """Set the slots to IMPORTING and MIGRATING; the source serves them as before."""
    await _run(target, [("CLUSTER", "SETSLOT", s, "IMPORTING", source.id) for s in slots])
    await _run(source, [("CLUSTER", "SETSLOT", s, "MIGRATING", target.id) for s in slots])


async def finish_moves(
    slots: Sequence[int],
    source: ClusterNode,
    target: ClusterNode,
    others: Sequence[ClusterNode],
) -> None:
    """Move the keys, then tell the new owner to the target, the source and the other primaries."""
    while found := await _keys_of(source, slots):
        for keys in found:
            to = (target.host, target.port, "", 0, _MIGRATE_TIMEOUT_MS)
            await source.execute(
                "MIGRATE", *to, "REPLACE", "KEYS", *keys, timeout=2 * _MIGRATE_TIMEOUT_MS / 1000
            )
    commands: list[tuple[Any, ...]] = [("CLUSTER", "SETSLOT", s, "NODE", target.id) for s in slots]
    await _run(target, commands)
    # Error replies are ignored: these nodes learn of the new owner by gossip, too. A source that
    # became a replica with its last slot refuses the command, and so does a node whose replica
    # moves to another primary.
    for other in (source, *others):
        await other.execute_all(commands)


async def repair_owner(
    slots: Sequence[int], owner: ClusterNode, others: Sequence[ClusterNode]
) -> None:
    """Make ``owner`` the owner of the slots for every node, as ``redis-cli --cluster fix`` does.

    After moves in quick succession two nodes may each name the other one as the owner, for ever:
    both claims have config epochs that the other node does not accept.
    """
    for node in (owner, *others):
        await node.execute_all([("CLUSTER", "SETSLOT", slot, "STABLE") for slot in slots])
    assign: list[tuple[Any, ...]] = [("CLUSTER", "SETSLOT", s, "NODE", owner.id) for s in slots]
    # Error replies are ignored, as above: who looks at the cluster next sees what came of it.
    await owner.execute_all([*assign, ("CLUSTER", "BUMPEPOCH")])
    for node in others:
        await node.execute_all(assign)


async def _keys_of(node: ClusterNode, slots: Sequence[int]) -> list[list[bytes]]:
    """Return keys of each slot that has any, asked for in one round trip."""
    replies = await node.execute_all(
        [("CLUSTER", "GETKEYSINSLOT", s, _KEYS_AT_ONCE) for s in slots]
    )
    for reply in replies:
        if isinstance(reply, BaseException):
            raise reply
    return [keys for keys in replies if keys]


async def _run(node: ClusterNode, commands: list[tuple[Any, ...]]) -> None:
    """Run commands in one round trip; repeat those that fail with NOREPLICAS."""
    left = commands

    async def done() -> bool:
        nonlocal left
        replies = await node.execute_all(left)
        asked, left = left, []
        for command, reply in zip(asked, replies, strict=True):
            if isinstance(reply, BaseException):
                if "NOREPLICAS" not in str(reply):
                    words = " ".join(map(str, command))
                    raise RuntimeError(f"{words} on {node!r}: {reply}") from reply
                left.append(command)
        assert not left, f"NOREPLICAS for {len(left)} slots"
        return True

    await wait_until(done, f"{len(commands)} slots are assigned at {node!r}", 10.0)


def can_migrate_atomically(binary: ServerBinary) -> bool:
    """Whether the server has CLUSTER MIGRATESLOTS: Valkey from 9.0 on."""
    return binary.flavour == "valkey" and binary.version >= (9, 0, 0)


async def migrate_atomically(
    slots: Iterable[int], source: ClusterNode, target: ClusterNode, timeout: float
) -> None:
    """Move slots by CLUSTER MIGRATESLOTS; RuntimeError on servers without that command."""
    if not can_migrate_atomically(source.binary):
        raise RuntimeError(f"{source.binary} has no CLUSTER MIGRATESLOTS: that needs Valkey 9")
    before = await _migrations(source)
    bounds = [bound for run in slot_ranges(slots) for bound in run]
    await source.execute(
        "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", *bounds, "NODE", target.id, timeout=timeout
    )

    loop = asyncio.get_running_loop()

    async def done() -> bool:
        asked = loop.time()
        jobs = {k: v for k, v in (await _migrations(source)).items() if k not in before}
        failed = [job for job in jobs.values() if job["state"] in ("failed", "cancelled")]
        if failed:
            raise RuntimeError(f"the migration from {source!r} to {target!r} ended: {failed}")
        if jobs and all(job["state"] == "success" for job in jobs.values()):
            return True
        # The reply lists all earlier migrations, too, and may be long to parse. The pause leaves
        # most of the time to the other tasks of this loop.
        await asyncio.sleep(_PAUSE * (loop.time() - asked))
        return False

    await wait_until(done, f"slots of {source!r} migrated to {target!r}", timeout)


async def _migrations(node: ClusterNode) -> dict[str, dict[str, str]]:
    """Return the jobs of CLUSTER GETSLOTMIGRATIONS by name."""
    jobs: dict[str, dict[str, str]] = {}
    for reply in await node.execute("CLUSTER", "GETSLOTMIGRATIONS"):
        pairs = (
            reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True)
        )
        job = {_text(key): _text(value) for key, value in pairs}
        jobs[job["name"]] = job
    return jobs


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
