"""A FastAPI service: typed events, a fan-out to websockets, the worker's health.

    REDIS_URL=redis://localhost uvicorn examples.fastapi_service:api --workers 2

Each process consumes every price, and sends it to the websockets that it serves: ws://.../prices.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import msgspec
from fastapi import FastAPI, WebSocket

from actors import Actor, Worker
from actors.redis.credentials import AbstractCredentialProvider, UserPass
from actors.worker.asgi import status_app


class Price(msgspec.Struct):
    name: str
    cents: int


class PasswordFile(AbstractCredentialProvider):
    """Reads the password anew for each connection, so that it may be rotated."""

    async def get_credentials(self) -> UserPass:
        path = os.environ.get("REDIS_PASSWORD_FILE")
        text = await asyncio.to_thread(Path(path).read_text) if path else ""
        return UserPass("default", text.strip())


worker: Worker[None] = Worker(
    os.environ.get("REDIS_URL", "redis://localhost:6379"),
    name="prices",
    credential_provider=PasswordFile(),
    fan_out=True,
)
latest: dict[str, int] = {}
websockets: set[asyncio.Queue[Price]] = set()


@worker.channel("prices")
async def on_price(price: Price) -> None:
    latest[price.name] = price.cents
    if (auditor := worker.system.lookup("auditor")) is not None:
        auditor.tell(price)
    for queue in websockets:
        if queue.full():
            queue.get_nowait()  # a slow websocket misses the oldest one, and holds up nobody
        queue.put_nowait(price)


@worker.actor(name="auditor")
class Auditor(Actor[Price]):
    """Crashes on a price that cannot be; six crashes within 30 s, and the worker gives up."""

    def receive(self, message: Price) -> None:
        if message.cents < 0:
            raise ValueError(f"{message.name} costs {message.cents} cents")


api = FastAPI(lifespan=worker.lifespan)
api.mount("/worker", status_app(worker))  # /worker/ready, /worker/live, /worker/metrics, ...


@api.get("/prices/{name}")
async def price_of(name: str) -> dict[str, int | None]:
    return {"cents": latest.get(name)}


@api.websocket("/prices")
async def prices(websocket: WebSocket) -> None:
    await websocket.accept()
    queue: asyncio.Queue[Price] = asyncio.Queue(maxsize=100)
    websockets.add(queue)
    sending = asyncio.create_task(send_all(websocket, queue))
    try:
        async for _ in websocket.iter_text():  # ends when the websocket does
            pass
    finally:
        sending.cancel()
        websockets.discard(queue)


async def send_all(websocket: WebSocket, queue: asyncio.Queue[Price]) -> None:
    while True:
        await websocket.send_json(msgspec.to_builtins(await queue.get()))
