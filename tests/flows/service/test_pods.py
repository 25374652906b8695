"""Runs of a service as pods: what its file may say, and the Job that Prefect's worker makes."""

import asyncio
import os
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest
from kubernetes_validate import ValidationError, validate
from prefect.client.schemas.objects import FlowRun
from prefect_kubernetes.worker import KubernetesWorkerJobConfiguration

from deepsalt.errors import UsageError
from flows.service.config import ServiceConfig, parse_config
from flows.service.deployments import deployments_of
from flows.service.environment import PASSWORD_VARIABLE, environment, worker_environment
from flows.service.pods import DRIVERS, Pods, base_job_template
from flows.watch.database import URL_VARIABLE

LEDGER = "postgresql://u:open-sesame@db/salt"
WATCH = {"name": "all", "selection": {"catalogue": "https://example.org"}}


def service(**pods: Any) -> ServiceConfig:
    told = {
        "store": "s3://salt/store",
        "host": "0.0.0.0",
        "watch": [WATCH],
        "kubernetes": {"image": "deepsalt:1", **pods},
    }
    return ServiceConfig.model_validate(told)


def job_of(pods: Pods, flow: str = "process-scene") -> dict[str, Any]:
    """Return the Job that Prefect's worker makes for a run."""
    template = base_job_template(pods)
    configuration = asyncio.run(
        KubernetesWorkerJobConfiguration.from_template_and_values(
            template,
            pods.variables_of(flow),
            client=cast(Any, object()),  # of a server, which the template asks for nothing
        )
    )
    run = FlowRun(id=uuid4(), flow_id=uuid4(), name="scene-a")
    configuration.prepare_for_flow_run(run)
    found: dict[str, Any] = configuration.job_manifest
    return found


def pod_of(pods: Pods, flow: str = "process-scene") -> dict[str, Any]:
    spec: dict[str, Any] = job_of(pods, flow)["spec"]["template"]["spec"]
    return spec


def variables(pod: dict[str, Any]) -> dict[str, Any]:
    (container,) = pod["containers"]
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container["env"]}


# What the file may say


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"host": "127.0.0.1"}, "host is 127.0.0.1, which pods cannot reach"),
        ({"store": "/srv/store"}, "store is the folder /srv/store, which pods do not share"),
        ({"kubernetes": {}}, "kubernetes.image: Field required"),
        ({"kubernetes": {"image": "a", "sizes": {"wash": {}}}}, "kubernetes.sizes.wash"),
        ({"kubernetes": {"image": "a", "address": "server:4200"}}, "kubernetes.address"),
    ],
    ids=str,
)
def test_what_pods_cannot_do_is_refused(changed: dict[str, Any], said: str) -> None:
    told = service().model_dump(mode="json") | changed
    with pytest.raises(UsageError) as refused:
        parse_config(told, "service.toml")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_ledger_in_a_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    with pytest.raises(UsageError, match="SQLite, which pods cannot share; give PostgreSQL"):
        environment(service())


def test_a_password_without_its_secret_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URL_VARIABLE, LEDGER)
    monkeypatch.setenv(PASSWORD_VARIABLE, "ada:open-sesame")
    with pytest.raises(UsageError, match="name it as login_secret"):
        environment(service())


def test_a_cancelled_run_whose_pod_cannot_end_it_loses_its_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(URL_VARIABLE, LEDGER)
    name = "PREFECT_SERVER_SERVICES_CANCELLATION_CLEANUP_CANCELLING_TIMEOUT_SECONDS"
    assert environment(service())[name] == "60"


# The Job


def test_the_job_tries_nothing_again_but_a_pod_that_went_with_its_node() -> None:
    spec = job_of(service().kubernetes)["spec"]
    assert (spec["backoffLimit"], spec["ttlSecondsAfterFinished"]) == (0, 600)
    (rule,) = spec["podFailurePolicy"]["rules"]
    assert rule["action"] == "Ignore"
    assert [each["type"] for each in rule["onPodConditions"]] == ["DisruptionTarget"]
    assert spec["template"]["spec"]["restartPolicy"] == "Never"  # the policy needs it


def test_a_pod_that_is_asked_to_leave_gives_its_run_back() -> None:
    told = variables(pod_of(service().kubernetes))
    assert told["PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR"] == "reschedule"


@pytest.mark.parametrize("version", ["1.29.0", "1.34.0"])
def test_kubernetes_knows_the_job_but_for_two_fields_that_prefect_asks_for(version: str) -> None:
    pods = service(
        files="files",
        secrets=["keys"],
        config_maps=["settings"],
        node_selector={"pool": "spot"},
        tolerations=[{"key": "spot"}],
        priority_class="low",
    ).kubernetes
    job = job_of(pods)
    with pytest.raises(ValidationError):
        validate(job, version, strict=True)
    for ours in ("parallelism", "completions"):
        del job["spec"]["template"]["spec"][ours]
    validate(job, version, strict=True)


def test_a_pod_may_do_little() -> None:
    pod = pod_of(service().kubernetes)
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {each["name"] for each in pod["volumes"]} == {"tmp", "scratch"}
    assert all("sizeLimit" in each["emptyDir"] for each in pod["volumes"])


@pytest.mark.parametrize("flow", ["process-scene", *DRIVERS])
def test_only_what_may_make_a_cluster_has_a_token(flow: str) -> None:
    job = job_of(service().kubernetes, flow)
    pod, drives = job["spec"]["template"]["spec"], flow in DRIVERS
    assert pod["automountServiceAccountToken"] is drives
    assert pod["serviceAccountName"] == ("deepsalt-driver" if drives else "deepsalt-worker")
    labels = job["spec"]["template"]["metadata"]["labels"]
    assert labels["app.kubernetes.io/name"] == "deepsalt"
    assert labels["app.kubernetes.io/component"] == ("driver" if drives else "flow")


def test_a_pod_has_the_size_of_its_flow() -> None:
    pods = service(sizes={"process-scene": {"cpu": 2, "memory": "3GB"}}).kubernetes
    (container,) = pod_of(pods)["containers"]
    assert container["resources"] == {
        "requests": {"cpu": "2", "memory": "3000000000"},
        "limits": {"memory": "3000000000"},
    }


# Deployments


def parameters(config: ServiceConfig) -> dict[str, dict[str, Any]]:
    return {each.flow_name: each.parameters for each in deployments_of(config)}


def test_as_many_threads_compute_as_a_pod_has_cores() -> None:
    found = parameters(service(sizes={"process-scene": {"cpu": 3}, "build-mosaic": {"cpu": 2}}))
    assert found["process-scene"]["config"]["compute"]["threads"] == 3
    assert found["watch"]["config"]["scene"]["compute"]["threads"] == 3
    assert found["build-mosaic"]["config"]["compute"]["threads"] == 2


def test_no_code_is_copied_into_a_pod() -> None:
    # Without a step Prefect copies the folder where `serve` was started, as the pod has it.
    for each in deployments_of(service()):
        assert each.storage is not None
        assert each.storage.to_pull_step() == {
            "prefect.deployments.steps.set_working_directory": {"directory": "/tmp"}
        }


def test_a_run_of_many_scenes_makes_the_cluster_of_the_profile(tmp_path: Path) -> None:
    profile = tmp_path / "cluster.toml"
    profile.write_text('image = "deepsalt:1"\n[[groups]]\nname = "cpu"\nmost = 9\nthreads = 2\n')
    found = parameters(service(cluster=str(profile)))
    for flow in ("map-scenes", "backfill"):
        compute = found[flow]["config"]["scene"]["compute"]
        assert compute["cluster"]["groups"][0]["most"] == 9
        assert compute["threads"] is None
    assert found["process-scene"]["config"]["compute"]["cluster"] is None


def test_processes_of_this_machine_are_told_nothing_of_pods() -> None:
    config = ServiceConfig.model_validate({"watch": [WATCH]})
    assert all(each.job_variables == {} for each in deployments_of(config))
    assert parameters(config)["process-scene"]["config"]["compute"]["threads"] is None


# Secrets


def test_manifests_get_no_secret_from_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*os.environ]:
        if name.startswith("PREFECT_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv(URL_VARIABLE, LEDGER)
    monkeypatch.setenv(PASSWORD_VARIABLE, "ada:open-sesame")
    config = service(login_secret="login")
    found = worker_environment(config, environment(config))
    # The worker's own login stays with it: the Secret that this names takes its place.
    told = "PREFECT_INTEGRATIONS_KUBERNETES_WORKER_API_AUTH_STRING_SECRET_"
    assert (found[f"{told}NAME"], found[f"{told}KEY"]) == ("login", PASSWORD_VARIABLE)
    reaching = {key: each for key, each in found.items() if key.startswith("PREFECT_")}
    del reaching["PREFECT_API_AUTH_STRING"]
    assert "open-sesame" not in str(reaching)
