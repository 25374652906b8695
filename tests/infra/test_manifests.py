"""The manifests of `infra/kubernetes`: valid, closed, least, and in agreement with each other."""

import copy
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes_validate import utils
from kubernetes_validate.utils import (
    SchemaNotFoundError,
    ValidationError,
    all_versions,
    validate,
)

from flows.cluster_profile import ClusterProfile, read_profile
from flows.kubernetes.documents import (
    DASHBOARD_PORT,
    SCHEDULER_PORT,
    WORKER_METRICS_PORT,
    WORKER_PORT,
    Owner,
    certificates,
    scheduler_job,
    service,
    worker_job,
)
from flows.run.memory import worker_memory
from tests.benchmarks.scale.continent import continent
from tests.infra.openings import BETWEEN_PODS, BEYOND, ENDS, allows, ours, selects
from tests.infra.rendering import (
    ALL,
    FOLDER,
    OVERLAYS,
    ROOT,
    WHOLE,
    Manifest,
    name_of,
    named,
    of_kind,
    rendered,
    templates,
    written_as,
)
from tests.infra.rights import documented

BASE = FOLDER / "base"
LOCAL = OVERLAYS / "local"
OLD = OVERLAYS / "kubernetes-1.20"
MANIFESTS = ROOT / "docs" / "kubernetes" / "manifests.md"
NEW = [each for each in ALL if OLD not in (each, *each.parents)]
VERSIONS = [each for each in dict.fromkeys(all_versions()) if int(each.split(".")[1]) >= 29]
OTHERS = {"monitoring.coreos.com/v1"}
"""Kinds of operators, which Kubernetes has no schema for."""
ELSEWHERE = ("flow", "s3")
"""Components whose pods neither manifests nor runs make: flows of Prefect, a local object store."""
CLUSTERS = [each for each in WHOLE if (each / "run").is_dir()]
"""Overlays that runs are made in."""
folders = pytest.mark.parametrize("folder", ALL, ids=name_of)
clusters = pytest.mark.parametrize("folder", CLUSTERS, ids=name_of)
profiled = pytest.mark.parametrize("folder", [BASE, *CLUSTERS], ids=name_of)


def unique(documents: Iterator[Manifest]) -> list[Manifest]:
    return [json.loads(each) for each in {json.dumps(each, sort_keys=True) for each in documents}]


@pytest.fixture(scope="module")
def documents() -> list[Manifest]:
    """Each document for present versions of Kubernetes, once."""
    manifests = (each for folder in NEW for each in rendered(folder))
    found = unique(chain(manifests, *(of_a_run(folder) for folder in (BASE, *CLUSTERS))))
    return [each for each in found if each["apiVersion"] not in OTHERS]


def driver(folder: Path = FOLDER / "jobs" / "run") -> Manifest:
    (job,) = copy.deepcopy(of_kind(folder, "Job"))
    return job


def profile(folder: Path) -> ClusterProfile:
    """Return the profile in the ConfigMap, as a driver reads it; of the base, as people do."""
    if folder == BASE:
        return read_profile(folder / "cluster.toml")
    text = named(folder, "ConfigMap", "deepsalt-cluster")["data"]["cluster.toml"]
    own = folder if (folder / "cluster.toml").exists() else LOCAL
    assert (own / "cluster.toml").read_text(encoding="utf-8") == text
    return read_profile(own / "cluster.toml")


def of_a_run(folder: Path) -> tuple[Manifest, ...]:
    """Return what a driver makes after an overlay's profile, a worker of each group."""
    found, owner = profile(folder), Owner("run", "uid")
    workers = [
        worker_job(owner, each.name, each, found, memory_bytes=2 * 10**9) for each in found.groups
    ]
    kept = certificates(owner, "certificate", "key")
    return (scheduler_job("run", found), service(owner), kept, *workers)


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_knows_every_field(
    version: str, documents: list[Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Else it parses megabytes of definitions for each document.
    monkeypatch.setattr(utils, "schema_contents", cache(utils.schema_contents))
    for each in documents:
        validate(each, version, strict=True)


def test_versions_from_1_29_to_the_newest_are_tried() -> None:
    assert VERSIONS[0] == "1.29.0"
    assert len(VERSIONS) >= 9


@pytest.mark.parametrize(
    "place",
    [(), ("spec",), ("spec", "template", "spec"), ("spec", "template", "spec", "securityContext")],
    ids=lambda place: ".".join(place) or "top",
)
def test_a_field_that_kubernetes_does_not_know_is_found(place: tuple[str, ...]) -> None:
    job = driver()
    inside = job
    for key in place:
        inside = inside[key]
    inside["readOnlyRootFilesytem"] = True
    with pytest.raises(ValidationError):
        validate(job, VERSIONS[0], strict=True)


def test_a_kind_that_kubernetes_no_longer_has_is_found() -> None:
    budget = {**named(LOCAL, "PodDisruptionBudget", "driver")}
    budget["apiVersion"] = "policy/v1beta1"
    with pytest.raises(SchemaNotFoundError):
        validate(budget, VERSIONS[0], strict=True)


def test_the_overlay_for_1_20_differs_from_local_only_in_what_1_20_lacks() -> None:
    here, there = rendered(LOCAL), rendered(OLD)
    differing = [each for each in there if each not in here]
    assert {(each["kind"], each["apiVersion"]) for each in differing} == {
        ("PodDisruptionBudget", "policy/v1beta1")
    }
    assert len(here) == len(there)
    job = driver()
    del job["spec"]["podFailurePolicy"]
    assert driver(OLD / "run") == job


# Secrets


@folders
def test_no_manifest_holds_a_secret(folder: Path) -> None:
    for each in rendered(folder):
        assert not (each["kind"] == "Secret" and (each.get("data") or each.get("stringData")))
        assert not list(secrets_in(each)), each["metadata"]["name"]


# `password_secret` names a Secret, and holds none.
_SECRET = (
    r"(?i)\b([a-z_]*(?:passw|secret_access|private_?key|token|auth_string)[a-z_]*\b(?<!_secret))"
)


def secrets_in(document: Manifest) -> Iterator[str]:
    """Yield names of variables and settings with a value that sound like a secret's."""
    if document["kind"] == "ConfigMap":
        text = "\n".join(f"{key}={value}" for key, value in document["data"].items())
        yield from re.findall(_SECRET + r"\s*[=:]\s*\S", text)
    for _, template in templates((document,)):
        for container in containers(template):
            for each in container.get("env", []):
                if re.search(_SECRET, each["name"]) and each.get("value"):
                    yield each["name"]


def test_a_password_in_a_manifest_is_found() -> None:
    job = driver()
    (container,) = job["spec"]["template"]["spec"]["containers"]
    container["env"].append({"name": "PGPASSWORD", "value": "open-sesame"})
    settings = {"kind": "ConfigMap", "data": {"AWS_SECRET_ACCESS_KEY": "open-sesame"}}
    assert [list(secrets_in(each)) for each in (job, settings)] == [
        ["PGPASSWORD"],
        ["AWS_SECRET_ACCESS_KEY"],
    ]


# The restricted Pod Security Standard, and what we ask for beyond


def containers(template: Manifest) -> list[Manifest]:
    spec = template["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]


def asked(spec: Manifest, container: Manifest, name: str) -> Any:
    """Return a setting of a container, else its pod's."""
    own = container.get("securityContext", {})
    return own.get(name, spec.get("securityContext", {}).get(name))


_VOLUMES = {
    *("configMap", "csi", "downwardAPI", "emptyDir"),
    *("ephemeral", "persistentVolumeClaim", "projected", "secret"),
}
Rule = Callable[[Manifest, Manifest], bool]
RULES: dict[str, Rule] = {
    "no part of the host": lambda spec, _: (
        not any(spec.get(each) for each in ("hostNetwork", "hostPID", "hostIPC"))
    ),
    "no port of the host": lambda _, box: (
        not any(each.get("hostPort") for each in box.get("ports", []))
    ),
    "volumes that are not the host's": lambda spec, _: all(
        each.keys() - {"name"} <= _VOLUMES for each in spec.get("volumes", [])
    ),
    "no privileges": lambda _, box: not box.get("securityContext", {}).get("privileged"),
    "none gained": lambda _, box: (
        box.get("securityContext", {}).get("allowPrivilegeEscalation") is False
    ),
    "no capabilities": lambda _, box: (
        box.get("securityContext", {}).get("capabilities") == {"drop": ["ALL"]}
    ),
    "not root": lambda spec, box: (
        asked(spec, box, "runAsNonRoot") is True and asked(spec, box, "runAsUser") != 0
    ),
    "system calls filtered": lambda spec, box: (
        (asked(spec, box, "seccompProfile") or {}).get("type") == "RuntimeDefault"
    ),
    "no settings of the kernel": lambda spec, _: not spec.get("securityContext", {}).get("sysctls"),
    # Beyond the standard.
    "a root file system that is read only": lambda _, box: (
        box.get("securityContext", {}).get("readOnlyRootFilesystem") is True
    ),
    "memory asked for and limited": lambda _, box: all(
        "memory" in box.get("resources", {}).get(each, {}) for each in ("requests", "limits")
    ),
    "no tag that moves": lambda _, box: re.search(r":(?!latest$)[^/]+$", box["image"]) is not None,
}


@folders
def test_every_pod_meets_the_restricted_standard_and_ours(folder: Path) -> None:
    for name, template in templates(rendered(folder)):
        assert not broken(template), name


@profiled
def test_every_pod_of_a_run_meets_the_restricted_standard_and_ours(folder: Path) -> None:
    for name, template in templates(of_a_run(folder)):
        assert not broken(template), name


def broken(template: Manifest) -> list[str]:
    spec = template["spec"]
    return [
        name
        for name, rule in RULES.items()
        if not all(rule(spec, container) for container in containers(template))
    ]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda pod, _: pod.update(hostNetwork=True), "no part of the host"),
        (lambda _, box: box.update(ports=[{"hostPort": 1}]), "no port of the host"),
        (
            lambda pod, _: pod["volumes"].append({"name": "h", "hostPath": {"path": "/"}}),
            "volumes that are not the host's",
        ),
        (lambda _, box: box["securityContext"].update(privileged=True), "no privileges"),
        (lambda _, box: box["securityContext"].pop("allowPrivilegeEscalation"), "none gained"),
        (
            lambda _, box: box["securityContext"]["capabilities"].update(add=["SYS_ADMIN"]),
            "no capabilities",
        ),
        (lambda pod, _: pod["securityContext"].update(runAsUser=0), "not root"),
        (lambda _, box: box["securityContext"].update(runAsNonRoot=False), "not root"),
        (lambda pod, _: pod["securityContext"].pop("seccompProfile"), "system calls filtered"),
        (
            lambda pod, _: pod["securityContext"].update(sysctls=[{"name": "a", "value": "1"}]),
            "no settings of the kernel",
        ),
        (
            lambda _, box: box["securityContext"].pop("readOnlyRootFilesystem"),
            "a root file system that is read only",
        ),
        (lambda _, box: box["resources"].pop("limits"), "memory asked for and limited"),
        (lambda _, box: box.update(image="host:5000/deepsalt"), "no tag that moves"),
        (lambda _, box: box.update(image="deepsalt:latest"), "no tag that moves"),
    ],
)
def test_a_pod_that_breaks_a_rule_is_found(
    change: Callable[[Manifest, Manifest], None], rule: str
) -> None:
    template = driver()["spec"]["template"]
    assert not broken(template)
    change(template["spec"], template["spec"]["containers"][0])
    assert broken(template) == [rule]


def test_the_namespace_refuses_pods_below_the_restricted_standard() -> None:
    labels = named(LOCAL, "Namespace", "deepsalt")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


# Accounts


def granted(folder: Path) -> dict[tuple[str, str], set[str]]:
    """Return the verbs of each Role by its name and resource."""
    return {
        (role["metadata"]["name"], resource): set(rule["verbs"])
        for role in of_kind(folder, "Role")
        for rule in role["rules"]
        for resource in rule["resources"]
    }


@clusters
def test_roles_grant_what_the_docs_list(folder: Path) -> None:
    assert granted(folder) == documented()


_CALL = r"\b(create|read|list|patch|replace|delete|connect_get)_namespaced_([a-z]+)(?:_([a-z]+))?\b"
_VERBS = {"read": "get", "connect_get": "get"}


def test_a_driver_may_do_what_its_code_does_and_no_more() -> None:
    modules = (ROOT / "flows" / "kubernetes").glob("*.py")
    sources = "".join(each.read_text(encoding="utf-8") for each in modules)
    used: dict[tuple[str, str], set[str]] = {}
    for verb, kind, part in re.findall(_CALL, sources):
        resource = f"{kind}s/{part}" if part else f"{kind}s"
        role = "deepsalt-port-forward" if part == "portforward" else "deepsalt-driver"
        used.setdefault((role, resource), set()).add(_VERBS.get(verb, verb))
    # Newer servers ask for `create` where a port-forward begins with a GET.
    used["deepsalt-port-forward", "pods/portforward"].add("create")
    assert used == {
        key: verbs for key, verbs in documented().items() if key[0] != "deepsalt-service"
    }


@folders
def test_rights_end_at_the_namespace_and_name_what_they_are(folder: Path) -> None:
    assert not of_kind(folder, "ClusterRole", "ClusterRoleBinding")
    for role in of_kind(folder, "Role"):
        for rule in role["rules"]:
            assert "*" not in [*rule["verbs"], *rule["resources"], *rule["apiGroups"]]


@clusters
def test_workers_may_do_nothing_and_no_account_hands_out_its_token(folder: Path) -> None:
    bound = {
        subject["name"]
        for binding in of_kind(folder, "RoleBinding")
        for subject in binding["subjects"]
    }
    assert bound == {"deepsalt-driver", "deepsalt-service"}
    accounts = of_kind(folder, "ServiceAccount")
    assert {each["metadata"]["name"] for each in accounts} == bound | {"deepsalt-worker"}
    assert all(each["automountServiceAccountToken"] is False for each in accounts)


# The network


@clusters
@pytest.mark.parametrize(
    ("source", "target", "port", "is_open"),
    BETWEEN_PODS + BEYOND,
    ids=lambda each: str(each).replace(" ", "_"),
)
def test_pods_reach_what_they_need_and_nothing_else(
    folder: Path, source: str, target: str, port: int, is_open: bool
) -> None:
    policies = of_kind(folder, "NetworkPolicy")
    assert allows(policies, ENDS[source], ENDS[target], port) == is_open


@pytest.mark.parametrize("source", ["worker", "driver"])
def test_the_local_object_store_answers_workers_and_drivers_alone(source: str) -> None:
    policies = of_kind(LOCAL, "NetworkPolicy")
    assert allows(policies, ours(source), ours("s3"), 8333)
    assert not allows(policies, ours("scheduler"), ours("s3"), 8333)
    assert not allows(policies, ENDS["stranger"], ours("s3"), 8333)


def test_credentials_of_a_pod_on_google_cloud_are_reachable() -> None:
    policies = of_kind(FOLDER / "components" / "identity" / "gcp", "NetworkPolicy")
    assert allows(policies, ENDS["worker"], ENDS["metadata"], 80)
    assert not allows(policies, ENDS["scheduler"], ENDS["metadata"], 80)


# Selectors, names and numbers that have to agree


def pods(folder: Path) -> list[Manifest]:
    """Return the labels of all pods that a folder knows of, with those that code makes."""
    manifests = (*rendered(folder), *rendered(FOLDER / "jobs" / "run"))
    found = [each for _, each in templates((*manifests, *of_a_run(LOCAL)))]
    elsewhere = [dict(ours(each).labels) for each in ELSEWHERE]
    return [*(each["metadata"]["labels"] for each in found), *elsewhere]


def selectors(folder: Path) -> Iterator[tuple[str, Manifest]]:
    for each in rendered(folder):
        name, spec = f"{each['kind']} {each['metadata']['name']}", each.get("spec", {})
        if each["kind"] == "Service":
            yield name, {"matchLabels": spec["selector"]}
        if each["kind"] == "NetworkPolicy":
            yield name, spec["podSelector"]
            for rule in (*spec.get("ingress", []), *spec.get("egress", [])):
                for peer in (*rule.get("from", []), *rule.get("to", [])):
                    if "podSelector" in peer and "namespaceSelector" not in peer:
                        yield name, peer["podSelector"]
        elif "matchLabels" in spec.get("selector", {}):
            yield name, spec["selector"]


@folders
def test_every_selector_selects_a_pod(folder: Path) -> None:
    for name, selector in selectors(folder):
        assert any(selects(selector, each) for each in pods(folder)), name


@clusters
def test_ports_of_a_run_are_those_of_the_policies_and_of_prometheus(folder: Path) -> None:
    policies = of_kind(folder, "NetworkPolicy")
    scheduler, worker = ours("scheduler"), ours("worker")
    assert allows(policies, worker, scheduler, SCHEDULER_PORT)
    assert allows(policies, scheduler, worker, WORKER_PORT)
    for own, port in ((scheduler, DASHBOARD_PORT), (worker, WORKER_METRICS_PORT)):
        assert allows(policies, ENDS["prometheus"], own, port)
    (monitor,) = of_kind(FOLDER / "components" / "monitoring", "PodMonitor")
    scraped = {each["port"] for each in monitor["spec"]["podMetricsEndpoints"]}
    found = {
        (port["name"], port["containerPort"])
        for _, template in templates(of_a_run(folder))
        for port in template["spec"]["containers"][0]["ports"]
        if port["name"] in scraped
    }
    assert found == {("dashboard", DASHBOARD_PORT), ("metrics", WORKER_METRICS_PORT)}


@clusters
@pytest.mark.parametrize("component", ["scheduler", "driver"])
def test_one_budget_refuses_every_eviction_of_it_however_many_runs_there_are(
    folder: Path, component: str
) -> None:
    budgets = of_kind(folder, "PodDisruptionBudget")
    # The API refuses an eviction of a pod that two budgets select.
    (budget,) = [
        each for each in budgets if selects(each["spec"]["selector"], ours(component).labels)
    ]
    # Pods of Jobs have no scale: only a number of pods has a meaning.
    assert budget["spec"].keys() == {"minAvailable", "selector"}
    assert budget["spec"]["minAvailable"] > 1000


@clusters
def test_no_budget_keeps_a_worker(folder: Path) -> None:
    budgets = of_kind(folder, "PodDisruptionBudget")
    assert not any(selects(each["spec"]["selector"], ours("worker").labels) for each in budgets)


@profiled
def test_the_profile_names_what_the_manifests_make(folder: Path) -> None:
    found = profile(folder)
    classes = {each["metadata"]["name"]: each["value"] for each in of_kind(folder, "PriorityClass")}
    own = classes[found.scheduler.priority_class or ""]
    assert all(classes[each.priority_class or ""] < own for each in found.groups)
    named(folder, "Namespace", found.namespace)
    named(folder, "ServiceAccount", found.service_account)
    for each in found.config_maps:
        named(folder, "ConfigMap", each)


_AZURE = {"azure.workload.identity/use": "true"}


def test_labels_of_a_profile_are_those_of_the_pods_of_a_run_beside_ours() -> None:
    found, owner = profile(LOCAL).model_copy(update={"labels": _AZURE}), Owner("run", "uid")
    worker = worker_job(owner, "one", found.groups[0], found, memory_bytes=1)
    for job in (scheduler_job("run", found), worker):
        labels = job["spec"]["template"]["metadata"]["labels"]
        assert labels == job["metadata"]["labels"] | _AZURE


def test_a_label_of_a_kustomization_as_the_docs_have_it_is_that_of_the_driver() -> None:
    (text,) = re.findall(r"^labels:\n.*$", MANIFESTS.read_text(encoding="utf-8"), re.M)
    labels = yaml.safe_load(text)
    (job,) = written_as({**labels, "resources": [FOLDER / "jobs" / "run"]})
    assert job["spec"]["template"]["metadata"]["labels"].items() >= _AZURE.items()


def test_workers_keep_models_on_the_claim_that_a_profile_names() -> None:
    found = profile(LOCAL).model_copy(update={"model_cache": "models"})
    worker = worker_job(Owner("run", "uid"), "one", found.groups[0], found, memory_bytes=1)
    validate(worker, VERSIONS[-1], strict=True)
    pod = worker["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    variables = {each["name"]: each.get("value") for each in container["env"]}
    (place,) = [each["mountPath"] for each in container["volumeMounts"] if each["name"] == "models"]
    assert variables["DEEPSALT_MODEL_CACHE"] == place
    assert {"name": "models", "persistentVolumeClaim": {"claimName": "models"}} in pod["volumes"]


@clusters
def test_the_driver_has_the_image_and_the_time_of_the_profile(folder: Path) -> None:
    found, job = profile(folder), driver(folder / "run")
    pod = job["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"] == found.image
    assert job["spec"]["activeDeadlineSeconds"] == found.longest_h * 3600
    assert pod["terminationGracePeriodSeconds"] > found.grace_s
    assert job["metadata"]["namespace"] == found.namespace
    named(folder, "ServiceAccount", pod["serviceAccountName"])
    named(folder, "PriorityClass", pod["priorityClassName"])


def test_an_eviction_does_not_end_a_run_and_bad_input_does() -> None:
    spec = driver()["spec"]
    assert spec["template"]["spec"]["restartPolicy"] == "Never"  # podFailurePolicy needs it
    evicted, hopeless = spec["podFailurePolicy"]["rules"]
    assert evicted["action"] == "Ignore"
    assert evicted["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    assert (hopeless["action"], hopeless["onExitCodes"]["values"]) == ("FailJob", [2, 3])
    assert spec["backoffLimit"] > 0


_UNITS = {"": 1, "m": 1e-3, "Mi": 2**20, "Gi": 2**30}


def amount(quantity: str) -> float:
    number, unit = re.fullmatch(r"(\d+)([A-Za-z]*)", quantity).groups()  # type: ignore[union-attr]
    return int(number) * _UNITS[unit]


@profiled
def test_the_quota_holds_all_workers_at_the_memory_that_plan_predicts(folder: Path) -> None:
    found = profile(folder)
    # Remote scenes of EnMAP: the larger of its two block sizes, since no header was read.
    scene = replace(next(continent(1)), block_shape=(512, 512))
    own = driver()["spec"]["template"]["spec"]["containers"][0]["resources"]
    needed = {
        "pods": 2.0,
        "requests.cpu": found.scheduler.cpu + amount(own["requests"]["cpu"]),
        "requests.memory": found.scheduler.memory + amount(own["requests"]["memory"]),
        "requests.nvidia.com/gpu": 0.0,
    }
    for group in found.groups:
        memory = group.memory or worker_memory([scene], group.threads, "cuda" * group.gpus or "cpu")
        needed["pods"] += group.most
        needed["requests.cpu"] += group.most * (group.cpu or group.threads)
        needed["requests.memory"] += group.most * memory
        needed["requests.nvidia.com/gpu"] += group.most * group.gpus
    quota = named(folder, "ResourceQuota", "deepsalt")["spec"]["hard"]
    assert quota.keys() == needed.keys()
    for resource, most in needed.items():
        assert amount(quota[resource]) >= most, resource
        assert amount(quota[resource]) <= 3 * most, resource
