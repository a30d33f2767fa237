"""examples/deploy/kubernetes: valid for the API, and true to the product."""

from __future__ import annotations

import re

import jsonschema
import kubernetes_validate
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from actors.worker.http.endpoints import endpoints
from actors.worker.http.hosts import parse_address
from actors.worker.observe.metrics import render
from tests.examples.deploy.files import DEPLOY, application, commands, manifests, pods
from tests.examples.deploy.options import parsed, variables

#: The oldest release that has all that the manifests use, and the newest one that is known here.
RELEASES = ("1.28", kubernetes_validate.latest_version())

OBJECTS, PODS = manifests(), pods()
KUBERNETES = [name for name, one in OBJECTS.items() if ".sh/" not in one["apiVersion"]]

METRIC = "mailslot_mailbox_messages"
HPA = OBJECTS["autoscale-hpa.yaml: HorizontalPodAutoscaler shop"]
KEDA = OBJECTS["autoscale-keda.yaml: ScaledObject shop"]
ADAPTER = yaml.safe_load((DEPLOY / "prometheus-adapter.yaml").read_text())

_NAME, _COUNT = {"type": "string", "minLength": 1}, {"type": "integer", "minimum": 1}


def _object(**fields):
    """A schema of an object that has all of these fields, and no other."""
    return {
        "type": "object",
        "properties": fields,
        "required": list(fields),
        "additionalProperties": False,
    }


#: The part of KEDA's custom resource that the manifest uses.
SCALED_OBJECT = _object(
    scaleTargetRef=_object(name=_NAME),
    minReplicaCount=_COUNT,
    maxReplicaCount=_COUNT,
    pollingInterval=_COUNT,
    fallback=_object(
        failureThreshold=_COUNT, replicas=_COUNT, behavior={"const": "currentReplicasIfHigher"}
    ),
    triggers={
        "type": "array",
        "items": _object(
            type={"const": "prometheus"},
            metricType={"enum": ["AverageValue", "Value"]},
            metadata=_object(
                serverAddress={"type": "string", "pattern": "^https?://"},
                query=_NAME,
                threshold={"type": "string", "pattern": "^[0-9]+$"},
                ignoreNullValues={"enum": ["true", "false"]},
            ),
        ),
    },
    advanced=_object(horizontalPodAutoscalerConfig=_object(behavior={"type": "object"})),
)


def container(name):
    (found,) = PODS[name]["spec"]["template"]["spec"]["containers"]
    return found


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("name", KUBERNETES)
def test_a_manifest_is_valid(name, release):
    kubernetes_validate.validate(OBJECTS[name], release, strict=True)


def test_a_wrong_manifest_would_be_noticed():
    wrong = {**OBJECTS["fleet.yaml: PodDisruptionBudget shop"], "spec": {"maxUnavailabel": 1}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, RELEASES[-1], strict=True)


def test_the_scaled_object_has_the_fields_that_keda_knows():
    assert KEDA["apiVersion"] == "keda.sh/v1alpha1"
    jsonschema.validate(KEDA["spec"], SCALED_OBJECT)


# --- what they name exists ------------------------------------------------------------------------


@pytest.mark.parametrize("name", PODS)
def test_probes_and_prometheus_ask_where_the_worker_answers(name):
    pod, found = PODS[name]["spec"]["template"], container(name)
    host, port = parse_address(parsed(commands()[name])["http"])
    assert host == "0.0.0.0"
    assert found["ports"] == [{"name": "http", "containerPort": port}]
    answered = endpoints(application().worker_snapshot)
    asked = {
        kind: found[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")
    }
    assert {ask["path"] for ask in asked.values()} <= set(answered)
    assert {ask["port"] for ask in asked.values()} == {"http"}
    assert asked["readiness"]["path"] == "/ready"
    assert asked["startup"]["path"] == asked["liveness"]["path"] == "/live"
    scraped = {
        key.removeprefix("prometheus.io/"): value
        for key, value in pod["metadata"]["annotations"].items()
    }
    assert scraped == {"scrape": "true", "port": str(port), "path": "/metrics"}
    assert scraped["path"] in answered


def test_the_image_listens_where_it_says():
    _, port = parse_address(parsed(commands()["Dockerfile"])["http"])
    assert f"EXPOSE {port}" in (DEPLOY / "Dockerfile").read_text().splitlines()


@pytest.mark.parametrize("name", PODS)
def test_variables_that_are_the_products_exist(name):
    named = {one["name"] for one in container(name)["env"]}
    assert {one for one in named if one.startswith("MAILSLOT_")} <= variables()
    assert "SHOP_URL" in named
    assert 'os.environ.get("SHOP_URL"' in (DEPLOY / "shop.py").read_text()


async def test_the_metric_that_autoscalers_ask_for_exists(shared_server):
    async with application().at(shared_server.url) as app:
        text, _ = render(app.worker_snapshot())
    families = {one.name: one for one in text_string_to_metric_families(text.decode())}
    assert families[METRIC].type == "gauge"
    assert families[METRIC].samples
    assert [one["pods"]["metric"]["name"] for one in HPA["spec"]["metrics"]] == [METRIC]
    queries = [one["metadata"]["query"] for one in KEDA["spec"]["triggers"]]
    queries += [rule["seriesQuery"] for rule in ADAPTER["rules"]["custom"]]
    assert [re.findall(r"mailslot_\w+", query) for query in queries] == [[METRIC]] * 2


# --- they agree with each other -------------------------------------------------------------------


@pytest.mark.parametrize("name", PODS)
def test_a_pod_has_the_time_that_its_drain_may_take(name):
    app, values = application(), parsed(commands()[name])
    drain = values["drain_timeout"] or app.drain_timeout
    grace = PODS[name]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert drain + app.shutdown_timeout + 3 <= grace


def test_a_partition_has_one_pod_for_each_share():
    name = "partitions.yaml: StatefulSet shop-partitions"
    partition = parsed(commands()[name])["partition"]
    assert partition == f"0/{OBJECTS[name]['spec']['replicas']}"
    (ordinal,) = [one for one in container(name)["env"] if one["name"] == "ORDINAL"]
    path = "metadata.labels['apps.kubernetes.io/pod-index']"
    assert ordinal["valueFrom"] == {"fieldRef": {"fieldPath": path}}
    assert "--partition=$(ORDINAL)/3" in container(name)["args"]
    service = OBJECTS["partitions.yaml: Service shop-partitions"]
    assert service["metadata"]["name"] == OBJECTS[name]["spec"]["serviceName"]


@pytest.mark.parametrize("name", PODS)
def test_selectors_select_the_pods(name):
    file, spec = name.partition(":")[0], PODS[name]["spec"]
    labels = spec["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"] == labels
    (spread,) = spec["template"]["spec"]["topologySpreadConstraints"]
    assert spread["labelSelector"]["matchLabels"] == labels
    (budget,) = [one for at, one in OBJECTS.items() if at.startswith(f"{file}: PodDisruption")]
    assert budget["spec"]["selector"]["matchLabels"] == labels
    policy = OBJECTS["common.yaml: NetworkPolicy shop"]["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    assert policy["policyTypes"] == ["Ingress", "Egress"]


def test_both_autoscalers_scale_the_fleet_alike():
    fleet = OBJECTS["fleet.yaml: Deployment shop"]["metadata"]
    hpa, keda = HPA["spec"], KEDA["spec"]
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": fleet["name"]}
    assert hpa["scaleTargetRef"] == target
    assert keda["scaleTargetRef"] == {"name": fleet["name"]}
    assert (hpa["minReplicas"], hpa["maxReplicas"]) == (
        keda["minReplicaCount"],
        keda["maxReplicaCount"],
    )
    assert keda["fallback"]["replicas"] == keda["minReplicaCount"]
    assert hpa["behavior"] == keda["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    value = hpa["metrics"][0]["pods"]["target"]["averageValue"]
    assert value == keda["triggers"][0]["metadata"]["threshold"]
    assert hpa["maxReplicas"] <= sum(len(group.names) for group in application().groups)


def test_everything_is_in_the_namespace():
    (namespace,) = [one for one in OBJECTS.values() if one["kind"] == "Namespace"]
    for one in OBJECTS.values():
        if one is not namespace:
            assert one["metadata"]["namespace"] == namespace["metadata"]["name"]


@pytest.mark.parametrize("name", PODS)
def test_a_pod_may_do_nothing_that_it_need_not(name):
    pod, found = PODS[name]["spec"]["template"]["spec"], container(name)
    account = OBJECTS[f"common.yaml: ServiceAccount {pod['serviceAccountName']}"]
    assert account["automountServiceAccountToken"] is False
    assert pod["automountServiceAccountToken"] is False
    user = pod["securityContext"]["runAsUser"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert f"USER {user}:{user}" in (DEPLOY / "Dockerfile").read_text().splitlines()
    assert found["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_the_readme_makes_the_secret_that_the_pods_read():
    for name in PODS:
        (url,) = [one for one in container(name)["env"] if one["name"] == "SHOP_URL"]
        asked = url["valueFrom"]["secretKeyRef"]
        made = f"secret generic {asked['name']} --namespace shop --from-literal={asked['key']}="
        assert made in (DEPLOY / "README.md").read_text()
