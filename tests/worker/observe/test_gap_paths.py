"""A gap names the handler that it was reported to, also where that handles many names."""

from __future__ import annotations

from actors import PubSubMessage, Recover
from tests.pubsub.helpers import numsub
from tests.servers import AnyServer, ask
from tests.support import eventually
from tests.worker.helpers import make_worker


async def test_gaps_of_channels_groups_and_patterns_have_the_path_of_their_handler(
    server: AnyServer,
):
    app = make_worker(server)

    @app.channels(["rates/eur", "rates/usd"])
    async def on_rate(message: PubSubMessage) -> None: ...

    @app.pattern("audit.*")
    async def on_audit(message: PubSubMessage) -> None: ...

    @app.channel("orders")
    async def on_order(message: PubSubMessage) -> None: ...

    @app.channel("kept", recover=Recover())
    async def on_kept(message: PubSubMessage) -> None: ...

    async with app:
        await eventually(lambda: numsub(server, "orders") == 1)
        ask(server, "CLIENT", "KILL", "TYPE", "pubsub")
        await eventually(lambda: len(app.snapshot().recent_gaps) >= 4)
        snapshot = app.snapshot()
    paths = {handler.name.rpartition(".")[2]: handler.path for handler in snapshot.handlers}
    assert {gap.name: gap.path for gap in snapshot.recent_gaps} == {
        "rates/eur": paths["on_rate"],
        "rates/usd": paths["on_rate"],
        "audit.*": paths["*"],
        "orders": paths["orders"],
    }
