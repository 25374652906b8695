"""New acquisitions on a real server, worker and PostgreSQL: each becomes one product."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg import sql

from deepsalt.types import Acquisition
from flows.watch.alerts import open_alerts
from flows.watch.database import Database
from tests.access.login.fetching import everything_in, write_secret
from tests.access.login.test_secrets import WRONG, assert_no_secret
from tests.campaign import examples
from tests.flows.conftest import remote_items
from tests.ops.running import Running, children, is_running, many, pid_of
from tests.servers.archive import archive
from tests.servers.postgres import Postgres
from tests.waiting import wait_until

pytestmark = pytest.mark.ops

EXECUTED = examples(4, 50)
"""Of 500 scenes that are submitted at once; a run takes about seven seconds of a core."""


SOON_S = 5.0
"""From an announcement to the run that is submitted; an idle machine takes less than one."""

REFUSED = re.compile(r"503 Service Unavailable|status code 503|PrefectHTTPStatusError|retryable")
"""How server, listener and runs say that the server refused a request for now."""


def wait_for_products(service: Running, count: int, patience_s: float = 180) -> None:
    wait_until(
        lambda: len(service.products()) >= count,
        f"fewer than {count} products came",
        alive=service.alive,
        patience_s=patience_s,
    )


def test_a_posted_event_starts_a_run_within_seconds(service: Running, product: Path) -> None:
    (item,) = service.publish(many(product, 1))
    posted = datetime.now(UTC)
    service.post({"item": item})
    wait_for_products(service, 1)
    (run,) = service.runs("process-scene")
    submitted_s, began_s = (
        (datetime.fromisoformat(run[what]) - posted).total_seconds()
        for what in ("created", "start_time")
    )
    print(f"submitted after {submitted_s:.1f} s, at work after {began_s:.1f} s")
    assert submitted_s < SOON_S


def test_a_scene_announced_twenty_times_by_both_ways_has_one_run(
    service: Running, product: Path
) -> None:
    before = len(service.runs("process-scene"))
    (item,) = service.publish(many(product, 1, first=10))
    heard = announcements(service)
    watching = service.run("watch/all")
    service.post(*[{"item": item}] * 20)
    wait_for_products(service, 2)
    wait_until(lambda: announcements(service) == heard + 20, "not all were heard")
    service.complete(watching)
    service.complete(service.run("watch/all"))
    assert len(service.runs("process-scene")) == before + 1


@pytest.mark.skipif(not examples(0, 1), reason="the quick tests of a watch know it, too")
def test_an_older_version_that_comes_late_is_not_mapped(service: Running, product: Path) -> None:
    newer = replace(many(product, 1, first=20)[0], version="01.05.03")
    older = replace(newer, version="01.05.02", scene_id=f"{newer.scene_id}-old")
    (item,) = service.publish([newer])
    service.post({"item": item})
    wait_for_products(service, 3)
    before, heard = len(service.runs("process-scene")), announcements(service)
    (item,) = service.publish([older])
    service.post({"item": item})
    service.complete(service.run("watch/all"))
    wait_until(lambda: announcements(service) == heard + 1, "it was not heard")
    assert len(service.runs("process-scene")) == before


def announcements(service: Running) -> int:
    """Return the number of announcements that the listener has dealt with."""
    return len(re.findall(r"(INFO|WARNING) announcement", service.logs("listener")))


@pytest.mark.parametrize("payload", [{}, {"item": 7}, {"item": "/etc/passwd"}], ids=str)
def test_a_bad_payload_raises_an_alert_and_harms_nothing(
    service: Running, database: Postgres, payload: dict[str, object]
) -> None:
    before, listener = service.runs("process-scene"), service.children("listener")
    said = len(warnings(service))
    service.post(payload)
    wait_until(lambda: len(warnings(service)) == said + 1, "nothing was said")
    reason = warnings(service)[-1]
    with Database(database.url) as ledger:
        wait_until(
            lambda: any(reason in alert.sentence for alert in open_alerts(ledger)),
            "no alert was raised",
        )
    assert len(service.runs("process-scene")) == len(before)
    assert service.children("listener") == listener


def warnings(service: Running) -> list[str]:
    """Return what the listener said of announcements that it could not use."""
    return re.findall(r"WARNING announcement \S+: (.*)", service.logs("listener"))


def test_a_killed_watch_submits_the_rest_and_nothing_twice(service: Running, product: Path) -> None:
    products, before = len(service.products()), len(service.runs("process-scene"))
    service.publish(many(product, 4, first=30))
    run = service.run("watch/all")
    wait_until(
        lambda: len(service.runs("process-scene")) > before, "nothing was submitted", patience_s=60
    )
    kill_flows(service)
    service.wait_for(run)
    service.complete(service.run("watch/all"))
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
    wait_until(lambda: service.children("worker"), "no worker was started again")
    assert service.children("worker") != [worker]


@pytest.mark.skipif(not examples(0, 1), reason="three signs of life take three minutes")
def test_a_run_that_is_killed_with_its_worker_ends_as_crashed_and_its_scene_is_mapped(
    service: Running, product: Path
) -> None:
    run = half_written(service, many(product, 3, first=42))
    before = service.products()
    (worker,) = service.children("worker")
    os.kill(worker, signal.SIGKILL)
    os.kill(pid_of(run), signal.SIGKILL)
    ended = service.wait_for(run["id"], patience_s=300)
    assert ended["state_type"] == "CRASHED"
    assert ended["state"]["message"] == "no sign of life for 180 s: its process is gone"
    assert service.products() == before
    service.complete(service.run("watch/all"))
    wait_for_products(service, len(before) + 1)


def half_written(service: Running, scenes: list[Acquisition]) -> dict[str, Any]:
    """Announce scenes until the run of one is stopped when the store has a part of it; the run."""
    for scene in scenes:
        wait_until(lambda: service.begun() == service.products(), "other scenes are at work")
        wait_until(lambda: not at_work(service), "other runs are at work")
        (item,) = service.publish([scene])
        service.post({"item": item})
        wait_until(lambda: at_work(service), "no run began", alive=service.alive)
        (run,) = at_work(service)
        wait_until(
            lambda: service.begun() != service.products(), "nothing was begun", alive=service.alive
        )
        os.kill(pid_of(run), signal.SIGSTOP)
        if service.begun() > service.products():
            return run
        os.kill(pid_of(run), signal.SIGCONT)
    pytest.fail("each scene was finished before its run could be stopped")


def at_work(service: Running) -> list[dict[str, Any]]:
    """Return the runs of scenes that have a process."""
    runs = service.runs("process-scene", "RUNNING")
    return [run for run in runs if run["infrastructure_pid"]]


def test_a_cancelled_scene_counts_for_nothing_and_its_next_run_maps_it(
    service: Running, product: Path
) -> None:
    run = half_written(service, many(product, 3, first=45))
    before = service.products()
    service.cancel(run["id"])
    wait_until(lambda: is_asked_to_end(pid_of(run)), "the run is not asked to end")
    os.kill(pid_of(run), signal.SIGCONT)
    ended = service.wait_for(run["id"])
    assert ended["state_type"] == "CANCELLED", ended["state"]["message"]
    assert not is_running(pid_of(run))
    assert service.products() == before
    service.complete(service.run("watch/all"))
    wait_for_products(service, len(before) + 1)


def is_asked_to_end(pid: int) -> bool:
    """Return whether SIGTERM waits for a stopped process."""
    text = Path(f"/proc/{pid}/status").read_text()
    (waiting,) = re.findall(r"ShdPnd:\s*(\w+)", text)
    return bool(int(waiting, 16) >> (signal.SIGTERM - 1) & 1)


def test_a_server_that_is_started_again_during_a_run_loses_nothing(
    service: Running, product: Path
) -> None:
    products = len(service.products())
    items = service.publish(many(product, 2, first=50))
    service.post(*({"item": item} for item in items))

    def ours(*types: str) -> list[dict[str, Any]]:
        runs = service.runs("process-scene", *types)
        return [each for each in runs if each["parameters"]["item_uri"] in items]

    wait_until(lambda: len(ours()) == 2 and ours("RUNNING"), "nothing began", patience_s=90)
    (server,) = service.children("server")
    os.kill(server, signal.SIGKILL)
    wait_until(lambda: service.children("server") not in ([], [server]), "no server came back")
    wait_until(service.answers, "the server does not answer", patience_s=60)
    service.complete(service.run("watch/all"))  # one that died as it began is submitted again
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
    service.complete(service.run("watch/all"))
    wait_for_products(service, products + 2)


def _runs(service: Running) -> bool:
    try:
        return bool(service.runs("watch"))
    except httpx.HTTPError:
        return False


PARTS = {"flow_run": "id", "flow_run_state": "flow_run_id", "log": "flow_run_id"} | {
    "artifact": "flow_run_id"
}
"""Tables of what a run leaves, and the column with the run's id."""

OLD = 300


def test_old_runs_and_all_that_they_left_are_deleted_by_the_upkeep(
    service: Running, database: Postgres
) -> None:
    (*_, run) = service.runs("process-scene", "COMPLETED")
    with psycopg.connect(database.url, autocommit=True) as connection:
        before = rows(connection)
        for table, column in PARTS.items():
            fill(connection, table, column, run["id"])
        filled = rows(connection)
        assert all(filled[table] >= before[table] + OLD for table in PARTS), filled
        connection.execute(
            "update flow_run set end_time = now() - interval '60 days' where name = 'old'"
        )
        service.complete(service.run("maintain/local"))
        wait_until(
            lambda: all(rows(connection)[table] < before[table] + OLD / 10 for table in PARTS),
            "what old runs left is still there",
            patience_s=30,
        )
        query = "select count(*) from flow_run where name = 'old'"
        assert connection.execute(query).fetchone() == (0,)
        assert service.runs("process-scene", "COMPLETED")


def rows(connection: psycopg.Connection) -> dict[str, int]:
    """Return the number of rows of each table of what runs leave."""
    return {
        table: connection.execute(f"select count(*) from {table}").fetchone()[0] for table in PARTS
    }


def fill(connection: psycopg.Connection, table: str, column: str, run: str) -> None:
    """Copy what a run left in a table, once for each of many old runs."""
    changed = {
        "id": "md5(t.id::text || n)::uuid",
        column: f"md5(t.{column}::text || n)::uuid",
    }
    if table == "flow_run":
        changed |= {"name": "'old'", "idempotency_key": "null", "state_id": "null"}
    if table == "artifact":
        changed |= {"key": "null"}
    told = ", ".join(f"'{name}', {value}" for name, value in changed.items())
    connection.execute(
        f"insert into {table} select made.* from {table} t, generate_series(1, {OLD}) n, "
        f"jsonb_populate_record(t, jsonb_build_object({told})) made where t.{column} = %s",
        [run],
    )


def test_a_login_that_fails_leaves_no_secret_on_the_server(
    service: Running, product: Path, database: Postgres, tmp_path: Path
) -> None:
    config = service.folder / ".config" / "deepsalt"
    config.mkdir(parents=True, mode=0o700)
    with archive("form", product.parent) as server:
        write_secret(config, server, WRONG)
        item = tmp_path / "item.json"
        item.write_text(json.dumps(remote_items([product], server.files)[0]))
        asked = {"access": {"networks": ["loopback"]}}
        run = service.run("process-scene/local", item_uri=str(item), config=asked)
        ended = service.wait_for(run)
        assert server.refused
        shutil.rmtree(config)
        assert ended["state_type"] == "FAILED"
        assert "profile test" in ended["state"]["message"]
        kept = everything_of(database)
        assert b"profile test" in kept
        assert_no_secret(server, "the server's database", kept)
        assert_no_secret(server, "the logs", everything_in(service.state / "logs"))


def everything_of(database: Postgres) -> bytes:
    """Return all values of all tables."""
    with psycopg.connect(database.url) as connection:
        query = "select table_name from information_schema.tables where table_schema = 'public'"
        names = [name for (name,) in connection.execute(query)]
        return b"\n".join(
            str(row).encode()
            for name in names
            for row in connection.execute(sql.SQL("select * from {}").format(sql.Identifier(name)))
        )


def test_five_hundred_scenes_at_once_are_all_accepted(service: Running, product: Path) -> None:
    products, before = len(service.products()), len(service.runs("process-scene"))
    logs = {name: len(service.logs(name)) for name in ("server", "worker", "listener")}
    items = service.publish(many(product, 500, first=1000))
    watching = service.run("watch/all")
    service.post(*({"item": item} for item in items))
    service.complete(watching, patience_s=180)
    wait_until(
        lambda: len(service.runs("process-scene")) >= before + 500,
        "not all were accepted",
        patience_s=120,
    )
    assert len(service.runs("process-scene")) == before + 500
    for name, length in logs.items():
        assert not REFUSED.findall(service.logs(name)[length:])
    wait_for_products(service, products + EXECUTED, patience_s=400)


def test_nothing_left_the_machine(service: Running, tmp_path: Path) -> None:
    assert service.process is not None
    pids = {service.process.pid, pid_of(service.runs("process-scene", "COMPLETED")[0])}
    pids |= {pid for name in ("server", "worker", "listener") for pid in service.children(name)}
    assert len(pids) == 5
    assert pids <= service.hooked
    left = service.left_the_machine
    assert not left.exists(), left.read_text()

    told = tmp_path / "told"
    asks = "import socket; socket.create_connection(('203.0.113.7', 9), 1)"
    env = service.env | {"DEEPSALT_TEST_HOOK": str(told)}
    done = subprocess.run([sys.executable, "-c", asks], env=env, capture_output=True, text=True)
    assert "a test lets nothing leave this machine: 203.0.113.7" in done.stderr
    assert told.read_text().split() == ["203.0.113.7"]
