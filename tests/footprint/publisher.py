"""The publisher's process: ``python -m tests.footprint.publisher PLAN``, until it is killed.

It sends SPUBLISH and nothing else: the nodes count how many. Messages are spread evenly over time
and go to one channel after another.
"""

from __future__ import annotations

import select
import socket
import sys
import time

import msgspec

from tests.benchmarks.load import pack
from tests.footprint.jobs import channel_names

__all__ = ["Plan"]

_PAYLOAD = b"x" * 64
# Seconds between two looks at the clock at least, so that a fast publisher leaves the processor
# to the consumer: a thousand wake-ups a second.
_TICK = 0.001


class Plan(msgspec.Struct, frozen=True):
    """What to publish.

    Attributes:
        rate: messages a second, over all channels.
        channels: how many.
        nodes: host and port of each primary.
        owners: for each channel the index of its primary in ``nodes``.
    """

    rate: int
    channels: int
    nodes: list[tuple[str, int]]
    owners: list[int]


def main(text: str) -> None:
    """Publish."""
    plan = msgspec.json.decode(text, type=Plan)
    peers = [socket.create_connection(node) for node in plan.nodes]
    for peer in peers:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    commands = [
        (peers[owner], pack(b"SPUBLISH", name.encode(), _PAYLOAD))
        for name, owner in zip(channel_names(plan.channels), plan.owners, strict=True)
    ]
    begun, sent = time.monotonic(), 0
    while True:
        due = int((time.monotonic() - begun) * plan.rate)
        for number in range(sent, due):
            peer, command = commands[number % len(commands)]
            peer.sendall(command)
        sent = due
        for peer in select.select(peers, (), (), 0)[0]:
            if not peer.recv(1 << 16):
                return  # the node has ended
        next_due = begun + (sent + 1) / plan.rate
        time.sleep(max(_TICK, next_due - time.monotonic()))


if __name__ == "__main__":
    main(sys.argv[1])
