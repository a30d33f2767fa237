"""What tests of workers share: messages, and workers that are quick about it."""

from __future__ import annotations

from typing import Any

import msgspec

from actors import HandlerFailure
from actors.worker import Worker

__all__ = ["Customer", "Failures", "Order", "make_worker"]


class Customer(msgspec.Struct):
    """A context."""

    name: str = "context"


class Order(msgspec.Struct):
    """A payload."""

    id: int
    item: str = ""


class Failures(list[HandlerFailure]):
    """A failure sink that keeps what it is told."""

    def __call__(self, failure: HandlerFailure) -> None:
        self.append(failure)

    def errors(self) -> list[type[BaseException]]:
        return [type(failure.error) for failure in self]


def make_worker(where: Any = "redis://localhost:1", **options: Any) -> Worker[Any]:
    """A worker without probes and with short limits, unless told otherwise."""
    where = getattr(where, "url", where)
    options.setdefault("probe_interval", None)
    options.setdefault("drain_timeout", 5.0)
    options.setdefault("start_timeout", 2.0)
    return Worker(where, **options)
