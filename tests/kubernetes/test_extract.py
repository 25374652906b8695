"""Field samples matched with scenes of a bucket, on pods: the bytes of this machine."""

from pathlib import Path

import pytest

from tests.engines.runs import Command
from tests.flows.run.test_extract import samples
from tests.kubernetes.cluster import Space
from tests.kubernetes.driver import left_of_runs, profile_text
from tests.kubernetes.world import World

__all__ = ["samples"]

pytestmark = pytest.mark.k8s


def test_pods_extract_the_bytes_of_this_machine_and_are_gone(
    world: World, space: Space, samples: Path, tmp_path: Path
) -> None:
    profile = tmp_path / "cluster.toml"
    profile.write_text(profile_text(space))
    found = []
    for name, engine in (("here", ()), ("pods", ("--cluster-profile", profile))):
        out = tmp_path / name / "sites.csv"
        out.parent.mkdir()
        options = ("--catalogue", world.catalogue, "--out", out, "--any-date", *engine)
        ended = Command("extract", samples, *options, **world.bucket.environment).wait(300.0)
        assert ended.code == 0, ended.said
        found.append((out.read_bytes(), out.with_name("sites.left-out.csv").read_bytes()))
    assert found[0] == found[1]
    space.wait(lambda: not left_of_runs(space), "an extraction left objects", patience_s=90.0)
