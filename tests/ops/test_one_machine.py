"""`deepsalt serve` on one machine with SQLite and a password: schedules fire, it ends cleanly."""

import json
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from flows.service.environment import PASSWORD_VARIABLE
from tests.campaign import examples
from tests.ops.running import Running, is_running, many
from tests.servers.ports import free_port
from tests.waiting import wait_until

pytestmark = pytest.mark.ops


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    told = {PASSWORD_VARIABLE: "ada:open-sesame"}
    folder = tmp_path_factory.mktemp("one")
    with Running(folder, every="* * * * *", environment=told) as running:
        yield running


def test_a_schedule_fires_and_a_new_scene_becomes_part_of_the_mosaic(
    service: Running, product: Path
) -> None:
    service.publish(many(product, 1))
    wait_until(service.products, "no product came", alive=service.alive, patience_s=150)
    assert len(service.products()) == 1
    there = service.store / "quicklook.png"
    wait_until(there.exists, "no mosaic came", alive=service.alive, patience_s=150)


def test_status_says_how_things_stand(service: Running) -> None:
    told = service.command("status", "--config", str(service.file), "--json")
    assert told.returncode == 0, told.stderr
    status = json.loads(told.stdout)
    assert [each["tiles"] for each in status["mosaics"]] == [4]  # the scene lies on a corner
    assert {run["name"] for run in status["coming"]} >= {"watch/all", "maintain/local"}


def test_nobody_is_told_anything_without_the_password(service: Running) -> None:
    answer = httpx.post(f"{service.api}/flow_runs/filter", json={}, timeout=60)
    assert answer.status_code == 401
    stranger = replace(service, environment={})
    told = stranger.command("status", "--config", str(service.file))
    assert told.returncode == 1
    assert "wants its password (401)" in told.stdout


def test_a_second_service_on_the_port_is_refused_in_one_sentence(service: Running) -> None:
    told = service.command("serve", "--config", str(service.file))
    assert told.returncode == 1
    assert "cannot be used (Address already in use)" in told.stderr


SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize("number", SIGNALS[: examples(1, 3)])
def test_the_service_comes_down_with_all_its_processes_and_goes_on(
    service: Running, number: int
) -> None:
    assert service.stop(number) == 130
    told = service.command("status", "--config", str(service.file))
    assert told.returncode == 1
    assert "does not answer" in told.stdout
    service.port = free_port()
    service.start()
    assert service.runs("watch", "COMPLETED")


def test_a_service_that_is_killed_leaves_no_process_and_its_port_to_the_next(
    service: Running,
) -> None:
    names = ("server", "worker", "listener")
    before = [pid for name in names for pid in service.children(name)]
    assert len(before) == 3
    service.stop(signal.SIGKILL)
    wait_until(lambda: not any(map(is_running, before)), "its processes did not end")
    service.start()
    assert all(service.children(name) for name in names)
    assert service.runs("watch", "COMPLETED")
