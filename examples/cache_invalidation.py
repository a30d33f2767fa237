"""A cache in each web process: whoever changes a key publishes it on the channel ``changed``.

    REDIS_URL=redis://localhost uvicorn examples.cache_invalidation:api --workers 2

A message that is missed would leave an old value for ever: so a gap empties the cache.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from actors import Gap, Worker
from actors.worker.asgi import status_app

worker: Worker[None] = Worker(
    os.environ.get("REDIS_URL", "redis://localhost:6379"), name="cache", fan_out=True
)


class Cache:
    """Values of this process; ``changes`` counts everything that made values old."""

    def __init__(self) -> None:
        self.values: dict[str, str | None] = {}
        self.changes = 0

    def forget(self, key: str) -> None:
        self.changes += 1
        self.values.pop(key, None)

    def clear(self) -> None:
        self.changes += 1
        self.values.clear()


cache = Cache()


def on_gap(_: Gap) -> None:
    cache.clear()


@worker.channel("changed", on_gap=on_gap)
def on_changed(key: str) -> None:
    cache.forget(key)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncGenerator[None, None]:
    async with worker.lifespan():
        yield  # resources of your own come here, too
    cache.clear()


api = FastAPI(lifespan=lifespan)
api.mount("/worker", status_app(worker))


@api.get("/values/{key}")
async def get(key: str) -> dict[str, str | bool | None]:
    if key in cache.values:
        return {"value": cache.values[key], "cached": True}
    before = cache.changes
    value: str | None = await worker.client.execute_command("GET", key)
    if cache.changes == before:  # otherwise the value may be old already
        cache.values[key] = value
    return {"value": value, "cached": False}


@api.put("/values/{key}")
async def put(key: str, value: str) -> None:
    await worker.client.execute_command("SET", key, value)
    await worker.client.publish("changed", key)
