"""What a node says of its commands and clients, and what one consumer added between two readings.

Pure: text in, figures out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Final

import msgspec

__all__ = ["Client", "Cost", "Reading", "consumers", "cost", "parse_clients", "parse_commands"]

#: Sent by the publisher, and by replicas to acknowledge what they were sent.
_NOT_THE_CONSUMERS: Final = frozenset({"spublish", "replconf"})
#: What one reading costs the node itself; it shows in the next reading.
_A_READING: Final = {"info": 1, "client|list": 1}


class Client(msgspec.Struct, frozen=True):
    """A line of CLIENT LIST.

    Attributes:
        id: the connection's.
        flags: M and S are links between a primary and its replica.
        channels: shard channels that it has subscribed to.
        commands: how many it has sent.
        bytes_in: read from it.
        bytes_out: written to it.
    """

    id: int
    flags: str
    channels: int
    commands: int
    bytes_in: int
    bytes_out: int


class Reading(msgspec.Struct, frozen=True):
    """What one node has counted since it started.

    Attributes:
        commands: calls by name.
        clients: by the id of the connection.
    """

    commands: dict[str, int]
    clients: dict[int, Client]


class Cost(msgspec.Struct, frozen=True):
    """What a consumer cost one node between two readings.

    Attributes:
        commands: calls by name.
        published: messages that the publisher sent to the node meanwhile.
        bytes_in: that the node read from it.
        bytes_out: that the node wrote to it.
        connections: that it has at the end.
        channels: shard channels that it has subscribed to at the end.
    """

    commands: dict[str, int]
    published: int
    bytes_in: int
    bytes_out: int
    connections: int
    channels: int


def parse_commands(text: str) -> dict[str, int]:
    """Return the calls by name of ``INFO commandstats``, those that were refused included."""
    commands = {}
    for line in text.splitlines():
        name, colon, values = line.removeprefix("cmdstat_").partition(":")
        if colon and line.startswith("cmdstat_"):
            fields = dict(value.split("=") for value in values.split(","))
            commands[name] = int(fields["calls"]) + int(fields.get("rejected_calls", 0))
    return commands


def parse_clients(text: str) -> dict[int, Client]:
    """Return the connections of ``CLIENT LIST`` by id."""
    clients = {}
    for line in text.splitlines():
        fields = dict(field.partition("=")[::2] for field in line.split(" "))
        clients[int(fields["id"])] = Client(
            id=int(fields["id"]),
            flags=fields["flags"],
            channels=int(fields["ssub"]),
            commands=int(fields["tot-cmds"]),
            bytes_in=int(fields["tot-net-in"]),
            bytes_out=int(fields["tot-net-out"]),
        )
    return clients


def cost(before: Reading, after: Reading, others: Collection[int]) -> Cost:
    """Return what the consumer cost the node between two readings.

    Args:
        before: the first reading.
        after: the second one.
        others: connections that are not the consumer's.
    """
    counted = Counter(after.commands)
    counted.subtract(before.commands)
    counted.subtract(_A_READING)
    commands = {
        name: count
        for name, count in counted.items()
        if count > 0 and name not in _NOT_THE_CONSUMERS
    }
    mine = consumers(after.clients, others)
    at_first = {one.id: before.clients.get(one.id) for one in mine}
    return Cost(
        commands=commands,
        published=counted["spublish"],
        bytes_in=sum(one.bytes_in - _of(at_first[one.id]).bytes_in for one in mine),
        bytes_out=sum(one.bytes_out - _of(at_first[one.id]).bytes_out for one in mine),
        connections=len(mine),
        channels=sum(one.channels for one in mine),
    )


def consumers(clients: Mapping[int, Client], others: Collection[int]) -> list[Client]:
    """Return the connections that are the consumer's."""
    return [
        client
        for client in clients.values()
        if client.id not in others and not {"M", "S"} & {*client.flags}
    ]


_NEW = Client(id=0, flags="N", channels=0, commands=0, bytes_in=0, bytes_out=0)


def _of(client: Client | None) -> Client:
    return client or _NEW
