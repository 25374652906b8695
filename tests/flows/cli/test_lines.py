"""Lines of a run and of a scene, for people."""

from pathlib import Path

import pytest

from deepsalt.mapping import SceneReport
from flows.cli.demo import closing_lines
from flows.cli.run import missing, no_estimate, run_lines
from flows.cli.scene import scene_line
from flows.run.mosaic import MosaicResult
from flows.run.result import Effort, RunResult

ROOT = Path(__file__).parents[3]


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


def test_a_run_says_what_it_did_twice_and_its_share_of_all_the_time_of_workers() -> None:
    effort = Effort(workers_s=400.0)
    result = RunResult(
        (scene("a", estimated=1),), None, begun_again=3, wasted_s=50.0, effort=effort
    )
    assert run_lines(result)[-1] == (
        "done twice   3 scenes were started again, at a loss of 50 s of work, 12.5 % of the "
        "workers' time"
    )
    assert result.to_dict()["wasted_share"] == 0.125


def test_a_terminal_obeys_no_name_of_a_scene() -> None:
    line = scene_line(SceneReport(scene="\x1b]0;mine\x07\x1b[31mred", status="written"))
    assert line.isprintable()


def test_a_scene_with_a_name_without_end_has_a_short_line() -> None:
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
def test_a_run_with_one_estimate_or_no_mapped_scene_misses_no_estimates(
    scenes: tuple[SceneReport, ...],
) -> None:
    assert no_estimate(scenes) is None


def without(number: int, status: str, reason: str = "/in/{}.tif cannot be read") -> SceneReport:
    return SceneReport(f"enmap-l2a/DT{number}/1", status, reason=reason.format(f"DT{number}"))


def test_a_reason_of_many_scenes_is_one_line_with_a_count() -> None:
    other = without(99, "failed", "the server is away")
    again = without(98, "quarantined")
    scenes = (*(without(number, "failed") for number in range(14)), other, again)
    first, second, third = run_lines(RunResult(scenes, None))
    assert first.startswith("failed       enmap-l2a/DT0/1: /in/DT0.tif cannot be read; the same")
    assert first.endswith("enmap-l2a/DT3/1, 10 more (14 in all)")
    assert second == "failed       enmap-l2a/DT99/1: the server is away"
    assert third == "quarantined  enmap-l2a/DT98/1: /in/DT98.tif cannot be read"


@pytest.mark.parametrize(
    ("statuses", "words"),
    [
        (
            ["failed"],
            "2 of 2 scenes, for the reasons listed|run the same command again to retry them",
        ),
        (["failed", "present"], "1 of 2 scenes, for the reasons listed|run the same command again"),
        (["quarantined"], "mend them, then run the same command again with --retry-quarantined"),
        (["failed", "quarantined"], "again to retry those that failed, with --retry-quarantined"),
    ],
    ids=" ".join,
)
def test_missing_scenes_are_counted_with_what_retries_them(statuses: list[str], words: str) -> None:
    made = scene("a", estimated=1)
    scenes = [
        made if status == "present" else without(number, status)
        for number, status in enumerate(statuses * (2 // len(statuses)))
    ]
    said = missing(RunResult(tuple(scenes), None))
    assert said is not None
    assert all(each in said for each in words.split("|")), said


def test_withdrawn_scenes_are_not_missing() -> None:
    assert missing(RunResult((without(1, "withdrawn"), scene("a")), None)) is None


def test_a_demo_ends_like_a_run_with_the_plot_of_the_readme() -> None:
    mosaic = MosaicResult("v", held=False, tiles=1, composed=1, pixels=4, estimated=4)
    result = RunResult((scene("a", estimated=4),), mosaic)
    said = closing_lines(result, Path("/out"), 3.0)
    assert [line.split()[0] for line in said[1:]] == ["limits", "picture", "next", "plot", "done"]
    _, plot = said[-2].split(").", 1)
    assert f"mosaic.{plot}" in (ROOT / "README.md").read_text()
