"""A store in a bucket: the same run, the same bits, one sentence where something is wrong."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import xarray as xr

from deepsalt.errors import DeepsaltError, StoreAccessError
from deepsalt.reading import open_mosaic
from tests.flows.conftest import deepsalt
from tests.flows.run.test_pipeline import assert_same
from tests.servers.s3 import secret_of, serving_s3

RIGHTS = {
    "admin": ("Admin", "Read", "Write", "List", "Tagging"),
    "reader": ("Read:salt", "List:salt"),
    "writer": ("Write:salt",),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving_s3(tmp_path_factory.mktemp("s3"), "salt", RIGHTS) as url:
        yield url


@pytest.fixture
def bucket(
    server: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, tmp_path: Path
) -> str:
    """An empty prefix, asked for by somebody who may do all."""
    for name in [*os.environ]:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    become(monkeypatch, "admin")
    return f"s3://salt/{request.node.name}"


def become(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", name)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret_of(name))


def run(catalogue: Path, out: str, *more: object) -> str:
    result = deepsalt("run", "--catalogue", catalogue, "--out", out, *more)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


@pytest.mark.slow
def test_a_run_into_a_bucket_ends_in_the_bits_of_a_run_into_a_folder(
    catalogue: Path, mapped: Path, bucket: str
) -> None:
    said = run(catalogue, bucket)
    assert "no export    plain Zarr of a store in a bucket is made only on request" in said
    assert_same(bucket, mapped)
    assert deepsalt("check", bucket).exit_code == 0


@pytest.mark.slow
def test_verbs_take_a_bucket_for_a_store(catalogue: Path, mapped: Path, bucket: str) -> None:
    run(catalogue, bucket)
    plan = deepsalt("plan", "--catalogue", catalogue, "--out", bucket, "--json")
    assert json.loads(plan.stdout)["present"] == 3
    (version,) = json.loads(deepsalt("mosaic", "history", bucket, "--json").stdout)
    product = version["added"][0]
    assert deepsalt("mosaic", "withdraw", bucket, product).exit_code == 0
    assert deepsalt("mosaic", "withdraw", bucket, product, "--undo").exit_code == 0
    assert_same(bucket, mapped)
    assert deepsalt("mosaic", "prune", bucket, "--keep", 1, "--yes").exit_code == 0
    exported = f"{bucket}-export.zarr"
    assert deepsalt("mosaic", "export", bucket, exported).exit_code == 0
    xr.testing.assert_identical(open_mosaic(exported).load(), open_mosaic(bucket).load())


@pytest.mark.slow
def test_runs_on_two_machines_into_one_bucket_end_in_one_sound_mosaic(
    catalogue: Path, mapped: Path, bucket: str
) -> None:
    command = [sys.executable, "-m", "flows", "run", "--catalogue", str(catalogue)]
    runs = [
        subprocess.Popen(
            [*command, "--collection", collection, "--out", bucket], stderr=subprocess.DEVNULL
        )
        for collection in ("enmap-l2a", "prisma-l2d", "enmap-l2a")
    ]
    assert [each.wait(timeout=240) for each in runs] == [0, 0, 0]
    assert_same(bucket, mapped)


@pytest.mark.slow
def test_workers_of_a_cluster_write_into_a_bucket(
    catalogue: Path, mapped: Path, bucket: str
) -> None:
    args = ["run", "--catalogue", catalogue, "--out", bucket, "--workers", 2]
    command = [sys.executable, "-m", "flows", *map(str, args)]
    subprocess.run(command, check=True, capture_output=True, timeout=240)
    assert_same(bucket, mapped)


def refused(*args: object) -> DeepsaltError:
    result = deepsalt(*args)
    assert isinstance(result.exception, DeepsaltError), (result.output, result.exception)
    assert "\n" not in str(result.exception)
    assert secret_of("admin") not in str(result.exception)
    return result.exception


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("AWS_ACCESS_KEY_ID", "nobody", "credentials for s3://salt are not accepted"),
        ("AWS_SECRET_ACCESS_KEY", "wrong", "credentials for s3://salt are not accepted"),
        ("AWS_ACCESS_KEY_ID", None, "AWS_ACCESS_KEY_ID"),
        ("AWS_ENDPOINT_URL", "nonsense", "AWS_ENDPOINT_URL"),
    ],
    ids=["unknown user", "wrong secret", "no credentials", "no endpoint"],
)
def test_who_is_not_let_in_is_told_why_in_a_sentence(
    catalogue: Path,
    bucket: str,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str | None,
    words: str,
) -> None:
    if value is None:
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, value)
    error = refused("run", "--catalogue", catalogue, "--out", bucket)
    assert error.exit_code == 2
    assert words in str(error)


def test_a_bucket_that_does_not_exist_is_said(catalogue: Path, bucket: str) -> None:
    error = refused("run", "--catalogue", catalogue, "--out", "s3://no-such-bucket/store")
    assert error.exit_code == 2
    assert "s3://no-such-bucket does not exist" in str(error)


@pytest.mark.parametrize("user", ["reader", "writer"])
def test_rights_that_are_missing_are_named(
    catalogue: Path, bucket: str, monkeypatch: pytest.MonkeyPatch, user: str
) -> None:
    become(monkeypatch, user)
    error = refused("run", "--catalogue", catalogue, "--out", bucket)
    assert isinstance(error, StoreAccessError)
    assert "ask for s3:" in str(error)


def test_a_place_in_a_bucket_that_holds_something_else_is_refused(
    catalogue: Path, bucket: str, tmp_path: Path
) -> None:
    from deepsalt.objects import Objects

    Objects.of(bucket).write("catalog.json", b"{}")
    error = refused("run", "--catalogue", catalogue, "--out", bucket)
    assert error.exit_code == 2
    assert "is not a store but has catalog.json" in str(error)
