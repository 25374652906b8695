"""Workers that share nothing with this process but the store, and certificates between them."""

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from deepsalt.errors import RunError
from deepsalt.model.load import model_ref
from deepsalt.store import Store
from flows.config import Compute, Grid
from flows.engines import opening
from flows.engines.cluster import address_of
from flows.engines.opening import client_of
from flows.run.stores import mosaic_grid_of
from tests.engines.clusters import cluster, start
from tests.engines.runs import Command, command, contents
from tests.model.students import write_tiny
from tests.servers.s3 import secret_of, serving_s3

pytestmark = pytest.mark.slow

_USER = "cluster"


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of those who may write to a bucket."""
    with serving_s3(tmp_path / "s3", "store", {_USER: ["Admin"]}) as endpoint:
        yield {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": _USER,
            "AWS_SECRET_ACCESS_KEY": secret_of(_USER),
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }


def test_the_demo_on_a_cluster_with_a_store_in_a_bucket_is_the_demo_with_threads(
    tmp_path: Path, bucket: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit for bit, and nobody writes anything but the store."""
    demo, cwd = tmp_path / "demo", tmp_path / "cwd"
    own = {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "tmp")}
    for each in (cwd, *own.values()):
        Path(each).mkdir()
    threads = Command("demo", "--out", demo, cwd=cwd, **own).wait()
    assert threads.code == 0, threads.said
    with cluster(tmp_path / "cluster", workers=2, **bucket) as made:
        made.wait_for(2)
        before = listing(tmp_path)
        ended = command(
            demo / "input" / "catalogue",
            "s3://store/demo",
            *("--scheduler", made.address, "--export", "s3://store/export.zarr"),
            cwd=cwd,
            **bucket,
            **own,
        )
        after = listing(tmp_path)
    assert ended.code == 0, ended.said
    assert {path for path in {*before, *after} if before.get(path) != after.get(path)} == set()
    for name, value in bucket.items():
        monkeypatch.setenv(name, value)
    assert contents("s3://store/demo", "s3://store/export.zarr") == contents(demo)


def test_workers_take_the_runs_own_model_from_the_store_once_per_node(
    catalogue: Path, tmp_path: Path
) -> None:
    """They cannot see the folder that the driver was given: its path holds only there."""
    here, store, hits = (tmp_path / name for name in ("here", "store", "hits"))
    hits.mkdir()
    write_tiny(here / "own")
    own = {"DEEPSALT_MODEL_CACHE": str(tmp_path / "cache")}
    trick = {"count_reads": ["models/", str(hits)]}
    with cluster(tmp_path / "cluster", **own) as made:
        for _ in range(2):
            made.worker(preload=trick)
        made.wait_for(2)
        options = ("--scheduler", made.address, "--model", "own")
        ended = command(catalogue, store, *options, cwd=here)
    assert ended.code == 0, ended.said
    threads = command(catalogue, tmp_path / "threads", "--model", "own", cwd=here)
    assert threads.code == 0, threads.said
    assert contents(store) == contents(tmp_path / "threads")
    assert len([*hits.glob("model.safetensors-*")]) == 1  # the card is also read for Items


def test_a_model_in_the_store_that_is_not_the_runs_is_refused_in_a_sentence(
    catalogue: Path, tmp_path: Path
) -> None:
    here, store = tmp_path / "here", tmp_path / "store"
    digest = model_ref(write_tiny(here / "own")).digest
    write_tiny(store / "models" / digest[:12], seed=9)
    shutil.move(store, tmp_path / "wrong")
    Store.create(store, grid=mosaic_grid_of(Grid(), None), model=digest)
    shutil.move(tmp_path / "wrong" / "models", store / "models")
    own = {"DEEPSALT_MODEL_CACHE": str(tmp_path / "cache")}
    with cluster(tmp_path / "cluster", workers=1, **own) as made:
        made.wait_for(1)
        options = ("--scheduler", made.address, "--model", "own")
        ended = command(catalogue, store, *options, cwd=here)
    assert ended.code == 2
    assert "is not the one of this run: its digest is" in ended.sentence
    assert not (store / "scenes").exists()


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of change of every file, but of the bucket and of what Dask logs."""
    found = {}
    for at, below, names in os.walk(folder):
        below[:] = [name for name in below if Path(at, name) != folder / "s3"]
        for name in names:
            if name != "log":
                status = Path(at, name).lstat()
                found[str(Path(at, name))] = (status.st_size, status.st_mtime_ns)
    return found


def test_workers_started_here_talk_with_certificates_and_strangers_are_refused(
    tmp_path: Path,
) -> None:
    """Neither a client nor a worker without the certificates of the run gets in."""
    import dask
    from distributed import Client

    with client_of(Compute(workers=1, threads=1, tls=True)) as client:
        address = address_of(client)
        (own,) = client.scheduler_info(n_workers=-1)["workers"]
        assert address.startswith("tls://")
        assert own.startswith("tls://")
        for wrong in (address, address.replace("tls://", "tcp://")):
            # What fails would be the default of this process.
            with dask.config.set(scheduler=None), pytest.raises((OSError, TypeError)):
                Client(wrong, timeout=2)
            stranger = start(
                tmp_path / wrong[:3],
                "distributed.cli.dask_worker",
                *(wrong, "--no-nanny", "--no-dashboard", "--death-timeout=3"),
                environment={},
            )
            assert stranger.popen.wait(60) != 0 or "Registered to" not in stranger.said
        assert list(client.scheduler_info(n_workers=-1)["workers"]) == [own]


def test_a_run_with_certificates_maps_the_same(
    catalogue: Path, wanted: dict[str, str], tmp_path: Path
) -> None:
    ended = command(catalogue, tmp_path / "store", "--workers", "2", "--threads", "1", "--tls")
    assert ended.code == 0, ended.said
    assert contents(tmp_path / "store") == wanted


def test_a_scheduler_with_certificates_is_reached_with_them_alone(
    catalogue: Path, wanted: dict[str, str], tmp_path: Path
) -> None:
    from distributed import Security

    made = Security.temporary()
    files = {}
    for key, text in (
        ("CA_FILE", made.tls_ca_file),
        ("CLIENT__CERT", made.tls_client_cert),
        ("CLIENT__KEY", made.tls_client_key),
        ("WORKER__CERT", made.tls_worker_cert),
        ("WORKER__KEY", made.tls_worker_key),
        ("SCHEDULER__CERT", made.tls_scheduler_cert),
        ("SCHEDULER__KEY", made.tls_scheduler_key),
    ):
        path = tmp_path / key.lower()
        path.write_text(text)
        files[f"DASK_DISTRIBUTED__COMM__TLS__{key}"] = str(path)
    with cluster(tmp_path / "cluster", "--protocol=tls", workers=1, **files) as tls:
        assert tls.address.startswith("tls://")
        run = Command.run(catalogue, tmp_path / "store", "--scheduler", tls.address, **files)
        refused = command(catalogue, tmp_path / "other", "--scheduler", tls.address)
        ended = run.wait()
    assert ended.code == 0, ended.said
    assert contents(tmp_path / "store") == wanted
    assert refused.code == 1
    assert "no Dask scheduler answers at tls://" in refused.sentence


def test_plain_tcp_beyond_loopback_is_warned_of_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "CONNECT_TIMEOUT_S", 0.2)
    for address in (
        "tcp://192.0.2.1:8786",
        "192.0.2.1:8786",
        "tcp://127.0.0.1:9",
        "tls://192.0.2.1:1",
    ):
        with (
            pytest.raises(RunError, match="no Dask scheduler answers"),
            client_of(Compute(scheduler=address)),
        ):
            pass
    warned = [each.getMessage() for each in caplog.records if "encryption" in each.getMessage()]
    assert [each.split()[0] for each in warned] == ["tcp://192.0.2.1:8786", "192.0.2.1:8786"]
