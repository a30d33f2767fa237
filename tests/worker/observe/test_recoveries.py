"""What a worker shows of its recovering channels: snapshot, metrics, tree, top."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from actors import Recover, Redis
from actors.worker.cli.top_state import Look, View
from actors.worker.cli.top_view import rendered
from actors.worker.http.endpoints import Stats
from actors.worker.observe.health import Verdict
from actors.worker.observe.metrics import render
from actors.worker.observe.snapshot import RecoveryState
from tests.pubsub.helpers import kill_subscribers
from tests.pubsub.recovery.helpers import publish
from tests.support import eventually
from tests.worker.helpers import make_worker
from tests.worker.observe.test_health import HEALTHY, worker

STATE = RecoveryState(
    pubsub="pubsub-1",
    channels=60,
    behind=2,
    behind_seconds=1.25,
    held=7,
    recovered=500,
    resumed=40,
    lost=3,
    unknown=1,
    reads=12,
    seconds=2.5,
)


async def test_a_worker_shows_its_recovering_channels(server: Any):
    app = make_worker(server, probe_interval=None)
    got: list[Any] = []

    @app.channel("orders", recover=Recover(resume="shop"))
    async def orders(message: Any) -> None:
        got.append(message["data"])

    @app.channel("news")
    async def news(message: Any) -> None: ...

    def handler(name: str) -> Any:
        return next(node for node in app.tree().walk() if node.id == name)

    async with app, Redis.from_url(server.url, decode_responses=True) as client:
        await eventually(lambda: app.snapshot().recoveries[0].reads >= 2)
        await publish(client, "orders", 1)
        await eventually(lambda: len(got) == 1)
        kill_subscribers(server)
        [*_, last] = await publish(client, "orders", 2, 3)
        await eventually(lambda: len(got) == 3)
        await eventually(lambda: app.snapshot().recoveries[0].behind == 0, 10)
        await eventually(lambda: handler("orders").detail["position"] == last)
        assert handler("orders").detail["recovery"] == "live"
        assert "recovery" not in handler("news").detail
        histories = handler("mailslot:histories").detail
        assert (histories["channels"], histories["behind"]) == (1, 0)
        snapshot = app.snapshot()
        [state] = snapshot.recoveries
        assert (state.channels, state.recovered, state.lost, state.unknown) == (1, 2, 0, 0)
        assert [one.name for one in snapshot.handlers] == ["orders", "news"]
        body = render(app.worker_snapshot())[0].decode()
        labels = f'{{process="0",pubsub="{state.pubsub}"}}'
        assert f"mailslot_recovered_total{labels} 2.0" in body
        assert f"mailslot_recovery_behind_channels{labels} 0.0" in body
        assert "news" not in [line for line in body.splitlines() if "recover" in line]


@pytest.mark.parametrize(
    "line",
    [
        "mailslot_recovered_total{L} 500.0",
        "mailslot_resumed_total{L} 40.0",
        "mailslot_recovery_lost_total{L} 3.0",
        "mailslot_recovery_unknown_total{L} 1.0",
        "mailslot_history_reads_total{L} 12.0",
        "mailslot_recovery_seconds_total{L} 2.5",
        "mailslot_recovering_channels{L} 60.0",
        "mailslot_recovery_behind_channels{L} 2.0",
        "mailslot_recovery_behind_seconds{L} 1.25",
        "mailslot_recovery_held_messages{L} 7.0",
    ],
)
def test_metrics(line: str):
    shown = worker(msgspec.structs.replace(HEALTHY, recoveries=(STATE,)))
    body = render(shown)[0].decode().splitlines()
    assert line.replace("{L}", '{process="0",pubsub="pubsub-1"}') in body


def test_a_worker_without_recovery_has_no_such_metrics():
    body = render(worker(HEALTHY))[0].decode().splitlines()
    assert not [line for line in body if "recover" in line and not line.startswith("#")]


def test_top_shows_recovery_where_there_is_some():
    from rich.console import Console

    def head(*recoveries: RecoveryState) -> str:
        snapshot = msgspec.structs.replace(HEALTHY, recoveries=recoveries)
        look = Look.of(Stats(Verdict(True), Verdict(True), worker(snapshot)), None)
        console = Console(width=200)
        with console.capture() as capture:
            console.print(rendered(look, View(), height=30, problem=""))
        return capture.get().splitlines()[0]

    assert "recovered" not in head()
    assert "recovered 1000  lost 6  unknown 2  behind 4" in head(STATE, STATE)
