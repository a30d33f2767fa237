"""The dashboard and the alert rules: every metric and label in them is one that a worker has."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from actors import Redis
from tests.pubsub.recovery.helpers import publish
from tests.support import eventually
from tests.worker.program import ROOT, Program, mailslot, write_app
from tests.worker.web import get

yaml = pytest.importorskip("yaml", reason="pyyaml is not installed")
promql: Any = pytest.importorskip("promql_parser", reason="promql-parser is not installed")

FOLDER = ROOT / "examples" / "deploy" / "grafana"
ALERTS = FOLDER / "alerts.yaml"
#: Labels that Prometheus adds to all that it reads from a target.
OF_THE_TARGET = {"job", "instance"}
IN_FILES = re.compile(r"mailslot_\w+")
#: What a rule's texts say of its result.
IN_TEXTS = re.compile(r"\$labels\.(\w+)")

APP = """
import msgspec
class Order(msgspec.Struct):
    id: int
app = Worker(probe_interval=1.0)
for name in ("a", "b", "c", "d"):
    @app.channel(name, recover=True)
    async def on_order(order: Order): ...
"""


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode((FOLDER / "dashboard.json").read_bytes())
    return found


def expressions() -> list[str]:
    of_panels = [one["expr"] for panel in dashboard()["panels"] for one in panel["targets"]]
    return [*of_panels, *(rule["expr"] for rule in rules())]


class Use(msgspec.Struct, frozen=True):
    """A metric that an expression selects, and the labels by which it selects and groups it."""

    metric: str
    labels: frozenset[str]


def metrics_of(expression: str) -> list[Use]:
    """What ``expression`` uses; ValueError if Prometheus would not take it."""
    return list(_uses(promql.parse(expression.replace("$__rate_interval", "1m")), frozenset()))


def _uses(node: Any, labels: frozenset[str]) -> Iterator[Use]:
    match node:
        case promql.VectorSelector():
            matched = (matcher.name for matcher in node.matchers.matchers)
            yield Use(node.name, labels.union(matched))
        case promql.MatrixSelector():
            yield from _uses(node.vector_selector, labels)
        case promql.AggregateExpr():
            grouped = () if node.modifier is None else node.modifier.labels
            yield from _uses(node.expr, labels.union(grouped))
        case promql.Call():
            for argument in node.args:
                yield from _uses(argument, labels)
        case promql.BinaryExpr():
            yield from _uses(node.lhs, labels)
            yield from _uses(node.rhs, labels)
        case promql.NumberLiteral():
            pass
        case _:
            raise NotImplementedError(node)


def uses() -> list[Use]:
    return [use for expression in expressions() for use in metrics_of(expression)]


async def metrics(program: Program) -> dict[str, set[str]]:
    """The labels of each metric that the worker has."""
    text = (await get(program.http, "/metrics")).body.decode()
    return {
        sample.name: set(sample.labels)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.embedded_only
async def test_every_metric_and_label_is_one_of_a_real_worker(server, tmp_path):
    write_app(tmp_path, APP)
    start = ("run", "shop:app", "--url", server.url, "--processes", 2)
    port = ("--http", 0, "--log-format", "json")
    async with (
        mailslot(*start, *port, cwd=tmp_path) as program,
        Redis(server.host, server.port) as client,
    ):
        await program.says("running", times=2)

        async def complete() -> bool:
            for name in "abcd":
                await publish(client, name, '{"id": 1}')
            known = await metrics(program)
            return all(use.metric in known for use in uses())

        await eventually(complete, 30, 0.2)
        known = await metrics(program)
    named = IN_FILES.findall(ALERTS.read_text() + (FOLDER / "dashboard.json").read_text())
    assert set(named) <= known.keys()  # also where a variable of the dashboard asks for values
    for use in uses():
        assert use.labels <= known[use.metric] | OF_THE_TARGET, use


def test_rules_name_labels_that_their_expressions_keep():
    for rule in rules():
        kept = {label for use in metrics_of(rule["expr"]) for label in use.labels}
        named = set(IN_TEXTS.findall(str(rule["annotations"])))
        if " by " in rule["expr"]:
            assert named <= kept, rule["alert"]
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}


def test_panels_do_not_overlap_and_have_texts():
    places: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not places & cells, panel["title"]
        assert max(x for x, _ in cells) < 24
        places |= cells
        assert panel["title"]
        assert panel["description"]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_accepts_the_rules():
    promtool = shutil.which("promtool")
    assert promtool is not None
    subprocess.run([promtool, "check", "rules", str(ALERTS)], check=True, timeout=60)
