"""``mailslot fleet``: a fleet's view, its members, who owns what, and ``--drain``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from contextlib import AsyncExitStack
from typing import Any, Final

import msgspec

from actors.pubsub.api.base import BasePubSub
from actors.worker.fleet.calls import control_channel, record_keys
from actors.worker.fleet.record import FleetRecord, read_record
from actors.worker.fleet.reports import Ask, Drain, Report, decode_request, encode_request
from actors.worker.run.broker import Broker, connect
from actors.worker.run.exit_codes import ConnectFailedError, ExitCode, UsageError, one_sentence
from supervisor.log import printable

#: Seconds for the server's answer, for the members' reports, and for a member to leave.
_CONNECT: Final = 5.0
_PATIENCE: Final = 1.0
_LEAVE: Final = 30.0
#: Names of a member that are shown, unless all are asked for.
_SHOWN: Final = 8


class FleetLook(msgspec.Struct, frozen=True):
    """The options of ``mailslot fleet``."""

    url: str
    fleet: str
    cluster: bool = False
    drain: str | None = None  # the member to drain; None: none
    names: bool = False  # show all names
    watch: float | None = None  # seconds between two looks; None: one look


async def look_at_fleet(look: FleetLook) -> int:
    """Print what there is, or have a member leave; return the exit code."""
    broker = Broker(look.url, look.cluster)
    if problems := broker.problems():
        raise UsageError("; ".join(problems))
    async with AsyncExitStack() as stack:
        try:
            client = await connect(broker, _CONNECT)
        except Exception as error:
            raise ConnectFailedError(one_sentence(error)) from error
        stack.push_async_exit(client)
        pubsub = client.pubsub(ignore_subscribe_messages=True, channels=control_channel(look.fleet))
        await stack.enter_async_context(pubsub)
        if look.drain is not None:
            return await _drain(client, look, look.drain)
        while True:
            record = await _record(client, look.fleet)
            reports = await _reports(client, pubsub, look.fleet, record)
            _print(_lines(look, record, reports))
            if look.watch is None:
                return ExitCode.DRAINED
            await asyncio.sleep(look.watch)


async def _record(client: Any, fleet: str) -> FleetRecord:
    fields = await client.execute_command("HGETALL", record_keys(fleet)[0])
    pairs = (
        fields if isinstance(fields, dict) else dict(zip(fields[::2], fields[1::2], strict=True))
    )
    if not pairs:
        raise UsageError(f"the server has no record of a fleet {fleet!r}: no member runs")
    return read_record(pairs)


async def _reports(
    client: Any, pubsub: BasePubSub[Any], fleet: str, record: FleetRecord
) -> dict[str, Report]:
    """Ask all members for their reports, and return those that come in time."""
    await client.publish(control_channel(fleet), encode_request(Ask()))
    reports: dict[str, Report] = {}
    deadline = time.monotonic() + _PATIENCE
    waiting = {lease.member for lease in record.leases}
    while waiting - reports.keys() and (left := deadline - time.monotonic()) > 0:
        message = await pubsub.get_message(timeout=left)
        request = None if message is None else decode_request(message["data"])
        if isinstance(request, Report) and request.owns is not None:
            reports[request.member] = request
    return reports


def _lines(look: FleetLook, record: FleetRecord, reports: dict[str, Report]) -> Iterable[str]:
    view, now = record.committed, time.time()
    at = time.strftime("%H:%M:%S", time.localtime(view.number / 1000))
    changing = ", and changing" if record.is_changing else ""
    rate = sum(report.rate for report in reports.values())
    yield (
        f"fleet {look.fleet}: view {view.number} of {len(view.members)} members,"
        f" made at {at}{changing}; {rate:.0f} messages a second"
    )
    for lease in record.leases:
        state = "leaving" if lease.leaving else "member"
        if lease.member not in view.members:
            state = "leaving" if lease.leaving else "joining"
        line = f"  {lease.member}  {state}, lease of {max(0.0, lease.ends / 1000 - now):.1f} s"
        report = reports.get(lease.member)
        if report is None:
            yield f"{line}, no report"
            continue
        yield (
            f"{line}, owns {report.owned} of {report.names},"
            f" {report.rate:.0f} a second, {report.waiting} waiting"
        )
        owns = report.owns or ()
        shown = owns if look.names else owns[:_SHOWN]
        if shown:
            more = len(owns) - len(shown)
            yield f"    {', '.join(shown)}" + (f" and {more} more" if more else "")


async def _drain(client: Any, look: FleetLook, member: str) -> int:
    """Have a member own nothing any longer, and wait for that."""
    leases = (await _record(client, look.fleet)).leases
    found = [one.member for one in leases if member in (one.member, one.member.partition("/")[0])]
    if not found:
        known = ", ".join(lease.member for lease in leases)
        raise UsageError(f"fleet {look.fleet!r} has no member {member!r}; it has {known}")
    request = encode_request(Drain(found[0]))
    await client.publish(control_channel(look.fleet), request)
    deadline = time.monotonic() + _LEAVE
    while time.monotonic() < deadline:
        if found[0] not in (await _record(client, look.fleet)).committed.members:
            _print([f"{found[0]} owns nothing any longer; its process goes on until it is stopped"])
            return ExitCode.DRAINED
        await asyncio.sleep(0.1)
    _print([f"{found[0]} has not left within {_LEAVE:.0f} s"])
    return ExitCode.DEADLINE


def _print(lines: Iterable[str]) -> None:
    print("\n".join(map(printable, lines)), flush=True)  # noqa: T201 - this is its output
