"""The whole run: search, scenes, mosaic, export; for the command and for Prefect."""

import secrets
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Self

from deepsalt import __version__
from deepsalt.context import Context
from deepsalt.effort import NO_WORK, SceneWork
from deepsalt.fetch import hosts_of
from deepsalt.mapping import SceneReport, report_of
from deepsalt.model.load import model_ref
from deepsalt.mosaic import Builder, build_mosaic, period_tiles_of
from deepsalt.naming import NamedThreads, named, names
from deepsalt.products import ALGORITHM_VERSION, complete_names, product_name, read_markers
from deepsalt.progress import Progress, Silent
from deepsalt.store import Period, Store, keep_to_platform, quarantine, quarantined, tombstones
from deepsalt.types import Acquisition, ModelRef
from flows.config import RunConfig, SceneConfig
from flows.engines.composing import composing
from flows.engines.engine import Engine
from flows.engines.opening import engine_of, threads_per_worker
from flows.engines.station import Identity, Station, Task
from flows.logs import style_in_use
from flows.permits import Permits
from flows.publication import link_items, model_keys, scene_keys
from flows.run.driver import Driver, LostWork
from flows.run.early_tiles import Ahead
from flows.run.memory import refuse_too_large, size_of
from flows.run.mosaic import MosaicResult, export_after_build, limits_of, publish, refuse_export
from flows.run.pods import expect, pods_of
from flows.run.scenes import Scenes, along_curve, in_space
from flows.run.selection import find_scenes
from flows.run.stores import find_store, open_store, period_of
from flows.scale.figures import FIGURES

if TYPE_CHECKING:
    from flows.kubernetes.pods import Pods


@dataclass(frozen=True)
class Effort:
    """What the scenes of a run took as a whole, and what the catalogue let expect.

    Parameters
    ----------
    workers
        Workers at the end of mapping.
    scenes_s
        Wall time of mapping, seconds; tiles are composed meanwhile.
    expected_bytes, expected_s
        Bytes to fetch and seconds of all workers, by the rules of `deepsalt plan`.
    work
        Work on the scenes, by their status.
    """

    workers: int = 1
    scenes_s: float = 0.0
    expected_bytes: int = 0
    expected_s: float = 0.0
    work: Mapping[str, SceneWork] = field(default_factory=dict)

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Self:
        """Return what `dataclasses.asdict` described."""
        work = {status: SceneWork(**each) for status, each in found["work"].items()}
        return cls(**{**found, "work": work})


@dataclass(frozen=True)
class RunResult:
    """Outcome of a run: every scene, the mosaic (None if no scene could be mapped), lost work.

    Parameters
    ----------
    scenes
        Outcome of each scene, unusable Items first.
    mosaic
        Outcome of the mosaic.
    begun_again, wasted_s
        Scenes that were started again because their worker was lost, and the time that workers had
        already spent on them, seconds.
    effort
        What mapping took; equal outcomes may differ in it.
    left
        Scenes that are left for the next run, by `RunConfig.most`.
    """

    scenes: tuple[SceneReport, ...]
    mosaic: MosaicResult | None
    begun_again: int = 0
    wasted_s: float = 0.0
    effort: Effort = field(default_factory=Effort, compare=False)
    left: int = 0

    @property
    def wanted(self) -> list[SceneReport]:
        """The scenes that an operator did not take out."""
        return [scene for scene in self.scenes if scene.status != "withdrawn"]

    @property
    def failure(self) -> str | None:
        """Why the run failed as a whole: nothing mapped, or nothing exported; None otherwise."""
        if self.mosaic is not None:
            return self.mosaic.export_failed or None
        if not self.wanted:
            return None
        first = self.wanted[0]
        return f"none of {len(self.wanted)} scenes could be mapped; {first.scene}: {first.reason}"

    @property
    def exit_code(self) -> int:
        """Exit code: 0 all done, 1 nothing mapped or nothing exported, 3 some scenes are left out.

        Withdrawn scenes are left out on purpose and change nothing.
        """
        if self.failure:
            return 1
        return 0 if all(scene.product for scene in self.wanted) else 3

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Self:
        """Return what `to_dict` described."""
        mosaic = found["mosaic"]
        return cls(
            tuple(SceneReport(**each) for each in found["scenes"]),
            mosaic and MosaicResult(**mosaic),
            found["begun_again"],
            found["wasted_s"],
            Effort.of(found["effort"]),
            found["left"],
        )

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values; work is in ``effort``, for all scenes together."""
        found = asdict(self)
        for scene in found["scenes"]:
            del scene["work"]
        return found


def run(config: RunConfig, progress: Progress | None = None) -> RunResult:
    """Search, map every scene, build and publish the mosaic.

    A scene that cannot work is quarantined with the reason and the rest continues; a store that
    cannot be written ends the run. Completed work is never repeated.

    Parameters
    ----------
    config
        The run.
    progress
        Receives progress on scenes, chunks and tiles.

    Raises
    ------
    UsageError
        The search finds nothing usable, or a worker has too little memory or scratch space.
    RunError
        Workers cannot be reached, differ, or are lost.
    StoreError
        The store cannot be written, or has another grid or model.
    """
    shown = progress or Silent()
    with (
        named(run=names().get("run") or secrets.token_hex(4)),
        pods_of(config.scene.compute, shown) as pods,
    ):
        return _run(config, shown, pods)


def _run(config: RunConfig, shown: Progress, pods: "Pods | None") -> RunResult:
    found = find_scenes(config.selection, shown)
    ref = model_ref(config.scene.model)
    period = period_of(config.mosaic.datetime)
    existing = find_store(config.out)
    reports = _present(found.scenes, ref, existing)
    if existing is not None:
        reports |= _left_out(existing, found.scenes, reports, retry=config.retry_quarantined)
    todo = [index for index in range(len(found.scenes)) if index not in reports]
    left = max(0, len(todo) - config.most) if config.most else 0
    todo = todo[: len(todo) - left]
    needs = refuse_too_large(found.scenes.only(todo), config.scene)
    expect(pods, needs, len(todo))
    refuse_export(config.out, config.mosaic.export)
    store = open_store(config.out, ref, config.scene.grid, existing, period_layout=period.layout)
    shown.start("scenes", len(todo), size_bytes=sum(size_of(found.scenes[index]) for index in todo))
    expected = expected_of(found.scenes.only(todo), config.scene)
    waste, effort, began_s = LostWork(), expected, time.perf_counter()
    with ExitStack() as opened:
        if not todo:
            compute = config.scene.compute
            limits = limits_of(config.mosaic.checks)
            context = opened.enter_context(composing(compute, store, limits, shown, pods=pods))
            builder = opened.enter_context(Builder(store, context.executor, limits, shown))
        else:
            events: SimpleQueue[Any] = SimpleQueue()
            task = Task(
                config.out,
                config.scene.model,
                config.scene.compute.device,
                config.scene.scratch if pods is None else pods.scratch,
                found.access,
                config.retry_quarantined,
                style_in_use(),
            )
            new_station = partial(Station, task, progress=shown, store=store, model=ref)
            engine = opened.enter_context(
                engine_of(
                    config.scene.compute,
                    task,
                    events,
                    lambda threads: new_station(threads=threads),
                    pods=pods,
                )
            )
            driver = Driver(
                engine,
                events,
                Permits(config.politeness.limit_of, 1),
                own=own_identity(ref),
                needs=needs,
                progress=shown,
            )
            keep_to_platform(store, driver.meet(), mixed=config.scene.allow_mixed)
            context = opened.enter_context(_context_of(engine, ref, config, shown))
            builder = opened.enter_context(Builder(store, engine.executor, context.limits, shown))
            work = _map_scenes(
                driver, builder, found.scenes, todo, reports, period=period, progress=shown
            )
            waste = driver.waste
            took_s = time.perf_counter() - began_s
            effort = replace(expected, workers=max(1, driver.workers), scenes_s=took_s, work=work)
            opened.enter_context(driver.at_rest())
        results = [
            SceneReport(name, "quarantined", reason=reason)
            for name, reason in found.refused.items()
        ]
        results += [reports[index] for index in sorted(reports)]
        wasted_s = round(waste.seconds, 1)
        done = RunResult(tuple(results), None, waste.scenes, wasted_s, effort, left)
        if not any(report.product for report in results):
            return done
        # Links wait for a server, tiles for the processor, so they run at the same time.
        began_s = time.perf_counter()
        with NamedThreads(1, "link") as beside:
            linked = beside.submit(_link, store, found.scenes, reports)
            products = [report.product for report in reports.values() if report.product]
            built = build_mosaic(
                store,
                context,
                period_tiles=period_tiles_of(store, products, period),
                why="run",
                hold=config.mosaic.hold,
                known=products,
                builder=builder,
            )
            mosaic = publish(store, built, compose_s=time.perf_counter() - began_s)
            linked.result()
    return replace(done, mosaic=export_after_build(store, mosaic, config.mosaic.export, shown))


def _map_scenes(
    driver: Driver,
    builder: Builder,
    scenes: Scenes,
    todo: Sequence[int],
    reports: dict[int, SceneReport],
    *,
    period: Period,
    progress: Progress,
) -> dict[str, SceneWork]:
    """Have scenes mapped in spatial order, and finished tiles composed meanwhile; the work."""
    store = builder.store
    tiles = in_space(store.grid, scenes)
    wanted, work = set(todo), defaultdict[str, SceneWork](SceneWork)
    order = [index for index in along_curve(tiles) if index in wanted]
    with Ahead(builder, period, tiles, todo, at_once=lambda: driver.workers) as ahead:

        def heard(index: int, report: SceneReport) -> None:
            # Per scene it would take a fifth of the memory of a run.
            work[report.status] += report.work
            reports[index] = replace(report, work=NO_WORK)
            read = size_of(scenes[index]) if report.product else 0
            progress.advance("scenes", size_bytes=read)
            ahead.done(index, report.product)

        driver.work(scenes, order, heard, lambda each, why: quarantine(store, each.key, why))
    return dict(work)


def expected_of(scenes: Iterable[Acquisition], config: SceneConfig) -> Effort:
    """Return what the catalogue lets expect of scenes, by the rules of `deepsalt plan`."""
    size_bytes, pixels = 0, 0
    for scene in scenes:
        size_bytes += size_of(scene) if hosts_of(scene) else 0
        pixels += scene.grid.height * scene.grid.width
    threads = threads_per_worker(config.compute)
    expected_s = pixels / (FIGURES.pixels_per_thread_s * threads)
    return Effort(expected_bytes=size_bytes, expected_s=expected_s)


def own_identity(ref: ModelRef) -> Identity:
    """Return the identity that workers must have."""
    return Identity(__version__, ref.digest, ALGORITHM_VERSION, "", None, 0, "", 0)


@contextmanager
def _context_of(
    engine: Engine, ref: ModelRef, config: RunConfig, progress: Progress
) -> Iterator[Context]:
    """Compose tiles on the workers that map scenes."""
    limits = limits_of(config.mosaic.checks)
    with Context.local(ref, threads=1, limits=limits, progress=progress) as context:
        yield replace(context, executor=engine.executor)


def _present(scenes: Scenes, ref: ModelRef, existing: Store | None) -> dict[int, SceneReport]:
    """Return the scenes that a store already has, by index."""
    if existing is None:
        return {}
    names = [product_name(each, ref) for each in scenes]
    markers = read_markers(existing, complete_names(existing, names))
    return {
        index: report_of(scenes[index], "present", markers[name])
        for index, name in enumerate(names)
        if name in markers
    }


def _left_out(
    store: Store, scenes: Scenes, reports: Mapping[int, SceneReport], *, retry: bool
) -> dict[int, SceneReport]:
    """Return the outcomes of scenes that are not tried: withdrawn or quarantined."""
    barred = {} if retry else quarantined(store, (each.key for each in scenes))
    records = tombstones(store, ((each.collection, each.acquisition_id) for each in scenes))
    results = {}
    for index, each in enumerate(scenes):
        record = records.get((each.collection, each.acquisition_id))
        if record is not None and record.covers(each.version):
            results[index] = SceneReport(each.key, "withdrawn", reason=str(record))
        elif each.key in barred and index not in reports:
            results[index] = SceneReport(each.key, "quarantined", reason=barred[each.key])
    return results


def _link(store: Store, scenes: Scenes, reports: Mapping[int, SceneReport]) -> None:
    """Link in the catalogue the Items of everything that the run found complete."""
    keys = {
        key
        for index, report in reports.items()
        if report.product
        for key in scene_keys(scenes[index], report.product)
    }
    link_items(store, keys | model_keys(store))
