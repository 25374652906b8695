"""Scenes read for samples on every engine: by permits, once, and as far as workers allow."""

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from deepsalt.scenes.base import read_acquisition
from tests.engines.clusters import Cluster, cluster
from tests.flows.conftest import Scenes, deepsalt, remote_items
from tests.flows.run.test_extract import samples
from tests.servers.ranges import Served, file_server
from tests.servers.stac import serving

__all__ = ["samples"]

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two workers of two threads."""
    folder = tmp_path_factory.mktemp("cluster")
    with cluster(folder, workers=2, worker_options=("--nthreads=2",)) as made:
        yield made


@pytest.fixture(scope="module")
def everywhere(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The samples without dates, so that all scenes are read."""
    path = tmp_path_factory.mktemp("samples") / "undated.csv"
    pd.read_csv(samples).drop(columns="date").to_csv(path, index=False)
    return path


def engine(name: str, made: Cluster) -> tuple[object, ...]:
    return {
        "one": ("--threads", 1),
        "threads": ("--threads", 4),
        "processes": ("--workers", 2),
        "dask": ("--scheduler", made.address),
    }[name]


def extracted(table: Path, catalogue: object, out: Path, *options: object) -> dict[str, object]:
    options = ("--any-date", "--all-looks", "--json", *options)
    result = deepsalt("extract", table, "--catalogue", catalogue, "--out", out, *options)
    assert result.exit_code in (0, 3), (result.output, result.exception)
    return dict(json.loads(result.stdout))


def test_rows_and_reasons_are_the_same_bytes_on_every_engine(
    everywhere: Path, catalogue: Path, tmp_path: Path, made: Cluster
) -> None:
    found = set()
    for name in ("one", "threads", "processes", "dask"):
        out = tmp_path / name / "sites.csv"
        out.parent.mkdir()
        assert extracted(everywhere, catalogue, out, *engine(name, made))["rows"]
        found.add((out.read_bytes(), (out.parent / "sites.left-out.csv").read_bytes()))
    assert len(found) == 1


@pytest.mark.parametrize("name", ["threads", "processes", "dask"])
def test_all_workers_together_keep_to_the_limit_of_a_host(
    scenes: Scenes, everywhere: Path, tmp_path: Path, made: Cluster, name: str
) -> None:
    with (
        file_server(scenes.west.parent, latency_s=0.02) as files,
        serving(remote_items(scenes.all, files.url)) as api,
    ):
        limit = ("--host-limit", f"{files.url.removeprefix('http://')}=2")
        told = extracted(everywhere, api.url, tmp_path / "s.csv", *engine(name, made), *limit)
    assert told["scenes"] == {"found": 3, "read": 3}
    assert files.open_most <= 2


@pytest.mark.parametrize("name", ["threads", "dask"])
def test_a_prisma_product_is_fetched_whole_and_once(
    scenes: Scenes, everywhere: Path, tmp_path: Path, made: Cluster, name: str
) -> None:
    with (
        file_server(scenes.west.parent) as files,
        serving(remote_items([scenes.prisma], files.url)) as api,
    ):
        extracted(everywhere, api.url, tmp_path / "s.csv", *engine(name, made))
    assert bytes_asked(files, scenes.prisma) == scenes.prisma.stat().st_size


def bytes_asked(files: Served, path: Path) -> int:
    """Bytes of a file that were asked for, but for the one with which a fetch begins."""
    ranges = [each.partition("bytes=")[2] for each in files.asked if path.name in each]
    pairs = [[int(end) for end in part.split("-")] for part in ranges if part]
    return sum(last - first + 1 for first, last in pairs if last > first)


def test_a_worker_of_another_version_is_refused(
    everywhere: Path, catalogue: Path, tmp_path: Path
) -> None:
    with cluster(tmp_path / "cluster") as other:
        other.worker(preload={"version": ["9.9"]})
        options = ("--catalogue", catalogue, "--out", tmp_path / "s.csv", "--any-date")
        result = deepsalt("extract", everywhere, *options, "--scheduler", other.address)
    assert "a worker has deepsalt 9.9" in str(result.exception)


def test_a_scheduler_without_workers_is_said(
    everywhere: Path, catalogue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.run.reading.FIRST_WORKER_S", 1.0)
    with cluster(tmp_path / "cluster") as empty:
        options = ("--catalogue", catalogue, "--out", tmp_path / "s.csv", "--any-date")
        result = deepsalt("extract", everywhere, *options, "--scheduler", empty.address)
    assert "there was no worker for 1 s" in str(result.exception)


@pytest.mark.slow
def test_a_scene_that_ends_its_workers_is_named_and_the_rest_is_written(
    scenes: Scenes, everywhere: Path, catalogue: Path, tmp_path: Path
) -> None:
    killer = read_acquisition(scenes.east)
    hits = tmp_path / "hits"
    hits.mkdir()
    with cluster(tmp_path / "cluster") as other:
        other.worker("--nanny", preload={"fatal_look": [killer.acquisition_id, str(hits)]})
        out = tmp_path / "s.csv"
        told = extracted(everywhere, catalogue, out, "--scheduler", other.address)
    assert list(told["failed"]) == [killer.key]  # type: ignore[call-overload]
    assert "even alone" in str(told["failed"])
    assert told["scenes"] == {"found": 3, "read": 2}


@pytest.mark.slow
def test_a_scheduler_that_is_lost_is_said(scenes: Scenes, everywhere: Path, tmp_path: Path) -> None:
    with (
        cluster(tmp_path / "cluster", workers=1) as lost,
        file_server(scenes.west.parent, faults=lambda *_: _killing(lost)) as files,
        serving(remote_items(scenes.all, files.url)) as api,
    ):
        options = ("--catalogue", api.url, "--out", tmp_path / "s.csv", "--any-date")
        result = deepsalt("extract", everywhere, *options, "--scheduler", lost.address)
    assert "is no longer reachable; nothing was written, so run again" in str(result.exception)


def _killing(made: Cluster):  # type: ignore[no-untyped-def]
    from tests.servers.ranges import Fault

    made.scheduler.kill()
    return Fault(silent_s=1.0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--workers", 2, "--scheduler", "tcp://x:1"), "exclude each other"),
        (("--cluster", "slurm"), "--cluster is kubernetes"),
        (("--tls",), "--tls needs --workers"),
        (("--host-limit", "x"), "--host-limit is NAME=CONNECTIONS"),
    ],
    ids=["two engines", "cluster", "tls", "limit"],
)
def test_options_are_those_of_a_run(
    everywhere: Path, catalogue: Path, tmp_path: Path, options: tuple[object, ...], said: str
) -> None:
    out = tmp_path / "s.csv"
    result = deepsalt("extract", everywhere, "--catalogue", catalogue, "--out", out, *options)
    assert said in str(result.exception)


def test_pods_are_not_asked_for_scenes_of_this_machine(
    everywhere: Path, catalogue: Path, tmp_path: Path
) -> None:
    profile = tmp_path / "cluster.toml"
    profile.write_text('image = "worker"\n[[groups]]\nname = "cpu"\nmost = 2\n')
    options = ("--out", tmp_path / "s.csv", "--any-date", "--cluster-profile", profile)
    result = deepsalt("extract", everywhere, "--catalogue", catalogue, *options)
    assert "where pods of --cluster do not reach them" in str(result.exception)
