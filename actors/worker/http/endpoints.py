"""The answers of the HTTP port, made from a worker's snapshot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib import resources
from typing import Any, Final

import msgspec

from actors.worker.http.answer import Answer, Request, Route
from actors.worker.http.operator import Operator, no_actions
from actors.worker.http.recorder import Recorder
from actors.worker.observe.health import Verdict, is_live, is_ready
from actors.worker.observe.history import EVERY, Columns
from actors.worker.observe.snapshot import WorkerSnapshot
from actors.worker.run.controls import Act

_PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:;"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_TYPES: Final = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
_PAGE: Final = (
    *("page.html", "page.css", "page.js", "parts.js", "state.js", "charts.js", "overview.js"),
    *("actor.js", "tree.js", "messages.js", "actions.js"),
)


class Stats(msgspec.Struct, frozen=True):
    """The answer of ``/stats``, for the page and for ``mailslot top``."""

    live: Verdict
    ready: Verdict
    worker: WorkerSnapshot
    actions: bool = False  # whether an operator can act here, with a token


class HistoryAnswer(msgspec.Struct, frozen=True):
    """The answer of ``/history``: samples of the worker or of one handler, oldest first."""

    every: float  # seconds between two samples
    at: tuple[float, ...]  # their times, in Unix seconds
    values: Mapping[str, tuple[float | None, ...]]  # by column; counts are those since the last one
    left_out: int  # handlers that were busy and have no history: there are too many


def endpoints(
    view: Callable[[], WorkerSnapshot],
    *,
    document: Callable[[], Any] | None = None,
    operator: Operator | None = None,
    recorder: Recorder | None = None,
) -> Mapping[str, Route]:
    """Return what is answered, by path.

    Args:
        view: returns the snapshot of now.
        document: returns the AsyncAPI document; None: there is none.
        operator: who may act; None: nobody.
        recorder: keeps the history; None: one that begins with the first request.
    """
    kept = Recorder(view) if recorder is None else recorder

    def stats(_: Request) -> Answer:
        worker = view()
        is_open = operator is not None
        return Answer.json(Stats(is_live(worker), is_ready(worker), worker, is_open))

    def shown(_: Request) -> Answer:
        if document is None:
            return Answer(b"there is no AsyncAPI document here\n", status=404)
        return Answer.json(document())

    answers: dict[str, Callable[[Request], Answer]] = {
        "/": partial(_page, "page.html"),
        "/live": lambda _: _verdict(is_live(view())),
        "/ready": lambda _: _verdict(is_ready(view())),
        "/metrics": lambda _: _metrics(view()),
        "/tree": lambda _: Answer.json(view().tree),
        "/stats": stats,
        "/history": partial(_history, kept),
        "/asyncapi.json": shown,
    }
    routes = {path: Route(partial(_recorded, kept, answer)) for path, answer in answers.items()}
    routes |= {f"/{name}": Route(partial(_page, name)) for name in _PAGE[1:]}
    for act in Act:
        acting = no_actions if operator is None else partial(operator.answer, act)
        routes[f"/actions/{act.value}"] = Route(acting, "POST")
    return routes


def _recorded(recorder: Recorder, answer: Callable[[Request], Answer], request: Request) -> Answer:
    recorder.begin()
    return answer(request)


def _verdict(verdict: Verdict) -> Answer:
    return Answer.json(verdict, status=200 if verdict.ok else 503)


def _history(recorder: Recorder, request: Request) -> Answer:
    history, process = recorder.history, request.query.get("process", "0")
    if not process.isdecimal():
        return Answer(b"process is a number\n", status=400)
    path = request.query.get("path")
    found: Columns = history.of_worker() if path is None else history.of_handler(int(process), path)
    return Answer.json(HistoryAnswer(EVERY, found.at, found.values, history.left_out))


def _metrics(worker: WorkerSnapshot) -> Answer:
    try:
        # Imported here: the other paths work without this extra.
        from actors.worker.observe.metrics import render  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name != "prometheus_client":
            raise
        text = "no metrics: pip install 'mailslot[metrics]'\n"
        return Answer(text.encode(), status=501)
    body, media_type = render(worker)
    return Answer(body, media_type)


def _page(name: str, _: Request) -> Answer:
    body = resources.files("actors.worker.http").joinpath("page", name).read_bytes()
    media_type = f"{_TYPES[name.rpartition('.')[2]]}; charset=utf-8"
    return Answer(body, media_type, headers={"content-security-policy": _PAGE_POLICY})
