"""The options of a worker's decorators, which are those of a Handler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypedDict

from actors.pubsub.handlers.batch import Batch
from actors.pubsub.handlers.breaker import Breaker
from actors.pubsub.handlers.failure_sinks import HandlerFailureSink
from actors.pubsub.model.recover import Recover
from actors.pubsub.model.types import GapCallback, LagCallback
from actors.runtime.messages.overflow import MailboxSpec, Overflow


class HandlerOptions(TypedDict, total=False):
    """What :class:`actors.Handler` takes besides its function; it documents each of them."""

    decode: Any
    format: Literal["json", "msgpack"]
    concurrency: int
    key: Callable[[Any], Any] | str | None
    mailbox: MailboxSpec | int | None
    overflow: Overflow | str | None
    on_failure: HandlerFailureSink | None
    on_gap: GapCallback | None
    on_lagged: LagCallback | None
    timeout: float | None
    in_thread: bool
    breaker: Breaker | None
    batch: Batch | None
    shared: bool
    recover: Recover | bool | None
