"""The manifests against the schemas of Kubernetes, and what no schema says."""

from typing import Any

import pytest

from tests.deploy.files import DEPLOY, ROOT, document, documents

FILES = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
OBJECTS = [found for path in FILES for found in documents(path)]
WORKLOADS = [found for found in OBJECTS if found["kind"] in ("StatefulSet", "Deployment")]
RELEASES = ("1.31", "1.34")
"""The oldest release in which the pod index and ReadWriteOncePod are stable, and a newer one."""


def called(found):
    return f"{found['kind']}/{found['metadata']['name']}"


def named(kind, name):
    (only,) = [found for found in OBJECTS if called(found) == f"{kind}/{name}"]
    return only


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("found", OBJECTS, ids=called)
def test_the_schema_of_kubernetes_takes_it(found, release):
    kubernetes_validate: Any = pytest.importorskip(
        "kubernetes_validate", reason="kubernetes-validate is not installed: no manifest is checked against its schema"
    )
    kubernetes_validate.validate(found, release, strict=True)


def test_a_planted_mistake_is_found():
    kubernetes_validate: Any = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    broken = {**named("Service", "lexorder"), "spec": {"port": []}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, RELEASES[0], strict=True)


def container(workload):
    (only,) = workload["spec"]["template"]["spec"]["containers"]
    return only


def labels(workload):
    return workload["spec"]["template"]["metadata"]["labels"]


def test_names_are_unique():
    assert len({called(found) for found in OBJECTS}) == len(OBJECTS)


def test_everything_is_in_one_namespace():
    assert {f["metadata"].get("namespace", f["metadata"]["name"]) for f in OBJECTS} == {"lexorder"}


@pytest.mark.parametrize("workload", WORKLOADS, ids=called)
def test_selectors_select_the_pods(workload):
    assert workload["spec"]["selector"]["matchLabels"].items() <= labels(workload).items()
    name = workload["metadata"]["name"]
    for kind, path in (("Service", ("selector",)), ("PodDisruptionBudget", ("selector", "matchLabels")),
                       ("NetworkPolicy", ("podSelector", "matchLabels"))):  # fmt: skip
        selector = named(kind, name)["spec"]
        for step in path:
            selector = selector[step]
        assert selector.items() <= labels(workload).items()
        others = [w for w in WORKLOADS if w is not workload and selector.items() <= labels(w).items()]
        assert others == []


@pytest.mark.parametrize("workload", WORKLOADS, ids=called)
def test_a_pod_may_do_little(workload):
    pod = workload["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container(workload)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@pytest.mark.parametrize("workload", WORKLOADS, ids=called)
def test_what_a_pod_writes_to_is_mounted(workload):
    pod = workload["spec"]["template"]["spec"]
    mounts = {mount["mountPath"]: mount["name"] for mount in container(workload)["volumeMounts"]}
    assert set(mounts) == {"/var/lib/lexorder", "/var/lib/lexorder-heads", "/tmp"}
    volumes = {volume["name"] for volume in pod["volumes"]}
    claims = {claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", [])}
    assert set(mounts.values()) == volumes | claims


@pytest.mark.parametrize("workload", WORKLOADS, ids=called)
def test_probes_ask_open_endpoints_of_the_service_on_its_port(workload):
    known = document(ROOT / "api" / "service" / "roles.yaml")["open"]
    ports = {port["name"] for port in container(workload)["ports"]}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        asked = container(workload)[probe]["httpGet"]
        assert f"GET {asked['path']}" in known
        assert asked["port"] in ports
    assert container(workload)["livenessProbe"]["httpGet"]["path"] == "/healthz"


def test_a_pod_that_is_not_ready_gets_no_orders_at_once():
    probe = container(named("StatefulSet", "lexorder"))["readinessProbe"]
    assert probe["httpGet"]["path"] == "/readyz"
    assert probe["failureThreshold"] == 1


def test_a_pod_that_is_not_ready_can_be_fed_and_halted():
    assert named("Service", "lexorder-shards")["spec"]["publishNotReadyAddresses"] is True
    assert named("Service", "lexorder-shards")["spec"]["clusterIP"] == "None"
    assert named("StatefulSet", "lexorder")["spec"]["serviceName"] == "lexorder-shards"
    assert "publishNotReadyAddresses" not in named("Service", "lexorder")["spec"]


def test_a_single_writer_is_never_doubled_by_an_autoscaler():
    scaled = {
        found["spec"]["scaleTargetRef"]["name"] for found in OBJECTS if found["kind"] == "HorizontalPodAutoscaler"
    }
    assert scaled == {"lexorder-stateless"}
    assert named("StatefulSet", "lexorder")["spec"]["replicas"] == 1
    modes = [c["spec"]["accessModes"] for c in named("StatefulSet", "lexorder")["spec"]["volumeClaimTemplates"]]
    assert modes == [["ReadWriteOncePod"]] * 2


def test_an_autoscaler_has_a_deployment_without_a_fixed_number_and_a_request_to_measure_by():
    scaler = named("HorizontalPodAutoscaler", "lexorder-stateless")["spec"]
    target = named(scaler["scaleTargetRef"]["kind"], scaler["scaleTargetRef"]["name"])
    assert "replicas" not in target["spec"]  # applying the file again would undo the autoscaler's work
    assert container(target)["resources"]["requests"]["cpu"]
    assert scaler["minReplicas"] > named("PodDisruptionBudget", "lexorder-stateless")["spec"]["minAvailable"]


def test_secrets_are_referred_to_and_never_written():
    assert "Secret" not in {found["kind"] for found in OBJECTS}
    env = {e["name"]: e for e in container(named("StatefulSet", "lexorder"))["env"]}
    assert {e["valueFrom"]["secretKeyRef"]["name"] for e in env.values()} == {"lexorder"}
    assert "optional" not in env["LEXORDER_DATABASE"]["valueFrom"]["secretKeyRef"]


def test_a_new_version_starts_when_somebody_says_so():
    assert named("StatefulSet", "lexorder")["spec"]["updateStrategy"] == {"type": "OnDelete"}
    assert named("PodDisruptionBudget", "lexorder")["spec"]["maxUnavailable"] == 0


@pytest.mark.parametrize("policy", [f for f in OBJECTS if f["kind"] == "NetworkPolicy"], ids=called)
def test_a_network_policy_closes_both_directions(policy):
    assert set(policy["spec"]["policyTypes"]) == {"Ingress", "Egress"}
    assert all(rule.get("from") and rule.get("ports") for rule in policy["spec"]["ingress"])
    assert all(rule.get("ports") for rule in policy["spec"]["egress"])


def own_ports():
    """The ports on which each worker answers alone: `api/service/serving.py` counts on from the public one."""
    (told,) = [f["data"] for f in OBJECTS if called(f) == "ConfigMap/lexorder"]
    port = container(named("StatefulSet", "lexorder"))["ports"][0]["containerPort"]
    return [port + 1 + shard for shard in range(int(told["LEXORDER_WORKERS"]))]


def test_every_worker_has_a_port_of_its_own_that_can_be_reached():
    ports = {port["name"]: port["containerPort"] for port in container(named("StatefulSet", "lexorder"))["ports"]}
    assert ports == {"http": 8000} | {f"shard-{n}": port for n, port in enumerate(own_ports())}
    service = {port["name"]: port["port"] for port in named("Service", "lexorder-shards")["spec"]["ports"]}
    assert service == ports
    (opened,) = named("NetworkPolicy", "lexorder")["spec"]["ingress"][0]["ports"]
    assert (opened["port"], opened["endPort"]) == (8000, max(own_ports()))


def test_prometheus_finds_every_worker():
    job = document(DEPLOY / "prometheus" / "kubernetes.yml")["scrape_configs"][0]
    service = named("Service", "lexorder-shards")
    for found in job["dns_sd_configs"]:
        assert found["names"] == [f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc.cluster.local"]
    assert [found["port"] for found in job["dns_sd_configs"]] == own_ports()
    assert job["authorization"]["credentials_file"].startswith("/etc/prometheus/secrets/")


@pytest.mark.parametrize("workload", WORKLOADS, ids=called)
def test_no_service_sets_variables_that_look_like_settings(workload):
    """By its service links Kubernetes would let a Service called `lexorder` set LEXORDER_PORT to `tcp://…`."""
    assert workload["spec"]["template"]["spec"]["enableServiceLinks"] is False
