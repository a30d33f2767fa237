"""The publisher: a process of its own, which shares no code with what it measures.

It reads a plan from standard input (a line of JSON), publishes until that is closed, and then
writes what became of each message (a line of JSON). Standard library only.

Each channel has one message on its way at most, so that its messages are accepted in their order.
A message is

- *accepted* when a server answered with an integer;
- *unknown* when it was sent and no answer came: the next number is next;
- published again, with the same number, when it was surely not accepted: it was not sent, or the
  answer was an error. MOVED and ASK are followed.

Some channels may be *strays*: every second of them is published at a replica, the others stay with
the node that they began with. Servers go on accepting that, also a primary that was demoted, and
pass such messages on over the cluster bus. A stray changes its node when that refuses or fails.

The messages of some channels are appended to a history, by the script in the plan
(docs/recovery.md): such a message is accepted when a server answered with its id.
"""

from __future__ import annotations

import binascii
import hashlib
import heapq
import json
import random
import select
import socket
import sys
import threading
import time
from collections import deque
from typing import Any

# Unbuffered: what select() says of the descriptor is all there is to know.
STDIN = open(0, "rb", buffering=0, closefd=False)  # noqa: SIM115 - it is the process's own

CONNECT_TIMEOUT = 0.25
REPLY_TIMEOUT = 0.5
# Seconds between two attempts to publish what was not accepted.
RETRY = 0.02
# Seconds between two looks at the cluster when all is well, and when something is not.
CALM, TROUBLED = 1.0, 0.1
# Seconds for which nothing is published at a replica that failed: one that was just started accepts
# messages before it can pass them on, and they are lost whatever a subscriber does.
RECOVERED = 3.0

Address = tuple[str, int]


def slot_of(name: bytes) -> int:
    """Return a channel's slot, as the cluster specification has it."""
    start = name.find(b"{")
    end = name.find(b"}", start + 1)
    if start >= 0 and end > start + 1:
        name = name[start + 1 : end]
    return binascii.crc_hqx(name, 0) % 16384


class Channel:
    """A channel, and the number of its next message."""

    def __init__(
        self, index: int, name: bytes, due: float, period: float, *, words: bool, history: bool
    ) -> None:
        self.index = index
        self.period = period
        self.history = history
        self.name = name
        self.slot = slot_of(name)
        self.number = 0
        self.due = due
        self.asked: Address | None = None
        self.words = words
        #: Whether it is a stray, and the node that it stays with.
        self.stray = False
        self.home: Address | None = None
        #: Whether the server that is asked next does not know the script.
        self.unknown_script = False

    def payload(self) -> bytes:
        """Return the next message: its number, or one of two words in irregular order."""
        if not self.words:
            return b"%d" % self.number
        return (b"tick", b"tock")[(self.number * 2654435761 >> 16) & 1]


def encode(*args: bytes) -> bytes:
    """Return a command as the protocol has it."""
    return b"*%d\r\n" % len(args) + b"".join(b"$%d\r\n%s\r\n" % (len(a), a) for a in args)


class Peer:
    """A connection to a node; ``script`` appends to histories."""

    def __init__(self, address: Address, script: bytes) -> None:
        self.address = address
        self._script = script
        self._digest = hashlib.sha1(script, usedforsecurity=False).hexdigest().encode()
        self.waiting: deque[tuple[Channel | None, float]] = deque()
        self._rest = b""
        self._socket = socket.create_connection(address, CONNECT_TIMEOUT)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)

    def fileno(self) -> int:
        """Return the socket's number, for ``select``."""
        return self._socket.fileno()

    def send(self, channel: Channel, asking: bool) -> None:
        """Publish the channel's next message; OSError when it cannot be sent."""
        now = time.time()
        data = channel.payload()
        name = channel.name
        if channel.history:
            how = (b"EVAL", self._script) if channel.unknown_script else (b"EVALSHA", self._digest)
            history = name + b":history"  # every name here has a hash tag
            command = encode(*how, b"1", history, name, b"SPUBLISH", data, b"100000")
            channel.unknown_script = False
        else:
            command = encode(b"SPUBLISH", name, data)
        if asking:
            command = b"*1\r\n$6\r\nASKING\r\n" + command
            self.waiting.append((None, now))
        self.waiting.append((channel, now))
        self._socket.send(command)

    def receive(self) -> list[tuple[Channel, float, str]]:
        """Return the answers that came; OSError when the connection has ended."""
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionResetError
        *lines, self._rest = (self._rest + data).split(b"\r\n")
        answers = []
        for line in lines:
            if line.startswith(b"$"):
                continue  # the length of an entry's id, which is on the next line
            channel, sent = self.waiting.popleft()
            if channel is not None:
                answers.append((channel, sent, line.decode()))
        return answers

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


class Map:
    """Who serves which slot, kept up to date by a thread."""

    def __init__(self, nodes: list[Address]) -> None:
        self.nodes = set(nodes)
        self.owners: dict[int, Address] = {}
        self.replicas: dict[Address, Address] = {}
        self.bad: dict[Address, float] = {}
        self.troubled = threading.Event()
        self.over = False
        self._changed = threading.Lock()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Learn who serves what, and go on doing so."""
        while not self.look():
            time.sleep(TROUBLED)
        self._thread.start()

    def owner(self, slot: int) -> Address | None:
        """Return where the slot is served, as far as is known."""
        return self.owners.get(slot)

    def replica(self, owner: Address) -> Address:
        """Return a replica of a primary; the primary itself where none is known to be well."""
        replica = self.replicas.get(owner, owner)
        return replica if time.time() - self.bad.get(replica, 0) > RECOVERED else owner

    def moved(self, slot: int, address: Address) -> None:
        """A node said where the slot is."""
        with self._changed:
            self.owners[slot] = address
        self.troubled.set()

    def failed(self, address: Address) -> None:
        """A node does not answer: ask others."""
        self.bad[address] = time.time()
        self.troubled.set()

    def _run(self) -> None:
        while not self.over:
            if self.troubled.wait(CALM):
                time.sleep(TROUBLED)
                self.troubled.clear()
            self.look()

    def look(self) -> bool:
        """Ask one node after another until one answers."""
        now = time.time()
        nodes = list(self.nodes)
        random.shuffle(nodes)
        nodes.sort(key=lambda node: now - self.bad.get(node, 0) < 2)
        for node in nodes:
            try:
                owners, replicas = ask_slots(node)
            except (OSError, ValueError):
                self.bad[node] = time.time()
                continue
            if owners:
                with self._changed:
                    self.owners.update(owners)
                    self.replicas = replicas
                    self.nodes.update(owners.values())
                return True
        return False


def ask_slots(node: Address) -> tuple[dict[int, Address], dict[Address, Address]]:
    """Return who serves which slot, and a replica of each primary, as ``node`` sees it."""
    with socket.create_connection(node, CONNECT_TIMEOUT) as connection:
        connection.settimeout(CONNECT_TIMEOUT)
        connection.sendall(b"*2\r\n$7\r\nCLUSTER\r\n$5\r\nNODES\r\n")
        file = connection.makefile("rb")
        head = file.readline()
        if not head.startswith(b"$"):
            raise ValueError(head)
        text = file.read(int(head[1:])).decode()
    owners: dict[int, Address] = {}
    addresses: dict[str, Address] = {}
    followers: dict[str, Address] = {}
    for line in text.splitlines():
        name, where, flags, primary, _, _, _, link, *runs = line.split()
        host, _, port = where.split("@")[0].rpartition(":")
        address = (host or node[0], int(port))
        addresses[name] = address
        if "master" not in flags.split(","):
            if link == "connected" and "fail" not in flags:
                followers[primary] = address
            continue
        for run in runs:
            if not run.startswith("["):
                start, _, end = run.partition("-")
                slots = range(int(start), int(end or start) + 1)
                owners.update(dict.fromkeys(slots, address))
    return owners, {addresses[name]: at for name, at in followers.items() if name in addresses}


class Publisher:
    """Publishes; see the module's docstring."""

    def __init__(
        self,
        nodes: list[Address],
        names: list[str],
        rate: float,
        *,
        words: int = 0,
        strays: int = 0,
        script: str = "",
        histories: int = 0,
        history_rate: float = 0.0,
    ) -> None:
        self.script = script.encode()
        self.map = Map(nodes)
        self.peers: dict[Address, Peer] = {}
        others = len(names) - histories
        period = others / rate
        begin = time.time() + 0.05
        self.channels = [
            Channel(
                i, name.encode(), begin + i / rate, period, words=i >= others - words, history=False
            )
            for i, name in enumerate(names[:others])
        ]
        for i, name in enumerate(names[others:], others):
            due, each = begin + (i - others) / history_rate, histories / history_rate
            self.channels.append(Channel(i, name.encode(), due, each, words=False, history=True))
        for channel in self.channels[:strays]:
            channel.stray = True
        self.queue = [(channel.due, channel.index) for channel in self.channels]
        #: (channel, number, sent at, answered at, port)
        self.accepted: list[tuple[int, int, float, float, int]] = []
        #: (channel, number, sent at)
        self.unknown: list[tuple[int, int, float]] = []
        self.errors: dict[str, int] = {}

    def run(self) -> None:
        """Publish until standard input is closed; then wait for the answers that are due."""
        self.map.start()
        heapq.heapify(self.queue)
        over = False
        checked = 0.0
        while not over or any(peer.waiting for peer in self.peers.values()):
            now = time.time()
            while not over and self.queue and self.queue[0][0] <= now:
                self.publish(self.channels[heapq.heappop(self.queue)[1]])
            pause = 0.01
            if self.queue and not over:
                pause = min(pause, max(0.0, self.queue[0][0] - time.time()))
            watched: list[Any] = list(self.peers.values())
            readable, _, _ = select.select([*watched, *([] if over else [0])], [], [], pause)
            for ready in readable:
                if isinstance(ready, Peer):
                    self.receive(ready)
                else:
                    over = not STDIN.read(1)
            now = time.time()
            if now - checked > REPLY_TIMEOUT / 10:
                checked = now
                for peer in list(self.peers.values()):
                    if peer.waiting and now - peer.waiting[0][1] > REPLY_TIMEOUT:
                        self.drop(peer, "timeout")
        self.map.over = True

    def publish(self, channel: Channel) -> None:
        owner = self.map.owner(channel.slot)
        if channel.stray and channel.home is None and owner is not None:
            channel.home = self.map.replica(owner) if channel.index % 2 else owner
        asking = channel.asked is not None and channel.asked != owner
        address, channel.asked = channel.asked or channel.home or owner, None
        peer = None if address is None else self.peer(address)
        if peer is None:
            channel.home = None
            self.again(channel)
            return
        try:
            peer.send(channel, asking)
        except OSError as error:
            self.drop(peer, type(error).__name__)

    def peer(self, address: Address) -> Peer | None:
        peer = self.peers.get(address)
        if peer is None:
            try:
                peer = self.peers[address] = Peer(address, self.script)
            except OSError as error:
                self.note(type(error).__name__)
                self.map.failed(address)
        return peer

    def again(self, channel: Channel, after: float = RETRY) -> None:
        heapq.heappush(self.queue, (time.time() + after, channel.index))

    def next(self, channel: Channel) -> None:
        channel.number += 1
        channel.due = max(channel.due + channel.period, time.time())
        heapq.heappush(self.queue, (channel.due, channel.index))

    def receive(self, peer: Peer) -> None:
        try:
            answers = peer.receive()
        except OSError as error:
            self.drop(peer, type(error).__name__)
            return
        now = time.time()
        for channel, sent, answer in answers:
            if answer[0] not in "-+":
                port = peer.address[1]
                self.accepted.append((channel.index, channel.number, sent, now, port))
                self.next(channel)
            else:
                self.refused(channel, peer, answer)

    def refused(self, channel: Channel, peer: Peer, answer: str) -> None:
        word, *rest = answer.split()
        self.note(word)
        channel.home = None
        if word == "-NOSCRIPT":
            channel.unknown_script = True
            self.again(channel, 0.001)
        elif word in ("-MOVED", "-ASK"):
            host, _, port = rest[1].rpartition(":")
            address = (host or peer.address[0], int(port))
            if word == "-MOVED":
                self.map.moved(int(rest[0]), address)
            else:
                channel.asked = address
            self.again(channel, 0.001)
        else:
            self.map.troubled.set()
            self.again(channel)

    def drop(self, peer: Peer, why: str) -> None:
        self.note(why)
        self.map.failed(peer.address)
        peer.close()
        self.peers.pop(peer.address, None)
        for channel, sent in peer.waiting:
            if channel is not None:
                channel.home = None
                self.unknown.append((channel.index, channel.number, sent))
                self.next(channel)
        peer.waiting.clear()

    def note(self, error: str) -> None:
        self.errors[error] = self.errors.get(error, 0) + 1


def main() -> None:
    plan = json.loads(STDIN.readline())
    nodes = [(host, port) for host, port in plan["nodes"]]
    publisher = Publisher(
        nodes,
        plan["channels"],
        plan["rate"],
        words=plan["words"],
        strays=plan["strays"],
        script=plan["script"],
        histories=plan["histories"],
        history_rate=plan["history_rate"],
    )
    publisher.run()
    report = {
        "accepted": publisher.accepted,
        "unknown": publisher.unknown,
        "errors": publisher.errors,
    }
    sys.stdout.write(json.dumps(report))


if __name__ == "__main__":
    main()
