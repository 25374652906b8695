"""New acquisitions on a real server, worker and PostgreSQL: each becomes one product."""

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.campaign import examples
from tests.ops.running import Running, children, many
from tests.servers.postgres import Postgres
from tests.waiting import wait_until

pytestmark = pytest.mark.ops

EXECUTED = examples(15, 50)
"""Of 500 scenes that are submitted at once; a run takes about seven seconds of a core."""


def wait_for_products(service: Running, count: int, patience_s: float = 180) -> None:
    wait_until(
        lambda: len(service.products()) >= count,
        f"fewer than {count} products came",
        alive=service.alive,
        patience_s=patience_s,
    )


def test_a_posted_event_starts_a_run_within_seconds(service: Running, product: Path) -> None:
    (item,) = service.publish(many(product, 1))
    begun = time.monotonic()
    service.post({"item": item})
    wait_until(lambda: service.runs("process-scene"), "no run was submitted", patience_s=20)
    submitted_s = time.monotonic() - begun
    wait_until(
        lambda: service.runs("process-scene", "RUNNING", "COMPLETED"), "no run began", patience_s=90
    )
    print(f"submitted after {submitted_s:.1f} s, at work after {time.monotonic() - begun:.1f} s")
    wait_for_products(service, 1)


def test_a_scene_announced_twenty_times_by_both_ways_has_one_run(
    service: Running, product: Path
) -> None:
    before = len(service.runs("process-scene"))
    (item,) = service.publish(many(product, 1, first=10))
    watching = service.run("watch/all")
    service.post(*[{"item": item}] * 20)
    wait_for_products(service, 2)
    service.wait_for(watching)
    service.wait_for(service.run("watch/all"))
    assert len(service.runs("process-scene")) == before + 1


def test_an_older_version_that_comes_late_is_not_mapped(service: Running, product: Path) -> None:
    newer = replace(many(product, 1, first=20)[0], version="01.05.03")
    older = replace(newer, version="01.05.02", scene_id=f"{newer.scene_id}-old")
    (item,) = service.publish([newer])
    service.post({"item": item})
    wait_for_products(service, 3)
    before = len(service.runs("process-scene"))
    (item,) = service.publish([older])
    service.post({"item": item})
    service.wait_for(service.run("watch/all"))
    assert len(service.runs("process-scene")) == before


@pytest.mark.parametrize("payload", [{}, {"item": 7}, {"item": "/etc/passwd"}], ids=str)
def test_a_bad_payload_is_said_and_harms_nothing(
    service: Running, payload: dict[str, object]
) -> None:
    said = service.logs("listener").count("WARNING")
    service.post(payload)
    wait_until(lambda: service.logs("listener").count("WARNING") == said + 1, "nothing was said")
    assert service.children("listener")


def test_a_killed_watch_submits_the_rest_and_nothing_twice(service: Running, product: Path) -> None:
    products, before = len(service.products()), len(service.runs("process-scene"))
    service.publish(many(product, 4, first=30))
    run = service.run("watch/all")
    wait_until(
        lambda: len(service.runs("process-scene")) > before, "nothing was submitted", patience_s=60
    )
    kill_flows(service)
    service.wait_for(run)
    service.wait_for(service.run("watch/all"))
    wait_for_products(service, products + 4)
    assert len(service.runs("process-scene")) == before + 4


def kill_flows(service: Running) -> None:
    """Kill the processes of all flow runs."""
    for worker in service.children("worker"):
        for run in children(worker, "prefect.engine"):
            os.kill(run, signal.SIGKILL)


def test_a_killed_worker_is_started_again_and_each_scene_has_one_product(
    service: Running, product: Path
) -> None:
    products = len(service.products())
    for item in service.publish(many(product, 2, first=40)):
        service.post({"item": item})
    wait_until(lambda: service.runs("process-scene", "RUNNING"), "nothing began", patience_s=90)
    (worker,) = service.children("worker")
    os.kill(worker, signal.SIGKILL)
    wait_for_products(service, products + 2)
    assert service.children("worker") != [worker]


def test_a_server_that_is_started_again_during_a_run_loses_nothing(
    service: Running, product: Path
) -> None:
    products = len(service.products())
    for item in service.publish(many(product, 2, first=50)):
        service.post({"item": item})
    wait_until(lambda: service.runs("process-scene", "RUNNING"), "nothing began", patience_s=90)
    (server,) = service.children("server")
    os.kill(server, signal.SIGKILL)
    wait_for_products(service, products + 2)


def test_a_database_that_is_away_for_half_a_minute_loses_nothing(
    service: Running, product: Path, database: Postgres
) -> None:
    products = len(service.products())
    database.stop()
    service.publish(many(product, 2, first=60))
    time.sleep(30)
    database.start()
    wait_until(lambda: _runs(service), "the server did not come back", patience_s=120)
    service.wait_for(service.run("watch/all"))
    wait_for_products(service, products + 2)


def _runs(service: Running) -> bool:
    import httpx

    try:
        return bool(service.runs("watch"))
    except httpx.HTTPError:
        return False


def test_old_runs_are_deleted_by_the_upkeep(service: Running, database: Postgres) -> None:
    import psycopg

    with psycopg.connect(database.url) as connection:
        done = connection.execute(
            "update flow_run set end_time = now() - interval '60 days' "
            "where state_type = 'COMPLETED'"
        ).rowcount
        assert done > 10
    service.wait_for(service.run("maintain/local"))
    with psycopg.connect(database.url) as connection:
        query = "select count(*) from flow_run where end_time < now() - interval '32 days'"
        assert connection.execute(query).fetchone() == (0,)


def test_five_hundred_scenes_at_once_are_all_accepted(service: Running, product: Path) -> None:
    products, before = len(service.products()), len(service.runs("process-scene"))
    items = service.publish(many(product, 500, first=1000))
    watching = service.run("watch/all")
    service.post(*({"item": item} for item in items))
    service.wait_for(watching, patience_s=180)
    wait_until(
        lambda: len(service.runs("process-scene")) >= before + 500,
        "not all were accepted",
        patience_s=120,
    )
    assert len(service.runs("process-scene")) == before + 500
    assert "503" not in service.logs("listener")
    wait_for_products(service, products + EXECUTED, patience_s=400)


def test_nothing_left_the_machine(service: Running) -> None:
    left = service.left_the_machine
    assert not left.exists(), left.read_text()
