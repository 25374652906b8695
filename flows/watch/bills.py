"""Runs whose cost is recorded: what they report and how long they took become rows of costs."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime

from deepsalt.effort import NO_WORK, Meter, SceneWork
from deepsalt.mapping import SceneReport
from deepsalt.progress import Progress
from deepsalt.types import Acquisition
from flows.config import Compute, MosaicConfig, RunConfig, SceneConfig
from flows.run.mosaic import MosaicResult
from flows.run.result import RunResult
from flows.run.run import expected_of, run
from flows.run.single_scene import map_one
from flows.watch.costs import Amounts, Cost, record


def map_scene_charged(
    scene: Acquisition, out: str, config: SceneConfig, *, ledger: str | None = None
) -> SceneReport:
    """Map one scene as `flows.run.single_scene.map_one` does, and record what it took.

    A scene that fails is recorded with what it took until then.
    """
    meter, report, began_s = Meter(), None, time.perf_counter()
    try:
        report = map_one(scene, out, config, meter=meter)
        return report
    finally:
        took_s = time.perf_counter() - began_s
        expected = expected_of([scene], config)
        amounts = Amounts(
            runs=1,
            scenes=1,
            pixels=report.pixels if report and report.status == "written" else 0,
            worker_s=took_s,
            expected_bytes=expected.expected_bytes,
            expected_s=expected.expected_s,
            **asdict(meter.work),
        )
        name = (report and report.product) or scene.key
        outcome = report.status if report else "failed"
        record([Cost(out, "process-scene", name, outcome, datetime.now(UTC), amounts)], ledger)


def run_charged(
    config: RunConfig,
    *,
    name: str,
    ledger: str | None = None,
    progress: Progress | None = None,
) -> RunResult:
    """Run as `flows.run.run.run` does, and record what it took, under the id of the run."""
    result, began_s = None, time.perf_counter()
    try:
        result = run(config, progress)
        return result
    finally:
        took_s = time.perf_counter() - began_s
        costs = [
            Cost(config.out, "map-scenes", name, outcome, datetime.now(UTC), amounts)
            for outcome, amounts in _parts(result, config.scene.compute, took_s)
        ]
        record(costs, ledger)


def build_charged(
    build: Callable[[], MosaicResult],
    out: str,
    config: MosaicConfig,
    *,
    name: str,
    ledger: str | None = None,
) -> MosaicResult:
    """Build a mosaic, and record what it took, under the id of the run."""
    result, began_s = None, time.perf_counter()
    try:
        result = build()
        return result
    finally:
        took_s = time.perf_counter() - began_s
        amounts = _of_mosaic(result, took_s * (config.compute.workers or 1))
        outcome = "built" if result else "failed"
        record([Cost(out, "build-mosaic", name, outcome, datetime.now(UTC), amounts)], ledger)


def _parts(
    result: RunResult | None, compute: Compute, took_s: float
) -> Iterator[tuple[str, Amounts]]:
    """Yield what a run took: for its scenes of each outcome, then for the rest of it."""
    if result is None:
        yield "failed", Amounts(runs=1, worker_s=took_s * (compute.workers or 1))
        return
    effort = result.effort
    worked = sum(map(_seconds, effort.work.values()))
    pixels = sum(each.pixels for each in result.scenes if each.status == "written")
    for outcome, count in Counter(report.status for report in result.scenes).items():
        work = effort.work.get(outcome, NO_WORK)
        # Workers are shared by the scenes; a scene's part is that of its own seconds.
        share = _seconds(work) / worked if worked else 0.0
        yield (
            outcome,
            Amounts(
                scenes=count,
                pixels=pixels if outcome == "written" else 0,
                worker_s=effort.workers_s * share,
                expected_bytes=round(effort.expected_bytes * share),
                expected_s=effort.expected_s * share,
                **asdict(work),
            ),
        )
    rest_s = took_s - (effort.scenes_s if worked else 0.0)
    outcome = "failed" if result.failure else "built"
    yield outcome, _of_mosaic(result.mosaic, rest_s * effort.workers)


def _of_mosaic(result: MosaicResult | None, worker_s: float) -> Amounts:
    if result is None:
        return Amounts(runs=1, worker_s=worker_s)
    return Amounts(
        runs=1,
        worker_s=worker_s,
        compose_s=result.compose_s,
        publish_s=result.publish_s,
        export_s=result.export_s,
    )


def _seconds(work: SceneWork) -> float:
    return work.fetch_s + work.map_s + work.write_s
