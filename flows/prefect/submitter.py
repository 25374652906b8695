"""Runs of scenes on a Prefect server, one for each product and attempt."""

from contextlib import ExitStack
from typing import Any, Self
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import StateType
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

from deepsalt.errors import RunError, UsageError
from flows.watch.ledger import Submission
from flows.watch.watch import Outcome

_OUTCOMES = {
    StateType.COMPLETED: Outcome.COMPLETED,
    StateType.FAILED: Outcome.FAILED,
    StateType.CRASHED: Outcome.FAILED,
    StateType.CANCELLED: Outcome.FAILED,
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
        Parameters of each run besides the Item.

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
                f"there is no deployment {deployment}; deploy infra/prefect.yaml first"
            ) from None
        except (httpx.HTTPError, PrefectHTTPStatusError) as error:
            raise _away(error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def submit(self, submission: Submission) -> str:
        """Start the run of a scene, or find it; its id."""
        try:
            run = self._client.create_flow_run_from_deployment(
                self._deployment,
                parameters={**self._parameters, "item_uri": submission.item},
                name=f"scene-{submission.scene}",
                idempotency_key=f"{submission.store}/{submission.product}/{submission.attempt}",
            )
        except (httpx.HTTPError, PrefectHTTPStatusError) as error:
            raise _away(error) from None
        return str(run.id)

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


def _away(error: Exception) -> RunError:
    return RunError(
        f"the Prefect server does not answer ({type(error).__name__}); start it with "
        "`prefect server start`, or set PREFECT_API_URL"
    )
