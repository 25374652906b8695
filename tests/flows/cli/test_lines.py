"""Lines of a run and of a scene, for people."""

import pytest

from deepsalt.mapping import SceneReport
from flows.cli.run import no_estimate, run_lines
from flows.cli.scene import scene_line
from flows.run.run import RunResult


def scene(name: str, *, estimated: int = 0, product: str = "p", **flags: int) -> SceneReport:
    return SceneReport(
        scene=name,
        status="written",
        product=product,
        pixels=100,
        estimated=estimated,
        by_flag=flags,
    )


def test_a_run_without_any_estimate_says_why_in_shares() -> None:
    scenes = (scene("a", cloud=90, green_vegetation=10), scene("b", cloud=50, outside=50, haze=0))
    said = run_lines(RunResult(scenes, None))[-1]
    assert "none of 200 pixels could be estimated" in said
    assert "(cloud 70.0 %, outside 25.0 %, green vegetation 5.0 %;" in said


def test_a_terminal_obeys_no_name_of_a_scene() -> None:
    line = scene_line(SceneReport(scene="\x1b]0;mine\x07\x1b[31mred", status="written"))
    assert line.isprintable()
    assert len(scene_line(SceneReport(scene="a" * 10**6, status="written"))) < 300


@pytest.mark.parametrize(
    "scenes",
    [
        (scene("a", cloud=100), scene("b", estimated=1, cloud=99)),
        (),
        (SceneReport(scene="a", status="failed", reason="the server is away"),),
    ],
    ids=["one-estimate", "no-scene", "nothing-mapped"],
)
def test_other_runs_do_not(scenes: tuple[SceneReport, ...]) -> None:
    assert no_estimate(scenes) is None
