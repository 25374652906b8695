"""Runs of scenes on a Prefect server, one for each product and attempt."""

from contextlib import ExitStack
from pathlib import PurePosixPath
from typing import Any, Self
from urllib.parse import urlsplit
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import StateType
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

from deepsalt.errors import RunError, UsageError
from deepsalt.products import complete_names
from deepsalt.store import Store
from flows.watch.ledger import Submission
from flows.watch.watch import Outcome

_LOST_ATTEMPTS = 50

_OUTCOMES = {
    StateType.COMPLETED: Outcome.COMPLETED,
    StateType.FAILED: Outcome.FAILED,
    StateType.CRASHED: Outcome.STOPPED,
    StateType.CANCELLED: Outcome.STOPPED,
}


class PrefectSubmitter:
    """Submits scenes to a deployment of `process-scene`; a context manager.

    A run has the name of the product and the number of the attempt as its idempotency key: the
    server answers with the same run however often it is submitted.

    Parameters
    ----------
    deployment
        Name of the deployment, such as ``process-scene/local``.
    parameters
        Parameters of each run besides the Item; ``out`` is its store.

    Raises
    ------
    UsageError
        There is no such deployment.
    RunError
        The server cannot be reached.
    """

    def __init__(self, deployment: str, parameters: dict[str, Any]) -> None:
        self._open = ExitStack()
        self._client: SyncPrefectClient = self._open.enter_context(get_client(sync_client=True))
        self._parameters = parameters
        try:
            self._deployment = self._client.read_deployment_by_name(deployment).id
        except ObjectNotFound:
            raise UsageError(
                f"there is no deployment {deployment}; start `deepsalt serve`, or deploy "
                "infra/prefect.yaml"
            ) from None
        except (httpx.HTTPError, PrefectHTTPStatusError) as error:
            raise _away(error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def submit(self, submission: Submission) -> str:
        """Start the run of a scene, or find it; its id.

        A run that is found and has ended without a product is of an attempt that the ledger has
        lost, or its product was deleted since: the next attempt takes its place. One whose product
        is there ended after its watch looked at the store, and the next pass sees the product.

        Raises
        ------
        StoreError
            The store cannot be read.
        RunError
            The server does not answer, or refuses.
        """
        for attempt in range(submission.attempt, submission.attempt + _LOST_ATTEMPTS):
            run = self._submit(submission, attempt)
            outcome = _OUTCOMES.get(run["state_type"])
            if outcome is None or (outcome is Outcome.COMPLETED and self._is_made(submission)):
                break
        return str(run["id"])

    def _is_made(self, submission: Submission) -> bool:
        store = Store.open(self._parameters["out"])
        return bool(complete_names(store, {submission.product}))

    def _submit(self, submission: Submission, attempt: int) -> dict[str, Any]:
        # Its own schema was checked when the deployment was made, at 60 ms of the server's CPU.
        told = {
            "parameters": {**self._parameters, "item_uri": submission.item},
            "name": name_of(submission.item),
            "idempotency_key": f"{submission.store}/{submission.product}/{attempt}",
            "enforce_parameter_schema": False,
        }
        place = {"id": self._deployment}
        try:
            answer = self._client.request(
                "POST", "/deployments/{id}/create_flow_run", path_params=place, json=told
            )
        except (httpx.HTTPError, PrefectHTTPStatusError) as error:
            raise _away(error) from None
        found: dict[str, Any] = answer.json()
        return found

    def outcome(self, run: str) -> tuple[Outcome, str]:
        """Return how a run stands, and why it failed."""
        try:
            state = self._client.read_flow_run(UUID(run)).state
        except ObjectNotFound:
            return Outcome.UNKNOWN, ""
        except (httpx.HTTPError, PrefectHTTPStatusError) as error:
            raise _away(error) from None
        if state is None or state.type not in _OUTCOMES:
            return Outcome.ACTIVE, ""
        return _OUTCOMES[state.type], (state.message or state.name or "")[:500]


def name_of(item: str) -> str:
    """Return the name of the run of a scene: its Item's file, without the folders."""
    return f"scene-{PurePosixPath(urlsplit(item).path).stem}"


def _away(error: Exception) -> RunError:
    if not isinstance(error, PrefectHTTPStatusError):
        return RunError(
            f"the Prefect server does not answer ({type(error).__name__}); start it with "
            "`deepsalt serve` or `prefect server start`, or set PREFECT_API_URL"
        )
    status = error.response.status_code
    if status in {401, 403}:
        return RunError(
            f"the Prefect server wants its password ({status}); set PREFECT_API_AUTH_STRING to it"
        )
    if error.response.is_client_error:
        return RunError(
            f"the Prefect server refuses the request ({status}); run the version of deepsalt that "
            "started it"
        )
    return RunError(f"the Prefect server does not answer properly ({status}); look at its log")
