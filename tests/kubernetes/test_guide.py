"""The first mosaic of `docs/kubernetes/README.md`, made by the commands that stand there."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.engines.clusters import ROOT
from tests.engines.runs import Command
from tests.infra.pages import marked
from tests.infra.rendering import FOLDER
from tests.kubernetes.cluster import Cluster, Space
from tests.kubernetes.driver import left_of_runs
from tests.kubernetes.images import WORKER
from tests.kubernetes.world import World, export_of

pytestmark = pytest.mark.k8s

LEFT_OUT = ("pip install ", "bash infra/images/")
"""This Python has the package and the nodes the image; `prepare.sh` builds it by that script."""
_NAME = "guide"
_PATIENCE_S = "400"
_NAMESPACE = "deepsalt"


@pytest.fixture(scope="module")
def guide(space: Space, world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    """The namespace of the guide, once its commands have ended well."""
    if "//127.0.0.1:" in world.bucket.endpoint:
        pytest.skip("pods and this machine reach the bucket by different addresses")
    folder = tmp_path_factory.mktemp("clone")
    shutil.copytree(FOLDER, folder / FOLDER.relative_to(ROOT))
    if space.cluster.version < (1, 21):
        _for_1_20(folder / FOLDER.relative_to(ROOT) / "base" / "disruption.yaml")
    with emptied(space.cluster) as made:
        commands = [each for each in marked("first-mosaic") if not each.startswith(LEFT_OUT)]
        ended = subprocess.run(
            # Its signal lets a run that does not end remove its pods.
            ["timeout", _PATIENCE_S, "bash", "-euxo", "pipefail", "-c", "\n".join(commands)],
            cwd=folder,
            env=_environment(world),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert ended.returncode == 0, f"{ended.stdout}\n{made.state()}"
        yield made


def _for_1_20(budgets: Path) -> None:
    """Write budgets as the overlay `kubernetes-1.20` patches them: nothing else differs."""
    text = budgets.read_text(encoding="utf-8")
    budgets.write_text(text.replace("policy/v1\n", "policy/v1beta1\n"), encoding="utf-8")


@contextmanager
def emptied(cluster: Cluster) -> Iterator[Space]:
    """Lend the namespace that the guide makes; remove all that its commands made."""
    made = Space(cluster, _NAMESPACE)
    if made.find("Namespace", _NAMESPACE):
        pytest.skip(f"somebody uses the namespace {_NAMESPACE}; remove it to try the guide")
    try:
        yield made
    finally:
        # PriorityClasses are those of the tests' own namespace, which removes them.
        made.delete("Namespace", _NAMESPACE)
        made.wait(lambda: not made.find("Namespace", _NAMESPACE), "the namespace stays")


def _environment(world: World) -> dict[str, str]:
    """Return this process's variables, with those that the guide asks for and no other of AWS."""
    asked = {*re.findall(r"\b([A-Z_]+)=", "\n".join(marked("yours")))}
    known = world.bucket.environment | {
        "IMAGE": WORKER,
        "STORE": world.store(_NAME),
        "CATALOGUE": str(world.catalogue),
    }
    own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{own['PATH']}"
    ours = {"PATH": path, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return own | ours | {name: known[name] for name in asked}


@pytest.mark.usefixtures("guide")
def test_the_commands_of_the_guide_give_the_bits_of_this_machine(world: World) -> None:
    out = world.store(_NAME)
    with world.asked():
        exported = Command("mosaic", "export", out, export_of(out)).wait()
    assert exported.code == 0, exported.said
    assert world.is_whole(_NAME)


def test_the_run_of_the_guide_leaves_nothing_in_the_cluster(guide: Space) -> None:
    guide.wait(lambda: not left_of_runs(guide), "the run left objects", patience_s=60.0)
