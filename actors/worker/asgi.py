"""The state of a worker as an ASGI application: for Starlette, FastAPI, Litestar, Django."""

from __future__ import annotations

from typing import Any

from actors.worker.http.application import Application
from actors.worker.http.of_worker import endpoints_of
from actors.worker.run.app import Worker

__all__ = ["Application", "status_app"]


def status_app(worker: Worker[Any]) -> Application:
    """Return an ASGI application that shows ``worker``: health, metrics, tree and page.

    ::

        api.mount("/worker", status_app(worker))

    It answers ``/live``, ``/ready``, ``/metrics`` (extra ``metrics``), ``/tree``, ``/stats`` and
    ``/``, the page, below the path where it is mounted. There is no access control: whoever reaches
    that path can read. Acting needs the worker's ``http_token``.
    """
    return Application(endpoints_of(worker))
