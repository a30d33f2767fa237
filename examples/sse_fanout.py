"""Server-sent events with Starlette: GET /events streams what the channel ``news`` publishes.

    REDIS_URL=redis://localhost uvicorn examples.sse_fanout:api --timeout-graceful-shutdown 5

A stream has no end of its own: without that option, uvicorn waits for its clients when it stops.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Mount, Route

from actors import Gap, Worker
from actors.worker.asgi import status_app

worker: Worker[None] = Worker(
    os.environ.get("REDIS_URL", "redis://localhost:6379"), name="news", fan_out=True
)
streams: set[asyncio.Queue[str]] = set()


def send(event: str) -> None:
    for queue in streams:
        if queue.full():
            queue.get_nowait()  # a slow client misses the oldest event, and holds up nobody
        queue.put_nowait(event)


def on_gap(gap: Gap) -> None:
    send(f"event: gap\ndata: {gap.seconds:.1f}\n\n")


@worker.channel("news", on_gap=on_gap)
def on_news(text: str) -> None:
    lines = "".join(f"data: {line}\n" for line in text.splitlines())
    send(f"event: news\n{lines}\n")


async def events() -> AsyncIterator[str]:
    queue: asyncio.Queue[str] = asyncio.Queue(maxsize=100)
    streams.add(queue)
    try:
        yield ": the stream begins\n\n"
        while True:
            yield await queue.get()
    finally:
        streams.discard(queue)


async def stream(_: Request) -> StreamingResponse:
    return StreamingResponse(
        events(), media_type="text/event-stream", headers={"cache-control": "no-store"}
    )


api = Starlette(
    routes=[Route("/events", stream), Mount("/worker", status_app(worker))],
    lifespan=worker.lifespan,
)
