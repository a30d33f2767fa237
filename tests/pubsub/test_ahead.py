"""How much is sent ahead of the moment in which a server takes it (P6), and for how long."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from actors.pubsub.cluster.ahead import Ahead
from actors.pubsub.model.types import Kind


class Server:
    """One connection's end: it answers a WAIT after so many seconds, one after the other."""

    def __init__(self, lasts: float) -> None:
        self.lasts = lasts
        self.time = 100.0
        self.sent: list[tuple[Any, ...]] = []
        self.tried: list[list[bytes]] = []
        self._waits: list[Any] = []
        self.connection = SimpleNamespace(usable=True, last_read=self.time)
        self.ahead = Ahead(self)  # type: ignore[arg-type]

    def put_query(self, command: tuple[Any, ...], heard: Any) -> None:
        self.sent.append(command)
        self._waits.append(heard)

    def put_try(self, kind: Kind, names: list[bytes]) -> None:
        assert kind is Kind.SHARD
        self.tried.append(names)

    def send(self) -> None:
        pass

    def top_up(self, sharers: int = 1) -> int:
        """Return how many WAITs were sent."""
        before = len(self.sent)
        self.ahead.top_up([[b"a", b"{a}"], [b"b"]], sharers, self.time)
        return len(self.sent) - before

    def answer(self, reply: Any = 0) -> None:
        self.time += self.lasts
        self.connection.last_read = self.time
        self._waits.pop(0)(reply)


def test_p6_each_try_has_all_channels_and_waits_for_the_one_before():
    server = Server(0.004)
    count = server.top_up()
    assert count >= 2
    assert server.sent == [("WAIT", 1_000_000, 1)] * count
    assert server.tried == [[b"a", b"{a}"], [b"b"]] * count
    assert server.top_up() == 0, "as much as is to be waits there"
    server.answer()
    assert server.top_up() == 1


def test_p6_where_messages_flow_fifty_milliseconds_are_covered():
    server = Server(0.005)
    for _ in range(50):
        server.top_up()
        server.answer()
    assert 9 <= server.ahead.waiting + server.top_up() <= 11


def test_p6_where_nothing_happens_other_commands_do_not_wait_long():
    server = Server(0.1)
    for _ in range(20):
        server.top_up()
        server.answer()
    server.top_up()
    assert server.ahead.waiting == 2


def test_the_more_do_the_same_the_longer_is_each_wait():
    server = Server(0.2)
    server.top_up(sharers=100)
    assert server.sent[0] == ("WAIT", 1_000_000, 10)


def test_where_the_server_does_not_let_us_nothing_more_is_sent():
    server = Server(0.004)
    server.top_up()
    server.answer(PermissionError("NOPERM"))
    assert server.ahead.refused
    assert server.top_up() == 0


def test_a_connection_that_ended_is_not_written_to():
    server = Server(0.004)
    server.connection.usable = False
    assert server.top_up() == 0
