"""The one door to the API server of a Kubernetes cluster."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException
from urllib3.exceptions import HTTPError
from yaml import YAMLError

from deepsalt.documents import parse_document
from deepsalt.errors import FormatError, RunError

NAME = "app.kubernetes.io/name"
COMPONENT = "app.kubernetes.io/component"
RUN = "deepsalt.io/run"
GROUP = "deepsalt.io/group"

_REQUEST_S = (5, 30)
"""Time to connect, and to answer."""
_PAGE = 500


class Cluster:
    """Objects of one namespace.

    Parameters
    ----------
    namespace
        Its name.

    Raises
    ------
    RunError
        No cluster is configured.
    """

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.inside = _configured()
        known = client.Configuration.get_default_copy()
        known.retries = 1
        self._host = known.host
        asking = client.ApiClient(known)
        self.core = client.CoreV1Api(asking)
        self.batch = client.BatchV1Api(asking)

    def create(self, document: dict[str, Any]) -> dict[str, Any]:
        """Create an object; return it as the server keeps it.

        Raises
        ------
        RunError
            The server refuses, or does not answer; so from all methods.
        """
        makers: dict[str, Callable[..., Any]] = {
            "Job": self.batch.create_namespaced_job,
            "Service": self.core.create_namespaced_service,
            "Secret": self.core.create_namespaced_secret,
        }
        kind, name = document["kind"], document["metadata"]["name"]
        made = self._ask(f"create {kind} {name}", makers[kind], self.namespace, document)
        return self._plain(made)

    def job(self, name: str) -> dict[str, Any] | None:
        """Return a Job; None if there is none of this name."""
        with suppress(_GoneError):
            read = self.batch.read_namespaced_job
            return self._plain(self._ask(f"read Job {name}", read, name, self.namespace))
        return None

    def jobs(self, **labels: str) -> list[dict[str, Any]]:
        """Return the Jobs with these labels."""
        return self._listed(self.batch.list_namespaced_job, "list Jobs", labels)

    def pods(self, **labels: str) -> list[dict[str, Any]]:
        """Return the pods with these labels."""
        return self._listed(self.core.list_namespaced_pod, "list pods", labels)

    def warnings(self, name: str) -> list[dict[str, Any]]:
        """Return what the cluster warns of about an object, oldest first."""
        told = {"field_selector": f"involvedObject.name={name},type=Warning"}
        page = self._ask("list events", self.core.list_namespaced_event, self.namespace, **told)
        found = [self._plain(each) for each in page.items]
        return sorted(found, key=lambda each: str(each.get("lastTimestamp") or ""))

    def patch_job(self, name: str, change: dict[str, Any]) -> None:
        """Change a Job; nothing happens to one that is gone."""
        with suppress(_GoneError):
            patch = self.batch.patch_namespaced_job
            self._ask(f"change Job {name}", patch, name, self.namespace, change)

    def delete_job(self, name: str) -> None:
        """Delete a Job with its pods and all that belongs to it; one that is gone is fine."""
        with suppress(_GoneError):
            delete = self.batch.delete_namespaced_job
            what = f"delete Job {name}"
            self._ask(what, delete, name, self.namespace, propagation_policy="Background")

    def _listed(
        self, listing: Callable[..., Any], what: str, labels: Mapping[str, str]
    ) -> list[dict[str, Any]]:
        selector = ",".join(f"{_LABELS[key]}={value}" for key, value in labels.items())
        told: dict[str, Any] = {"label_selector": selector, "limit": _PAGE}
        page = self._ask(what, listing, self.namespace, **told)
        found = [*page.items]
        while more := page.metadata._continue:
            page = self._ask(what, listing, self.namespace, _continue=more, **told)
            found += page.items
        plain = [self._plain(each) for each in found]
        return sorted(plain, key=lambda each: str(each["metadata"]["creationTimestamp"]))

    def _plain(self, found: Any) -> dict[str, Any]:
        plain: dict[str, Any] = self.core.api_client.sanitize_for_serialization(found)
        return plain

    def _ask(self, what: str, method: Callable[..., Any], *args: Any, **told: Any) -> Any:
        """Send a request; say in one sentence what the server refused."""
        try:
            return method(*args, _request_timeout=_REQUEST_S, **told)
        except ApiException as error:
            raise _KINDS.get(error.status, RunError)(
                f"the Kubernetes cluster does not {what} in namespace {self.namespace}: "
                f"{_reason(error)}"
            ) from None
        except HTTPError as error:
            raise AwayError(
                f"the API server of the Kubernetes cluster at {self._host} does not answer "
                f"({_cause(error)}); check KUBECONFIG and the network, and run again"
            ) from None


class AwayError(RunError):
    """The API server does not answer, or not now; the same request may succeed later."""


class _GoneError(RunError):
    """An object is not there."""


_KINDS = {404: _GoneError, 429: AwayError, 500: AwayError, 502: AwayError, 503: AwayError}


_LABELS = {"name": NAME, "component": COMPONENT, "run": RUN, "group": GROUP, "job": "job-name"}


def _configured() -> bool:
    """Configure the client by the pod that this is, or by KUBECONFIG; whether it is a pod.

    Raises
    ------
    RunError
        There is neither.
    """
    try:
        config.load_incluster_config()
    except ConfigException:
        pass
    else:
        return True
    try:
        config.load_kube_config()
    except (ConfigException, OSError, YAMLError, TypeError, ValueError) as error:
        # A file that is no kubeconfig makes the library fail in any of these ways.
        said = " ".join(str(error).split())[:200]
        raise RunError(
            f"no Kubernetes cluster is configured ({said}); set KUBECONFIG, or check it with "
            "`kubectl get pods`"
        ) from None
    return False


def _cause(error: HTTPError) -> str:
    cause = getattr(error, "reason", None) or error
    return str(cause).rpartition(": ")[2][:200] or type(cause).__name__


def _reason(error: ApiException) -> str:
    """Return what the server said, without its headers."""
    said = error.reason
    with suppress(FormatError):
        said = parse_document(str(error.body or "").encode(), "the answer").get("message", said)
    return f"{str(said)[:500]} ({error.status})"
