"""What the members run: each message is counted at the server."""

from actors import PubSubMessage
from actors.worker import Worker

CHANNELS = [f"numbers.{index}" for index in range(12)]
HANDLED = "handled"

app = Worker(fleet="shop", fleet_ttl=1.0, drain_timeout=5.0)


@app.channels(CHANNELS)
async def on_number(message: PubSubMessage) -> None:
    entry = f"{message['channel']}:{int(message['data'])}"
    await app.client.execute_command("HINCRBY", HANDLED, entry, 1)


@app.channel("end")
async def on_end(message: PubSubMessage) -> None:
    raise SystemExit(3)


refused = Worker(fleet="refused", start_timeout=1.0)
refused.channel("numbers")(on_number)


@refused.on_startup
async def refuse() -> None:
    raise ValueError("no shop today")
