"""``mailslot tail`` and ``mailslot publish``."""

from __future__ import annotations

import asyncio
import base64
import sys
import time
from contextlib import AsyncExitStack
from json import dumps as json_escaped
from typing import Any

import msgspec

from actors.pubsub.model.types import Gap, PubSubMessage
from actors.redis.exceptions import DataError
from actors.redis.history.history import History
from actors.worker.cli.say import say
from actors.worker.observe.snapshot import as_text
from actors.worker.run.broker import DEFAULT_RETRY_POLICY, Broker
from actors.worker.run.exit_codes import ExitCode, UsageError, exit_code, one_sentence
from supervisor.log import printable


class Tail(msgspec.Struct, frozen=True):
    """The options of ``mailslot tail``."""

    url: str
    names: tuple[str, ...]
    pattern: bool
    shard: bool
    cluster: bool
    json: bool
    count: int | None


async def print_messages(tail: Tail) -> int:
    """Print messages until ``count`` is reached; return the exit code."""
    if not tail.pattern and any("*" in name for name in tail.names):
        say("a name with * is one channel here: --pattern subscribes to all that match")
    started = False
    try:
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(_client(tail.url, tail.cluster))
            pubsub = await stack.enter_async_context(_pubsub(client, tail))
            started = True
            left = tail.count
            while left is None or left > 0:
                print(_line(await anext(pubsub), tail.json), flush=True)  # noqa: T201
                left = None if left is None else left - 1
    except BrokenPipeError:  # the reader of stdout, head for instance, has ended
        sys.stderr.close()
    except Exception as error:
        say(one_sentence(error))
        return exit_code(error, started=started)
    return ExitCode.DRAINED


def _pubsub(client: Any, tail: Tail) -> Any:
    options: dict[str, Any] = {
        "ignore_subscribe_messages": True,
        "retry_policy": DEFAULT_RETRY_POLICY,
        "on_gap": _say_gap,
        "on_lagged": _say_shed,
    }
    if tail.shard:
        return client.sharded_pubsub(channels=tail.names, **options)
    return client.pubsub(**{"patterns" if tail.pattern else "channels": tail.names}, **options)


def _client(url: str, cluster: bool) -> Any:
    broker = Broker(url, cluster)
    problems = broker.problems()
    if problems:
        raise UsageError("; ".join(problems))
    return broker.client()


def _line(message: PubSubMessage, json: bool) -> str:
    channel, data = message["channel"], message["data"]
    if not json:
        return printable(f"{as_text(channel)} {as_text(data)}")
    found: dict[str, Any] = {"at": time.time(), "channel": as_text(channel)}
    if message["pattern"] is not None:
        found["pattern"] = as_text(message["pattern"])
    if isinstance(data, bytes):  # not valid text
        found["data_base64"] = base64.b64encode(data).decode()
    else:
        found["data"] = data
    return _printable_json(msgspec.json.encode(found).decode())


def _printable_json(text: str) -> str:
    """Escape, as JSON does, the control characters that JSON itself permits."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else json_escaped(one)[1:-1] for one in text)


def _say_gap(gap: Gap) -> None:
    say(f"gap of {gap.seconds:.3f} s in {gap.kind.value} {as_text(gap.name)}: {gap.reason}")


def _say_shed(count: int) -> None:
    say(f"{count} messages left out here: they came faster than they were printed")


async def publish_message(
    url: str,
    channel: str,
    payload: bytes,
    *,
    cluster: bool,
    shard: bool,
    history: History | None = None,
) -> int:
    """Publish ``payload``; print how many subscribers received it, or its id in the history."""
    try:
        async with _client(url, cluster) as client, asyncio.timeout(10):
            send = client.spublish if shard else client.publish
            print(await send(channel, payload, history=history))  # noqa: T201
    except DataError as error:
        say(str(error))
        return ExitCode.USAGE
    except Exception as error:
        say(one_sentence(error))
        return exit_code(error, started=False)
    return ExitCode.DRAINED
