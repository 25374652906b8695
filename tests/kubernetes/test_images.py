"""What each role's image holds, asked in a pod of it with a root file system that is read-only."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes.cluster import Cluster, Space
from tests.kubernetes.images import READER, SERVICE, WORKER
from tests.kubernetes.pods import pod, pod_spec

pytestmark = [pytest.mark.k8s, pytest.mark.xdist_group("images")]
ROOT = Path(__file__).resolve().parents[2]
IMAGES = {"reader": READER, "worker": WORKER, "service": SERVICE}
# As docs/images.md has them, and a little more.
MOST_MB = {"reader": 500, "worker": 1200, "service": 1400}
OWN_MB = 20
"""What a commit moves at most."""
PROBE = """
import importlib.metadata, json, os, pathlib, re
import deepsalt, catalog, flows

def is_refused(folder):
    try:
        open(os.path.join(folder, "probe"), "w")
    except OSError as error:
        return error.errno == 30
    return False

def files(*folders):
    for folder in folders:
        for path in pathlib.Path(folder).rglob("*"):
            if path.is_file() and not path.is_symlink():
                yield path

outside = {pathlib.Path(folder) for folder in ("/proc", "/sys", "/dev", "/tmp")}
inside = [path for path in pathlib.Path("/").iterdir() if not path.is_symlink()]
site = pathlib.Path(deepsalt.__file__).parents[1]
packages = (deepsalt, catalog, flows)
print(json.dumps({
    "user": [os.getuid(), os.getgid()],
    "refused": [folder for folder in ("/", "/etc", "/var", str(site)) if is_refused(folder)],
    "bytes": sum(path.stat().st_size for path in files(*{*inside} - outside)),
    "own_bytes": sum(path.stat().st_size for each in packages for path in files(*each.__path__)),
    "installed": {
        re.sub("[-_.]+", "-", each.name).lower(): each.version
        for each in importlib.metadata.distributions()
    },
    "listed": json.load(open("/usr/share/deepsalt/sbom.json")),
    "files": [str(path) for path in files("/opt", "/root", "/home", "/usr/share/deepsalt")],
    "variables": {**os.environ},
}))
"""
# What only developers and trainers have is missing in every image.
IMPORTED = """
import importlib, pkgutil
import catalog, deepsalt, flows

for package in (catalog, deepsalt, flows):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not {"train", "benchmark", "__main__"} & {*module.name.split(".")}:
            importlib.import_module(module.name)
print("all")
"""


@pytest.fixture(scope="session")
def space(cluster: Cluster) -> Iterator[Space]:
    with cluster.space("images") as made:
        yield made


def said_by(space: Space, role: str, *command: str, code: int = 0) -> str:
    """Return what a command says in a pod of a role, to its end with an exit code."""
    name = f"{role}-{len(space.names('Pod'))}"
    space.make(pod(name, pod_spec(IMAGES[role], command=command)))
    space.wait(lambda: space.ended(name), f"the pod {name} does not end", patience_s=180.0)
    (status,) = space.get("Pod", name)["status"]["containerStatuses"]
    assert status["state"]["terminated"]["exitCode"] == code, space.state()
    return space.said(name)


@pytest.fixture(scope="session")
def facts(space: Space) -> Mapping[str, dict[str, Any]]:
    """What each role's image is like inside."""
    return {
        role: json.loads(said_by(space, role, "python", "-c", PROBE).splitlines()[-1])
        for role in IMAGES
    }


@pytest.fixture(params=IMAGES)
def role(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def inside(role: str, facts: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    return facts[role]


def test_the_user_is_nobody_in_particular(inside: dict[str, Any]) -> None:
    assert inside["user"] == [1000, 1000]


def test_nothing_is_written_beside_tmp(inside: dict[str, Any]) -> None:
    assert len(inside["refused"]) == 4


def test_an_image_is_as_small_as_the_page_of_images_says(role: str, inside: dict[str, Any]) -> None:
    assert inside["bytes"] < MOST_MB[role] * 1e6


def test_a_commit_changes_few_bytes_of_an_image(inside: dict[str, Any]) -> None:
    assert inside["own_bytes"] < OWN_MB * 1e6


def test_the_list_of_contents_is_what_is_installed(inside: dict[str, Any]) -> None:
    components = [*inside["listed"]["components"], inside["listed"]["metadata"].get("component")]
    listed = {
        re.sub("[-_.]+", "-", each["name"]).lower(): each["version"] for each in components if each
    }
    assert listed == inside["installed"]


def test_what_is_installed_is_what_the_lock_says(role: str, inside: dict[str, Any]) -> None:
    lines = (ROOT / "infra" / "images" / f"{role}.txt").read_text().splitlines()
    pinned = [line.split("==") for line in lines if not line.startswith("#")]
    locked = {re.sub("[-_.]+", "-", name).lower(): version for name, version in pinned}
    more = {"deepsalt"} if role == "reader" else {"deepsalt", "torch"}
    assert inside["installed"].keys() == locked.keys() | more
    assert locked.items() <= inside["installed"].items()


def test_no_credentials_and_no_tools_of_the_build_are_left(inside: dict[str, Any]) -> None:
    names = {Path(path).name for path in inside["files"]}
    assert not names & {".netrc", ".pypirc", "pip.conf", "id_rsa", ".git", "pip", "cyclonedx-py"}
    assert not [path for path in inside["files"] if "/.cache/" in path or path.endswith(".whl")]
    said = " ".join(inside["variables"])
    assert not re.search("TOKEN|PASSWORD|SECRET|ACCESS_KEY", said)


def test_the_reader_says_what_a_run_would_need(space: Space) -> None:
    said = said_by(space, "reader", "deepsalt", "run", code=2)
    assert "'deepsalt[run]' adds torch" in said


def test_every_module_of_ours_loads_in_the_service(space: Space) -> None:
    # So whatever was taken out of packages is missed by none.
    assert said_by(space, "service", "python", "-W", "ignore", "-c", IMPORTED).endswith("all\n")
