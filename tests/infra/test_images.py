"""What images are made of, as far as no builder is needed: locks, stages, secrets."""

import re
import runpy
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "infra" / "images"
ROLES = ("reader", "worker", "service")
CONTAINERFILE = (ROOT / "infra" / "Containerfile").read_text()
LOCK = runpy.run_path(str(IMAGES / "lock.py"))


def stages() -> dict[str, str]:
    """Return the instructions of each stage of the Containerfile."""
    parts = re.split(r"^FROM \S+ AS (\S+)\n", CONTAINERFILE, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def locked(role: str) -> dict[str, str]:
    """Return the versions of a lock."""
    lines = (IMAGES / f"{role}.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


@pytest.mark.parametrize("role", LOCK["ROLES"])
def test_a_lock_holds_what_the_extras_need_in_the_versions_of_the_constraints(role: str) -> None:
    # Otherwise: python infra/images/lock.py
    assert (IMAGES / f"{role}.txt").read_text() == LOCK["lock"](role)


def test_a_role_adds_to_the_one_below_and_changes_none_of_its_packages() -> None:
    reader, worker, service = (locked(role).items() for role in ROLES)
    assert reader < worker < service


def test_the_reader_has_no_torch_and_the_worker_no_prefect() -> None:
    assert not {"dask", "distributed", "rasterio", "safetensors"} & locked("reader").keys()
    assert not [
        name for name in locked("worker") if name.lower().startswith(("prefect", "sqlalch"))
    ]
    assert {"prefect", "prefect-kubernetes"} < locked("service").keys()


@pytest.mark.parametrize("role", ROLES)
def test_a_role_is_a_target_that_runs_the_command_and_not_as_root(role: str) -> None:
    lines = stages()[role].splitlines()
    assert "USER 1000:1000" in lines
    assert 'ENTRYPOINT ["deepsalt"]' in lines
    assert f'LABEL org.opencontainers.image.title="deepsalt {role}" \\' in lines


@pytest.mark.parametrize("role", ROLES)
def test_nothing_runs_in_a_stage_that_an_image_keeps(role: str) -> None:
    # A tool that ran there would leave its traces in a layer.
    assert "RUN" not in stages()[role] + stages()[f"packages-{role}"]


def test_torch_is_what_the_constraints_pin() -> None:
    assert f"ARG TORCH={LOCK['pins']()['torch']}\n" in CONTAINERFILE


def test_no_address_and_no_secret_is_written_into_an_image() -> None:
    text = CONTAINERFILE + "".join(path.read_text() for path in IMAGES.iterdir() if path.is_file())
    assert "://" not in text
    given = re.findall(r"^(?:ARG|ENV|    )\s*(\w+)=?", CONTAINERFILE, re.MULTILINE)
    assert not [name for name in given if re.search("TOKEN|PASS|SECRET|KEY", name, re.IGNORECASE)]


@pytest.mark.parametrize("script", ["build.sh", "push.sh"])
def test_a_script_without_its_arguments_says_how_it_is_called(script: str, tmp_path: Path) -> None:
    builder = tmp_path / "podman"
    builder.write_text("#!/bin/sh\n")
    builder.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    run = subprocess.run(["bash", IMAGES / script], env=environment, capture_output=True, text=True)
    assert run.returncode != 0
    assert "NAME:TAG" in run.stderr


def test_no_builder_is_one_sentence(tmp_path: Path) -> None:
    for tool in ("bash", "dirname"):
        (tmp_path / tool).symlink_to(f"/usr/bin/{tool}")
    run = subprocess.run(
        ["bash", IMAGES / "push.sh", "a:b"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 1
    assert run.stderr == "none of buildah, podman and docker works here: install one\n"
