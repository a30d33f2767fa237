"""What nodes say, parsed and compared: by tables, and against a node that gets known commands."""

from __future__ import annotations

import pytest

from tests.footprint.consumer import Sample
from tests.footprint.figures import figures
from tests.footprint.readings import (
    Client,
    Cost,
    Reading,
    consumers,
    cost,
    parse_clients,
    parse_commands,
)
from tests.footprint.rows import Row

STATS = """# Commandstats\r
cmdstat_info:calls=2,usec=60,usec_per_call=30.00,rejected_calls=0,failed_calls=0\r
cmdstat_ssubscribe:calls=3,usec=9,usec_per_call=3.00,rejected_calls=2,failed_calls=1\r
cmdstat_cluster|nodes:calls=7,usec=9,usec_per_call=1.28,rejected_calls=0,failed_calls=0\r
"""
CLIENTS = (
    "id=4 addr=127.0.0.1:58480 laddr=127.0.0.1:50475 name= flags=S sub=0 ssub=0 "
    "user=default lib-name= tot-net-in=394 tot-net-out=41 tot-cmds=8\n"
    "id=9 addr=127.0.0.1:58484 laddr=127.0.0.1:50475 name=a=b flags=P sub=0 ssub=20 "
    "user=default lib-name= tot-net-in=700 tot-net-out=900 tot-cmds=21\n"
)


def reading(clients: list[Client], **commands: int) -> Reading:
    """Return a reading; ``__`` in a name stands for the bar before a subcommand."""
    named = {name.replace("__", "|"): count for name, count in commands.items()}
    return Reading(named, {client.id: client for client in clients})


def test_commands_are_counted_by_name_with_those_that_were_refused():
    assert parse_commands(STATS) == {"info": 2, "ssubscribe": 5, "cluster|nodes": 7}
    assert parse_commands("# Commandstats\r\n") == {}


def test_clients_are_known_by_their_id():
    assert parse_clients(CLIENTS) == {
        4: Client(4, "S", 0, 8, 394, 41),
        9: Client(9, "P", 20, 21, 700, 900),
    }
    assert parse_clients("") == {}


@pytest.mark.parametrize(
    ("flags", "others", "is_consumer"),
    [
        ("N", [], True),
        ("P", [], True),
        ("N", [7], False),
        ("S", [], False),
        ("M", [], False),
        ("xM", [], False),
    ],
)
def test_links_of_replicas_and_other_clients_are_not_the_consumers(flags, others, is_consumer):
    client = Client(7, flags, 0, 0, 0, 0)
    assert consumers({7: client}, others) == ([client] if is_consumer else [])


def test_what_harness_publisher_and_replicas_send_is_not_the_consumers():
    before = reading([], info=1, client__list=0, spublish=10, replconf=3, ping=5)
    after = reading([], info=2, client__list=1, spublish=40, replconf=8, ping=5)
    found = cost(before, after, others=[])
    assert found.commands == {}
    assert found.published == 30


def test_a_consumer_that_asks_what_the_harness_asks_is_counted():
    before = reading([], info=1, client__list=1)
    after = reading([], info=5, client__list=2, cluster__nodes=2)
    assert cost(before, after, others=[]).commands == {"info": 3, "cluster|nodes": 2}


def test_bytes_are_those_of_the_consumers_connections_new_ones_included():
    before = reading([Client(1, "N", 0, 5, 100, 1000), Client(2, "P", 20, 5, 10, 20)])
    after = reading(
        [
            Client(1, "N", 0, 9, 900, 9000),
            Client(2, "P", 20, 6, 15, 220),
            Client(3, "N", 0, 1, 7, 70),
        ]
    )
    found = cost(before, after, others=[1])
    assert (found.bytes_in, found.bytes_out) == (12, 270)
    assert (found.connections, found.channels) == (2, 20)


def test_figures_are_rates_and_each_process_is_timed_by_its_own_clock():
    row = Row("mailslot", nodes=2, channels=20, rate=10)
    costs = [
        Cost({"ping": 4, "cluster|nodes": 1}, 40, 800, 4000, 2, 20),
        Cost({"ping": 8}, 0, 200, 0, 1, 0),
    ]
    found = figures(row, costs, Sample(1.0, 100.0, 5), Sample(1.02, 105.0, 55), seconds=4.0)
    assert [(node.primary, node.rate) for node in found.nodes] == [(True, 1.25), (False, 2.0)]
    assert found.commands == {"ping": 3.0, "cluster|nodes": 0.25}
    assert (found.rate, found.connections) == (3.25, 3)
    assert (found.bytes_in, found.bytes_out) == (250.0, 1000.0)
    assert (found.published, found.received) == (10.0, 10.0)
    assert found.cpu_ms == pytest.approx(4.0)
