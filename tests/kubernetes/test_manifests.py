"""The manifests on a cluster: taken as sent, rights as listed, budgets kept, networks closed."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from tests.infra.openings import BETWEEN_PODS
from tests.infra.rendering import FOLDER, OVERLAYS, Manifest, rendered, written_as
from tests.infra.rights import documented
from tests.kubernetes.cluster import Cluster, Space
from tests.kubernetes.images import WORKER
from tests.kubernetes.overlay import applied
from tests.kubernetes.pods import job, pod, pod_spec

pytestmark = [pytest.mark.k8s, pytest.mark.xdist_group("manifests")]

OLD = OVERLAYS / "kubernetes-1.20"
ACCOUNTS = ("deepsalt-driver", "deepsalt-worker", "deepsalt-service")
_SLEEP = pod_spec(WORKER, ["-c", "import time; time.sleep(600)"], command=["python"])


@pytest.fixture(scope="module")
def space(cluster: Cluster) -> Iterator[Space]:
    """A namespace with the overlay that suits the cluster."""
    with cluster.space("manifests") as made, applied(made):
        yield made


def of_the_overlay(cluster: Cluster, namespace: str) -> list[Manifest]:
    folder = OLD if cluster.version < (1, 21) else OVERLAYS / "local"
    resources = [folder, folder / "run"]
    found = written_as({"namespace": namespace, "resources": resources})
    return [_held(each) for each in found]


def _held(document: Manifest) -> Manifest:
    """Return a Job that makes no pod: its object is what is tried."""
    if document["kind"] != "Job":
        return document
    return {**document, "spec": {**document["spec"], "parallelism": 0}}


# Taken as sent


def lost(sent: Any, got: Any, path: str) -> Iterator[str]:
    """Yield the paths of what was sent and did not come back."""
    if isinstance(sent, dict):
        for key, value in sent.items():
            if value in ({}, [], "", None):
                continue
            if not isinstance(got, dict) or key not in got:
                yield f"{path}.{key}"
            else:
                yield from lost(value, got[key], f"{path}.{key}")
    elif isinstance(sent, list):
        if len(sent) != len(got):
            yield path
        for index, (one, other) in enumerate(zip(sent, got, strict=False)):
            yield from lost(one, other, f"{path}.{index}")


def tried(space: Space, document: Manifest) -> list[str]:
    """Send a document to the server as a dry run, under another name; what of it was dropped."""
    meta = {**document["metadata"], "name": f"{document['metadata']['name']}-try"}
    sent, kind = {**document, "metadata": meta}, space.cluster.kind(document["kind"])
    got = kind.create(body=sent, namespace=meta.get("namespace"), dry_run="All").to_dict()
    return list(lost(sent, got, document["kind"]))


def test_the_server_takes_every_object_and_drops_no_field(cluster: Cluster, space: Space) -> None:
    for each in of_the_overlay(cluster, space.name):
        assert not tried(space, each)


def test_kubectl_applies_the_overlay_over_what_is_there(cluster: Cluster, space: Space) -> None:
    items = of_the_overlay(cluster, space.name)
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    for _ in range(2):
        run = subprocess.run(
            ["kubectl", "apply", "-f", "-"], input=text, text=True, capture_output=True
        )
        assert run.returncode == 0, run.stderr


def test_fields_that_an_old_server_drops_are_those_that_the_docs_call_unproven(
    cluster: Cluster, space: Space
) -> None:
    (run,) = [each for each in rendered(FOLDER / "jobs" / "run") if each["kind"] == "Job"]
    dropped = tried(space, {**run, "metadata": {**run["metadata"], "namespace": space.name}})
    if dropped:
        assert cluster.version < (1, 25)
        assert dropped == ["Job.spec.podFailurePolicy"]
        pytest.skip(f"unproven: Kubernetes {cluster.version} drops {', '.join(dropped)}")


def test_a_pod_below_the_restricted_standard_is_refused(cluster: Cluster, space: Space) -> None:
    if cluster.version < (1, 25):
        pytest.skip(f"unproven: Kubernetes {cluster.version} knows no Pod Security labels")
    root = pod("root", {"containers": [{"name": "main", "image": WORKER}]})
    with pytest.raises(ApiException, match="restricted"):
        space.make(root)


# Rights

RESOURCES = {
    "jobs": "batch",
    "deployments": "apps",
    "roles": "rbac.authorization.k8s.io",
    "rolebindings": "rbac.authorization.k8s.io",
    **dict.fromkeys(
        [
            *("pods", "pods/log", "pods/exec", "pods/portforward", "services", "secrets"),
            *("configmaps", "events", "serviceaccounts", "serviceaccounts/token"),
            *("persistentvolumeclaims", "namespaces", "nodes"),
        ],
        "",
    ),
}
VERBS = ("create", "delete", "get", "list", "patch", "update", "watch")


def may(cluster: Cluster, user: str, verb: str, resource: str, namespace: str) -> bool:
    """Ask the server as `kubectl auth can-i --as=USER VERB RESOURCE` does."""
    kind, _, part = resource.partition("/")
    asked = {
        "kind": "SubjectAccessReview",
        "spec": {
            "user": user,
            "groups": ["system:authenticated", "system:serviceaccounts"],
            "resourceAttributes": {
                "namespace": namespace,
                "verb": verb,
                "group": RESOURCES[resource],
                "resource": kind,
                "subresource": part,
            },
        },
    }
    return bool(cluster.make(asked)["status"].get("allowed"))


@pytest.mark.parametrize("account", ACCOUNTS)
def test_an_account_may_do_what_the_docs_list_and_nothing_else(
    cluster: Cluster, space: Space, account: str
) -> None:
    user = f"system:serviceaccount:{space.name}:{account}"
    allowed = {
        (resource, verb)
        for resource in RESOURCES
        for verb in VERBS
        if may(cluster, user, verb, resource, space.name)
    }
    assert allowed == {
        (resource, verb)
        for (role, resource), verbs in documented().items()
        for verb in verbs
        if role == account
    }


@pytest.mark.parametrize("account", ACCOUNTS)
def test_an_account_may_do_nothing_in_other_namespaces(
    cluster: Cluster, space: Space, account: str
) -> None:
    user = f"system:serviceaccount:{space.name}:{account}"
    elsewhere = [
        (resource, verb)
        for resource in RESOURCES
        for verb in VERBS
        if may(cluster, user, verb, resource, "default")
    ]
    assert not elsewhere


Call = Callable[[client.ApiClient, str], Any]
_NAME: Any = {"metadata": {"name": "tried"}}
_POD: Any = pod("tried", _SLEEP)
_JOB: Any = _held(job("tried", _SLEEP, component="test"))
CALLS: dict[str, Call] = {
    "make a Job": lambda api, space: client.BatchV1Api(api).create_namespaced_job(space, _JOB),
    "delete a Job": lambda api, space: client.BatchV1Api(api).delete_namespaced_job(
        "tried", space, propagation_policy="Background"
    ),
    "list pods": lambda api, space: client.CoreV1Api(api).list_namespaced_pod(space),
    "make a pod": lambda api, space: client.CoreV1Api(api).create_namespaced_pod(space, _POD),
    "make a Secret": lambda api, space: client.CoreV1Api(api).create_namespaced_secret(
        space, _NAME
    ),
    "read a Secret": lambda api, space: client.CoreV1Api(api).read_namespaced_secret("any", space),
    "list Secrets": lambda api, space: client.CoreV1Api(api).list_namespaced_secret(space),
    "make a role": lambda api, space: client.RbacAuthorizationV1Api(api).create_namespaced_role(
        space, _NAME
    ),
    "list Jobs elsewhere": lambda api, _: client.BatchV1Api(api).list_namespaced_job("default"),
    "list nodes": lambda api, _: client.CoreV1Api(api).list_node(),
}
ALLOWED = {
    "deepsalt-driver": {"make a Job", "delete a Job", "list pods", "make a Secret"},
    "deepsalt-service": {"make a Job", "delete a Job", "list pods"},
    "deepsalt-worker": set(),
}


@pytest.mark.parametrize("account", ACCOUNTS)
def test_calls_with_an_accounts_own_token_succeed_or_are_refused(
    space: Space, account: str
) -> None:
    outcomes = {name: status(call, space, account) for name, call in CALLS.items()}
    assert {name for name, found in outcomes.items() if found == 200} == ALLOWED[account]
    assert {*outcomes.values()} <= {200, 403}, outcomes


def status(call: Call, space: Space, account: str) -> int:
    """Make a call as an account; the server's answer."""
    core = client.CoreV1Api(space.cluster.client)
    request: Any = {"spec": {"audiences": None, "expirationSeconds": 600}}
    told: Any = core.create_namespaced_service_account_token(account, space.name, request)
    own = client.Configuration()
    admin = space.cluster.client.configuration
    own.host, own.ssl_ca_cert, own.verify_ssl = admin.host, admin.ssl_ca_cert, admin.verify_ssl
    own.api_key = {"authorization": f"Bearer {told.status.token}"}
    with client.ApiClient(own) as api:
        try:
            call(api, space.name)
        except ApiException as error:
            return int(error.status or 0)
        finally:
            api.rest_client.pool_manager.clear()  # the client leaves its connections open
    return 200


def test_a_pod_of_a_worker_has_no_token(space: Space) -> None:
    look = "import pathlib; print(*pathlib.Path('/var/run/secrets').glob('*/*/token'))"
    spec = pod_spec(WORKER, ["-c", look], command=["python"], serviceAccountName="deepsalt-worker")
    del spec["automountServiceAccountToken"]  # what the account says counts
    space.make(pod("tokenless", spec))
    space.wait(
        lambda: space.get("Pod", "tokenless")["status"]["phase"] == "Succeeded",
        "the pod does not end",
    )
    assert not space.said("tokenless").strip()


# Budgets


def test_an_eviction_of_a_scheduler_or_driver_is_refused_though_two_run(space: Space) -> None:
    kept, given = ("scheduler", "driver"), "worker"
    for component in (*kept, given):
        for number in (1, 2):
            space.make(job(f"{component}-{number}", _SLEEP, component=component))
    names = [f"{component}-{number}" for component in (*kept, given) for number in (1, 2)]
    space.wait(lambda: all(space.is_ready(space.pod_of(each)) for each in names), "pods do not run")
    space.wait(
        lambda: [_healthy(space, each) for each in kept] == [2, 2], "budgets do not see their pods"
    )
    space.evict(space.pod_of("worker-1"))
    for component in kept:
        assert refused(space, space.pod_of(f"{component}-1"))
        space.delete("PodDisruptionBudget", component)
        assert not refused(space, space.pod_of(f"{component}-1"))


def _healthy(space: Space, budget: str) -> int:
    return int(space.get("PodDisruptionBudget", budget).get("status", {}).get("currentHealthy", 0))


def refused(space: Space, name: str) -> bool:
    """Ask for an eviction; whether a budget does not allow it."""
    try:
        space.evict(name)
    except ApiException as error:
        if error.status != 429:
            raise
        return True
    return False


# The network

_PORTS = (8786, 8787, 8788, 8789)
_LISTEN = f"""
import socket, threading
def answer(port):
    server = socket.create_server(("", port))
    while True:
        server.accept()[0].close()
for port in {_PORTS}:
    threading.Thread(target=answer, args=(port,)).start()
"""
_PROBE = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor
def is_open(target):
    try:
        socket.create_connection(tuple(target), timeout=3).close()
    except OSError:
        return False
    return True
print(json.dumps([*ThreadPoolExecutor(16).map(is_open, json.loads(sys.argv[1]))]))
"""
_CLOSED = {
    "kind": "NetworkPolicy",
    "metadata": {"name": "closed"},
    "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
}


def listening(space: Space, *components: str) -> dict[str, str]:
    """Start a pod per component that listens on all ports; their addresses."""
    for each in components:
        spec = pod_spec(
            WORKER,
            ["-c", _LISTEN],
            command=["python"],
            container={"readinessProbe": {"tcpSocket": {"port": _PORTS[-1]}, "periodSeconds": 1}},
        )
        space.make(pod(f"at-{each}", spec, component=each.rstrip("2")))
    space.wait(
        lambda: all(space.is_ready(f"at-{each}") for each in components), "pods do not listen"
    )
    return {each: space.get("Pod", f"at-{each}")["status"]["podIP"] for each in components}


def reach(space: Space, source: str, targets: list[tuple[str, int]]) -> list[bool]:
    """Try connections from a pod; which of them are open."""
    asked = ["kubectl", "-n", space.name, "exec", f"at-{source}", "--", "python", "-c", _PROBE]
    run = subprocess.run([*asked, json.dumps(targets)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    found: list[bool] = json.loads(run.stdout)
    return found


def settles(true: Callable[[], bool]) -> bool:
    """Return whether something becomes so within ten seconds: policies take effect in the end."""
    until = time.monotonic() + 10
    while not (found := true()) and time.monotonic() < until:
        time.sleep(0.5)
    return found


@pytest.fixture(scope="module")
def enforcing(cluster: Cluster) -> None:
    """Find out whether the cluster's network keeps to policies at all."""
    with cluster.space("closed") as space:
        found = listening(space, "one", "other")
        target = [(found["other"], _PORTS[0])]
        space.wait(lambda: reach(space, "one", target) == [True], "pods do not reach each other")
        space.make(_CLOSED)
        if not settles(lambda: reach(space, "one", target) == [False]):
            pytest.skip("unproven: this cluster's network does not enforce NetworkPolicies")


@pytest.mark.usefixtures("enforcing")
def test_pods_reach_each_other_where_a_policy_opens_it_and_nowhere_else(space: Space) -> None:
    found = listening(space, "scheduler", "worker", "worker2", "driver", "stranger")
    assert settles(lambda: not unlike_the_table(space, found)), unlike_the_table(space, found)


def unlike_the_table(space: Space, addresses: dict[str, str]) -> list[tuple[str, str, int, bool]]:
    """Try every connection of the table; its rows that are not so."""
    wrong = []
    for source in {row[0] for row in BETWEEN_PODS}:
        rows = [row for row in BETWEEN_PODS if row[0] == source]
        peers = ["worker2" if row[1] == source else row[1] for row in rows]
        targets = [(addresses[peer], row[2]) for peer, row in zip(peers, rows, strict=True)]
        opened = reach(space, source, targets)
        wrong += [row for row, is_open in zip(rows, opened, strict=True) if row[3] != is_open]
    return wrong
