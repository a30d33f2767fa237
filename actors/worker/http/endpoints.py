"""The answers of the HTTP port, made from a worker's snapshot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import resources

import msgspec

from actors.worker.http.answer import Answer
from actors.worker.observe.health import Verdict, is_live, is_ready
from actors.worker.observe.snapshot import WorkerSnapshot

_PAGE_POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'"


class Stats(msgspec.Struct, frozen=True):
    """The answer of ``/stats``, for the page and for ``mailslot top``."""

    live: Verdict
    ready: Verdict
    worker: WorkerSnapshot


def endpoints(view: Callable[[], WorkerSnapshot]) -> Mapping[str, Callable[[], Answer]]:
    """Return the function that answers each path; ``view`` returns the snapshot of now."""

    def stats() -> Answer:
        worker = view()
        return Answer.json(Stats(is_live(worker), is_ready(worker), worker))

    return {
        "/": lambda: _page("page.html", "text/html; charset=utf-8"),
        "/page.js": lambda: _page("page.js", "text/javascript; charset=utf-8"),
        "/page.css": lambda: _page("page.css", "text/css; charset=utf-8"),
        "/live": lambda: _verdict(is_live(view())),
        "/ready": lambda: _verdict(is_ready(view())),
        "/metrics": lambda: _metrics(view()),
        "/tree": lambda: Answer.json(view().tree),
        "/stats": stats,
    }


def _verdict(verdict: Verdict) -> Answer:
    return Answer.json(verdict, status=200 if verdict.ok else 503)


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


def _page(name: str, media_type: str) -> Answer:
    body = resources.files("actors.worker.http").joinpath(name).read_bytes()
    return Answer(body, media_type, headers={"content-security-policy": _PAGE_POLICY})
