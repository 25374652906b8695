"""A Dask cluster that is lost during a run of `map-scenes`: the run says so, the next goes on."""

from pathlib import Path

import pytest

from deepsalt.products import prefix_of
from flows.watch.costs import Costs
from flows.watch.database import Database
from tests.engines.clusters import cluster
from tests.engines.runs import config, contents
from tests.faults.stages import CHUNK
from tests.ops.running import Running, is_running, pid_of
from tests.servers.postgres import Postgres
from tests.waiting import wait_until

pytestmark = pytest.mark.ops

SCENES = 3
"""In a catalogue apart: those of the service's own are mapped by its watch."""


def test_a_lost_cluster_ends_the_run_with_a_sentence_and_the_next_one_goes_on(
    service: Running,
    database: Postgres,
    catalogue: Path,
    wanted: dict[str, str],
    tmp_path: Path,
) -> None:
    hits = tmp_path / "hits"
    hits.mkdir()
    with cluster(tmp_path / "lost") as made:
        made.worker(preload={"slow": [CHUNK, 0.1, str(hits)]})
        lost = start(service, catalogue, made.address)
        process = pid_of(service.wait_for(lost, "RUNNING"))
        assert is_running(process)
        wait_until(
            lambda: service.products() and service.begun() > service.products(),
            "no scene is half written while another is finished",
            alive=service.alive,
        )
    finished = service.products()
    assert service.begun() > finished
    before = files(service, finished)

    ended = service.wait_for(lost)
    assert ended["state_type"] == "FAILED"
    assert ended["state"]["message"].endswith(
        f"EngineLostError: the Dask scheduler at {made.address} is no longer reachable; completed "
        "work is kept, so restart it and run again"
    )
    wait_until(lambda: not is_running(process), "the process of the run does not end")

    with cluster(tmp_path / "new", workers=1) as made:
        service.complete(start(service, catalogue, made.address))
    present = len(finished)
    assert outcomes(service, database) == {"present": present, "written": SCENES - present}
    assert files(service, finished) == before
    assert contents(service.store) == wanted


def start(service: Running, catalogue: Path, scheduler: str) -> str:
    """Start a run on a cluster; return its id."""
    asked = config(catalogue, service.store, scheduler=scheduler)
    return service.run("map-scenes/local", config=asked.model_dump(mode="json"))


def files(service: Running, products: set[str]) -> dict[Path, int]:
    """Return the files of products, and when each was written, ns."""
    return {
        path: path.stat().st_mtime_ns
        for name in products
        for path in (service.store / prefix_of(name)).rglob("*")
    }


def outcomes(service: Running, database: Postgres) -> dict[str, float]:
    """Return how many scenes all runs into the store left with each outcome."""
    with Database(database.url) as costs:
        totals = Costs(costs).totals(str(service.store))
    return {each.outcome: each.amounts.scenes for each in totals if each.amounts.scenes}
