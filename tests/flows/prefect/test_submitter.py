"""A submission finds the run of its attempt, and what a server refuses is one sentence."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from deepsalt.errors import RunError
from flows.prefect.submitter import PrefectSubmitter
from flows.watch.ledger import State, Submission
from tests.flows.watch.world import DAWN
from tests.servers.hostile import Asked, Hostile, Reply, hostile_server
from tests.store.builders import make_store

DEPLOYMENT = {"id": str(UUID(int=1)), "flow_id": str(UUID(int=2)), "name": "local"}


def reply(document: object, status: int = 200) -> Reply:
    body = json.dumps(document).encode()
    return Reply(status, {"Content-Length": str(len(body))}, lambda: iter([body]))


@dataclass
class Runs:
    """A Prefect server with one deployment, and its runs' states by attempt."""

    states: dict[int, str] = field(default_factory=dict)

    def answer(self, _: Hostile, asked: Asked) -> Reply:
        if asked.path.endswith("/create_flow_run"):
            attempt = int(json.loads(asked.body)["idempotency_key"].rpartition("/")[2])
            state = self.states.get(attempt, "SCHEDULED")
            return reply({"id": f"run-{attempt}", "state_type": state})
        is_asked_for = "/deployments/name/" in asked.path
        return reply(DEPLOYMENT) if is_asked_for else reply({}, 404)  # such as CSRF tokens


@pytest.fixture
def store(tmp_path: Path) -> str:
    return str(make_store(tmp_path / "store"))


@contextmanager
def submitting(answer: object, store: str) -> Iterator[PrefectSubmitter]:
    with (
        hostile_server(answer) as server,  # type: ignore[arg-type]
        temporary_settings({PREFECT_API_URL: f"{server.url}/api"}),
        PrefectSubmitter("process-scene/local", {"out": store}) as submitter,
    ):
        yield submitter


def submission(store: str) -> Submission:
    return Submission(
        product="product",
        store=store,
        watch="all",
        collection="enmap",
        acquisition="one",
        version="1",
        scene="enmap/one",
        item="/items/one.json",
        state=State.SUBMITTED,
        attempt=1,
        run="",
        reason="",
        acquired=None,
        announced=DAWN,
        changed=DAWN,
    )


def submitted(states: dict[int, str], store: str) -> str:
    with submitting(Runs(states).answer, store) as submitter:
        return submitter.submit(submission(store))


@pytest.mark.parametrize("ended", ["FAILED", "CRASHED", "CANCELLED"])
def test_the_next_attempt_takes_the_place_of_a_lost_one_that_failed(store: str, ended: str) -> None:
    assert submitted({1: ended, 2: ended}, store) == "run-3"


def test_a_run_that_completed_after_its_watch_looked_has_no_second_one(store: str) -> None:
    done = Path(store, "records/done/product.json")
    done.parent.mkdir(parents=True, exist_ok=True)
    done.write_text("{}")
    assert submitted({1: "COMPLETED"}, store) == "run-1"


def test_a_product_that_was_deleted_is_made_again_by_the_next_attempt(store: str) -> None:
    assert submitted({1: "COMPLETED"}, store) == "run-2"


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (401, "wants its password (401); set PREFECT_API_AUTH_STRING"),
        (403, "wants its password (403); set PREFECT_API_AUTH_STRING"),
        (422, "refuses the request (422); run the version of deepsalt that started it"),
        (500, "does not answer properly (500); look at its log"),
    ],
)
def test_only_a_server_that_wants_a_password_is_said_to(store: str, code: int, advice: str) -> None:
    def refuse(_: Hostile, asked: Asked) -> Reply:
        is_run = asked.path.endswith("/create_flow_run")
        return reply({}, code) if is_run else Runs().answer(_, asked)

    with submitting(refuse, store) as submitter, pytest.raises(RunError) as refused:
        submitter.submit(submission(store))
    assert advice in str(refused.value)
