"""What runs cost is recorded, sums up, and never fails a run."""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deepsalt.effort import SceneWork
from deepsalt.errors import ReadError, RunError
from deepsalt.mapping import SceneReport
from deepsalt.scenes.base import read_acquisition
from flows.config import MosaicConfig, RunConfig, SceneConfig, Selection
from flows.run.mosaic import MosaicResult
from flows.run.result import Effort, RunResult
from flows.watch.bills import build_charged, map_scene_charged, run_charged
from flows.watch.costs import Amounts, Cost, Costs, RunningTotals, Total, record
from flows.watch.database import URL_VARIABLE, Database, url_for_runs
from tests.made.enmap import write_enmap

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SCENE = Amounts(runs=1, scenes=1, pixels=10, fetched_bytes=100, map_s=2.0, worker_s=4.0)


def url(folder: Path) -> str:
    return f"sqlite:///{folder}/service.sqlite"


@contextmanager
def costs_in(folder: Path) -> Iterator[Costs]:
    with Database(url(folder)) as database:
        yield Costs(database)


def cost(
    amounts: Amounts = SCENE, *, outcome: str = "written", ended: datetime = NOON, store: str = "s"
) -> Cost:
    return Cost(store, "process-scene", "p", outcome, ended, amounts)


def totals(folder: Path, store: object) -> dict[tuple[str, str], Total]:
    with costs_in(folder) as costs:
        return {(each.flow, each.outcome): each for each in costs.totals(str(store))}


def test_costs_of_a_store_add_up_since_a_moment(tmp_path: Path) -> None:
    with costs_in(tmp_path) as costs:
        costs.record([cost(), cost(ended=NOON - timedelta(days=1)), cost(store="other")])
        assert costs.spent("s") == SCENE * 2
        assert costs.spent("s", NOON) == SCENE
        assert costs.spent("nothing") == Amounts()


def test_scenes_that_took_no_work_are_not_spent(tmp_path: Path) -> None:
    with costs_in(tmp_path) as costs:
        many = Amounts(scenes=1000)
        costs.record([cost(), cost(outcome="failed"), cost(many, outcome="present")])
        assert costs.spent("s").scenes == 2


def test_a_mean_is_of_scenes_that_were_mapped(tmp_path: Path) -> None:
    with costs_in(tmp_path) as costs:
        assert costs.mean_of_a_scene("s") is None
        run_of_three = replace(SCENE, runs=0, scenes=3, worker_s=8.0)
        costs.record([cost(), cost(run_of_three), cost(SCENE * 9, outcome="failed")])
        mean = costs.mean_of_a_scene("s")
    assert mean is not None
    assert (mean.scenes, mean.worker_s) == (1, 3.0)


def test_a_mean_follows_the_newest_scenes(tmp_path: Path) -> None:
    with costs_in(tmp_path) as costs:
        costs.record([cost(SCENE * 50, ended=NOON - timedelta(days=1))])
        costs.record([cost()] * 200)
        assert costs.mean_of_a_scene("s") == SCENE


def test_a_scene_records_what_it_took_and_what_was_expected(tmp_path: Path) -> None:
    scene = read_acquisition(write_enmap(tmp_path))
    store = str(tmp_path / "store")
    report = map_scene_charged(scene, store, SceneConfig(), ledger=url(tmp_path))
    found = totals(tmp_path, store)["process-scene", "written"].amounts
    assert (found.runs, found.scenes, found.pixels) == (1, 1, report.pixels)
    assert 0 < found.map_s + found.write_s < found.worker_s
    assert found.expected_s > 0


def test_a_scene_that_fails_is_recorded(tmp_path: Path) -> None:
    scene = read_acquisition(write_enmap(tmp_path))
    for asset in scene.assets:
        Path(asset.href).unlink()
    with pytest.raises(ReadError):
        map_scene_charged(scene, str(tmp_path / "store"), SceneConfig(), ledger=url(tmp_path))
    assert totals(tmp_path, tmp_path / "store")["process-scene", "failed"].amounts.runs == 1


def test_nothing_is_recorded_without_a_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    record([cost()])
    assert not list(tmp_path.rglob("*.sqlite"))


def test_the_environment_names_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(URL_VARIABLE, url(tmp_path))
    record([cost()])
    assert totals(tmp_path, "s")["process-scene", "written"].amounts == SCENE


def test_a_database_that_is_away_costs_one_warning_and_no_build(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    away = f"sqlite:///{tmp_path}/no/such/folder.sqlite"
    made = MosaicResult("v", held=False, tiles=1, composed=1)
    with caplog.at_level(logging.WARNING):
        built = build_charged(lambda: made, "s", MosaicConfig(), name="r", ledger=away)
    assert built is made
    (said,) = caplog.messages
    assert said.startswith("what the run cost is not recorded, and the run is done")


def test_a_build_records_its_stages_and_a_failed_one_its_time(tmp_path: Path) -> None:
    made = MosaicResult("v", held=False, tiles=1, composed=1, compose_s=3.0, publish_s=2.0)
    build_charged(lambda: made, "s", MosaicConfig(), name="r", ledger=url(tmp_path))

    def fail() -> MosaicResult:
        raise RunError("no")

    with pytest.raises(RunError, match="no"):
        build_charged(fail, "s", MosaicConfig(), name="r", ledger=url(tmp_path))
    found = totals(tmp_path, "s")
    built = found["build-mosaic", "built"].amounts
    assert (built.runs, built.compose_s, built.publish_s) == (1, 3.0, 2.0)
    assert found["build-mosaic", "failed"].amounts.worker_s > 0


def test_a_run_records_its_scenes_by_outcome_and_its_mosaic(
    catalogue: Path, tmp_path: Path
) -> None:
    config = RunConfig(selection=Selection(catalogue=str(catalogue)), out=str(tmp_path / "store"))
    result = run_charged(config, name="r", ledger=url(tmp_path))
    again = run_charged(config, name="r", ledger=url(tmp_path))
    found = totals(tmp_path, config.out)
    written = found["map-scenes", "written"].amounts
    built = found["map-scenes", "built"].amounts
    assert (written.scenes, found["map-scenes", "present"].amounts.scenes) == (3, 3)
    assert written.pixels == sum(each.pixels for each in result.scenes)
    assert min(written.map_s, written.write_s, written.worker_s, written.expected_s) > 0
    assert (built.runs, built.scenes) == (2, 0)
    assert built.compose_s > 0
    assert {each.status for each in again.scenes} == {"present"}


def test_what_a_run_says_of_its_work_comes_back_from_json() -> None:
    effort = Effort(2, 3.0, 4, 5.0, {"written": SceneWork(retries=1)})
    result = RunResult((SceneReport("a", "written"),), None, effort=effort)
    assert RunResult.of(result.to_dict()).effort == effort


def test_running_totals_are_those_of_all_rows(tmp_path: Path) -> None:
    running, now = RunningTotals("s"), NOON
    with costs_in(tmp_path) as costs:
        for step in range(40):
            costs.record(
                [cost(replace(SCENE, map_s=0.1), outcome="failed" if step % 3 else "written")]
            )
            costs.record([cost(store="other")])
            found, whole = running(costs, now), costs.totals("s")
            assert [(each.flow, each.outcome) for each in found] == [
                (each.flow, each.outcome) for each in whole
            ]
            for one, other in zip(found, whole, strict=True):
                assert round(one.amounts.map_s, 6) == round(other.amounts.map_s, 6)
                assert one.amounts.scenes == other.amounts.scenes
            now += timedelta(minutes=4)


def test_a_row_that_shows_late_is_counted(tmp_path: Path) -> None:
    """Its transaction was open while others with higher numbers ended."""
    running = RunningTotals("s")
    with costs_in(tmp_path) as costs, costs_in(tmp_path) as other:
        costs.record([cost(), cost(), cost()])
        with sqlite3.connect(tmp_path / "service.sqlite") as file:
            file.execute("update deepsalt_costs set store = 'unseen' where id = 2")
        running(costs, NOON)
        with sqlite3.connect(tmp_path / "service.sqlite") as file:
            file.execute("update deepsalt_costs set store = 's' where id = 2")
        for minutes in (5, 11, 30):
            (found,) = running(other, NOON + timedelta(minutes=minutes))
            assert found.amounts.scenes == 3


def test_runs_are_told_of_the_database_without_a_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(URL_VARIABLE, "postgresql://me:secret@db/deepsalt")
    assert url_for_runs() is None
    assert url_for_runs("postgresql://me@db/deepsalt") == "postgresql://me@db/deepsalt"
    monkeypatch.delenv(URL_VARIABLE)
    assert url_for_runs() == f"sqlite:///{tmp_path}/deepsalt/service/ledger.sqlite"
