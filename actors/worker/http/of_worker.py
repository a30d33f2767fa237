"""What is answered for a worker in this process."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from actors.worker.asyncapi.document import document
from actors.worker.http.answer import Route
from actors.worker.http.endpoints import endpoints
from actors.worker.http.operator import Operator
from actors.worker.run.app import Worker
from actors.worker.run.controls import control


def endpoints_of(worker: Worker[Any]) -> Mapping[str, Route]:
    """Return what is answered for ``worker``, by path."""
    token = worker.http_token
    return endpoints(
        worker.worker_snapshot,
        document=partial(document, worker),
        operator=None if token is None else Operator(token, partial(control, worker)),
    )
