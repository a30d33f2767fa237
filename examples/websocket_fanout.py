"""A fan-out to websockets with Starlette: ws://.../rooms/tea receives what room:tea publishes.

    REDIS_URL=redis://localhost uvicorn examples.websocket_fanout:api

What a browser may have missed is told to it: each gap is sent to the websockets of its rooms.
"""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict

from starlette.applications import Starlette
from starlette.routing import Mount, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from actors import Gap, PubSubMessage, Worker
from actors.worker.asgi import status_app

worker: Worker[None] = Worker(
    os.environ.get("REDIS_URL", "redis://localhost:6379"), name="rooms", fan_out=True
)
#: For each room what its websockets have still to send.
rooms: defaultdict[str, set[asyncio.Queue[str]]] = defaultdict(set)


def send_to(room: str, text: str) -> None:
    for queue in rooms.get(room, ()):
        if queue.full():
            queue.get_nowait()  # a slow websocket misses the oldest text, and holds up nobody
        queue.put_nowait(text)


def on_gap(gap: Gap) -> None:
    for room in rooms:
        send_to(room, f"* what was said in {gap.seconds:.1f} s may be missing here")


@worker.pattern("room:*", on_gap=on_gap)
def on_text(message: PubSubMessage) -> None:
    send_to(message["channel"].removeprefix("room:"), message["data"])


async def room(websocket: WebSocket) -> None:
    name: str = websocket.path_params["name"]
    await websocket.accept()
    queue: asyncio.Queue[str] = asyncio.Queue(maxsize=100)
    rooms[name].add(queue)
    sending = asyncio.create_task(send_all(websocket, queue))
    try:
        while True:  # notices the end also in a room where nothing is said
            await worker.client.publish(f"room:{name}", await websocket.receive_text())
    except WebSocketDisconnect:
        pass
    finally:
        sending.cancel()
        rooms[name].discard(queue)
        if not rooms[name]:
            del rooms[name]


async def send_all(websocket: WebSocket, queue: asyncio.Queue[str]) -> None:
    while True:
        await websocket.send_text(await queue.get())


api = Starlette(
    routes=[WebSocketRoute("/rooms/{name}", room), Mount("/worker", status_app(worker))],
    lifespan=worker.lifespan,
)
