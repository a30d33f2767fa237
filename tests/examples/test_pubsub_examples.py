"""Examples of Pub/Sub as a user meets them: as processes, by their output."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from actors.testing import EmbeddedServer

ROOT = Path(__file__).parents[2]


def run(module: str, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", module, *args],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("own", [False, True], ids=["embedded", "url"])
def test_quickstart_runs_the_reference_programs(own: bool):
    if own:
        with EmbeddedServer() as server:
            done = run("examples.quickstart", server.url)
    else:
        done = run("examples.quickstart")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        *(line for n in range(3) for line in (f"first hello {n}", f"second world {n}")),
        *(f"hello {n}" for n in range(3)),
    ]


def test_quickstart_is_the_text_of_the_api():
    """Whoever changes the import, and nothing else, has these programs."""
    source = (
        (ROOT / "examples" / "quickstart.py").read_text().replace("  # type: ignore[index]", "")
    )
    for program in (
        """
        async with client.pubsub(
            ignore_subscribe_messages=True, channels=["channel-1", "channel-2"]
        ) as pubsub:
            async for message in pubsub:
                match message["channel"]:
                    case "channel-1":
                        print("first", message["data"])
                    case "channel-2":
                        print("second", message["data"])
        """,
        """
        async with client.pubsub() as pubsub:
            await pubsub.subscribe("channel-1")
            assert (await pubsub.get_message())["channel"] == "channel-1"
            async for message in pubsub:
                print(message["data"])
        """,
    ):
        assert program.strip() in source


def test_background_consumer_goes_on_after_a_lost_connection():
    done = run("examples.background_consumer")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "tea costs 3"
    assert lines[1].startswith("gap of ")
    assert lines[2] == "tea costs 4 after a lost connection"
    assert "app (supervisor) running" in lines


def test_an_example_without_a_server_ends_with_an_error():
    done = run("examples.quickstart", "redis://127.0.0.1:1")
    assert done.returncode != 0
    assert "127.0.0.1:1" in done.stderr


def test_batches_store_what_can_be_stored():
    done = run("examples.batches")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "sensor.7: -300.0 degrees: nothing is so cold",
        "3000 readings in fewer calls than messages: True",
    ]


def test_keyspace_events_of_all_primaries():
    done = run("examples.keyspace_events")
    assert (done.returncode, done.stderr) == (0, "")
    cities = ("Accra", "Bergen", "Cusco", "Dakar", "Essen", "Fes")
    assert done.stdout.splitlines() == [
        "subscribed on 3 primaries",
        *(f"city:{city} was set" for city in cities),
    ]


@pytest.mark.parametrize("own", [False, True], ids=["embedded", "url"])
def test_publish_many_reaches_its_subscriber(own: bool):
    if own:
        with EmbeddedServer() as server:
            done = run("examples.publish_many", server.url)
    else:
        done = run("examples.publish_many")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "one message, receivers: 1",
        "a thousand tasks, receivers: 1000",
        "publish_many, receivers: 2000",
        "pipeline: 1 (1, 1, 1)",
        "received: 3002",
    ]


@pytest.mark.parametrize("own", [False, True], ids=["embedded", "url"])
def test_payloads_are_decoded_or_refused(own: bool):
    if own:
        with EmbeddedServer() as server:
            done = run("examples.payloads", server.url.replace("redis://", "valkey://"))
    else:
        done = run("examples.payloads")
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == [
        "cellar: 12.5 degrees",
        "line: ['a', 'b', 'c']",
        "order 1: 1 x tea",
        "order 2: 3 x cake",
        'refused: {"id":3,"item":"cake","count":0}',
    ]


def test_r1_history_keeps_what_was_published():
    done = run("examples.history")
    assert (done.returncode, done.stderr) == (0, "")
    *lines, refused = done.stdout.splitlines()
    assert lines == [
        "nobody listens; number 1",
        "received: order 2",
        "publish_many; numbers [3, 4, 5]",
        f"the history: {[f'order {n}' for n in range(1, 7)]}",
    ]
    assert refused.startswith("refused: channel 'a}b' cannot have a history")


def test_r2_recovery_delivers_what_was_missed():
    done = run("examples.recovery")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "connection lost: ['order 1', 'order 2']",
        "a late joiner: order 1 is number 1",
        "and goes on: ['order 2', 'order 3']",
        "orders has lost 4 and recovered 2",
        "came too late: ['order 6', 'order 7']",
    ]
