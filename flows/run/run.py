"""The whole run: search, scenes, mosaic, export; for the command and for Prefect."""

import secrets
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from deepsalt import __version__
from deepsalt.context import Context
from deepsalt.effort import NO_WORK, SceneWork
from deepsalt.errors import EngineLostError
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
from flows.engines.engine import Engine, LostWork, Needs
from flows.engines.opening import engine_of, threads_per_worker
from flows.engines.station import Identity, Station, Task
from flows.logs import style_in_use
from flows.model_cache import put_model
from flows.permits import Permits
from flows.publication import link_items, model_keys, scene_keys
from flows.run.driver import NOBODY_S, Driver
from flows.run.early_tiles import Ahead
from flows.run.memory import refuse_too_large, size_of
from flows.run.mosaic import MosaicResult, export_after_build, limits_of, publish, refuse_export
from flows.run.pods import expect, pods_of, refuse_local, refuse_local_scenes
from flows.run.result import Effort, RunResult
from flows.run.scenes import Scenes, along_curve, in_space
from flows.run.selection import Selected, find_scenes
from flows.run.stores import find_store, open_store, period_of
from flows.scale.figures import FIGURES

if TYPE_CHECKING:
    from flows.kubernetes.pods import Pods

ATTEMPTS = 5
"""How often a run begins on a cluster that it makes for itself, before it gives up."""
PAUSE_S = 10.0
"""Time between two attempts; workers of a lost scheduler end meanwhile."""


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
        result, store = _run(config, shown, pods)
    if result.mosaic is None:
        return result
    mosaic = export_after_build(store, result.mosaic, config.mosaic.export, shown)
    return replace(result, mosaic=mosaic)


def _run(config: RunConfig, shown: Progress, pods: "Pods | None") -> tuple[RunResult, Store]:
    """Do all but the export, for which no worker has to wait."""
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
    if pods is not None:
        refuse_local(config.out)
        refuse_local_scenes(found.scenes.only(todo))
    refuse_export(config.out, config.mosaic.export)
    store = open_store(config.out, ref, config.scene.grid, existing, period_layout=period.layout)
    shown.start("scenes", len(todo), size_bytes=sum(size_of(found.scenes[index]) for index in todo))
    effort = expected_of(found.scenes.only(todo), config.scene)
    work = _Work(config, found, ref, store, period, needs, todo, reports, effort, shown, pods)
    mosaic = work.done()
    results = [
        SceneReport(name, "quarantined", reason=reason) for name, reason in found.refused.items()
    ]
    results += [reports[index] for index in sorted(reports)]
    waste = work.waste
    wasted_s = round(waste.seconds, 1)
    return RunResult(tuple(results), mosaic, waste.scenes, wasted_s, work.effort, left), store


@dataclass
class _Work:
    """The part of a run that needs workers; it goes on where it was when a scheduler is lost.

    Parameters
    ----------
    config, found, ref, store, period, needs
        The run: its scenes, model, store and period, and what a scene takes of a worker.
    todo
        Scenes to map.
    reports
        Outcomes by scene; grows.
    effort
        What is expected of the scenes, and what they took so far.
    progress
        Receives progress.
    pods
        Cluster that is made for the run, if it asks for one.
    """

    config: RunConfig
    found: Selected
    ref: ModelRef
    store: Store
    period: Period
    needs: Needs
    todo: Sequence[int]
    reports: dict[int, SceneReport]
    effort: Effort
    progress: Progress
    pods: "Pods | None"
    waste: LostWork = field(default_factory=LostWork)

    def done(self) -> MosaicResult | None:
        """Map the scenes and build the mosaic; None if there is nothing to make it of.

        Raises
        ------
        EngineLostError
            A scheduler that the run did not make is lost, or its own ones too often.
        """
        for last in (*[False] * (ATTEMPTS - 1), True):
            try:
                return self._attempted()
            except EngineLostError:
                if last or self.config.scene.compute.cluster is None:
                    raise
                self.progress.note("the scheduler is lost; the run goes on with the next one")
                time.sleep(PAUSE_S)
        raise AssertionError("the last attempt returns or raises")

    def _attempted(self) -> MosaicResult | None:
        config, store = self.config, self.store
        todo = [index for index in self.todo if index not in self.reports]
        expect(self.pods, self.needs, len(todo))
        limits = limits_of(config.mosaic.checks)
        with ExitStack() as opened:
            if not todo:
                compute = config.scene.compute
                context = opened.enter_context(
                    composing(compute, store, limits, self.progress, pods=self.pods)
                )
                builder = opened.enter_context(
                    Builder(store, context.executor, limits, self.progress)
                )
            else:
                events: SimpleQueue[Any] = SimpleQueue()
                engine = opened.enter_context(self._engine(events))
                driver = Driver(
                    engine,
                    events,
                    Permits(config.politeness.limit_of, 1),
                    own=own_identity(self.ref),
                    needs=self.needs,
                    progress=self.progress,
                    waste=self.waste,
                    patience_s=NOBODY_S if self.pods is None else self.pods.patience_s,
                )
                keep_to_platform(store, driver.meet(), mixed=config.scene.allow_mixed)
                context = opened.enter_context(_context_of(engine, self.ref, config, self.progress))
                builder = opened.enter_context(
                    Builder(store, engine.executor, limits, self.progress)
                )
                self._map(driver, builder, todo)
                opened.enter_context(driver.at_rest())
            return self._built(context, builder)

    def _engine(self, events: "SimpleQueue[Any]") -> AbstractContextManager[Engine]:
        scene = self.config.scene
        if scene.model:
            put_model(self.store.objects, self.ref)
        task = Task(
            self.config.out,
            self.ref.digest if scene.model else None,
            scene.compute.predicts_on,
            scene.scratch_of_workers,
            self.found.access,
            self.config.retry_quarantined,
            style_in_use(),
            self.config.scene.allow_mixed,
        )
        new_station = partial(
            Station, task, progress=self.progress, store=self.store, model=self.ref
        )
        return engine_of(
            scene.compute,
            task,
            events,
            lambda threads: new_station(threads=threads),
            pods=self.pods,
        )

    def _map(self, driver: Driver, builder: Builder, todo: Sequence[int]) -> None:
        """Have scenes mapped in spatial order, and finished tiles composed meanwhile."""
        scenes, began_s = self.found.scenes, time.perf_counter()
        tiles = in_space(self.store.grid, scenes)
        wanted, work = set(todo), defaultdict[str, SceneWork](SceneWork, self.effort.work)
        order = [index for index in along_curve(tiles) if index in wanted]

        def heard(index: int, report: SceneReport) -> None:
            # Per scene it would take a fifth of the memory of a run.
            work[report.status] += report.work
            self.reports[index] = replace(report, work=NO_WORK)
            read = size_of(scenes[index]) if report.product else 0
            self.progress.advance("scenes", size_bytes=read)
            ahead.done(index, report.product)

        try:
            with Ahead(builder, self.period, tiles, todo, at_once=lambda: driver.workers) as ahead:
                driver.work(scenes, order, heard, lambda e, why: quarantine(self.store, e.key, why))
        finally:
            self.effort = replace(
                self.effort,
                workers=max(1, driver.workers),
                scenes_s=self.effort.scenes_s + time.perf_counter() - began_s,
                workers_s=self.waste.workers_s,
                work=dict(work),
            )

    def _built(self, context: Context, builder: Builder) -> MosaicResult | None:
        """Build the mosaic of all products of the run, and link Items meanwhile."""
        products = [report.product for report in self.reports.values() if report.product]
        if not products:
            return None
        began_s = time.perf_counter()
        # Links wait for a server, tiles for the processor, so they run at the same time.
        with NamedThreads(1, "link") as beside:
            linked = beside.submit(_link, self.store, self.found.scenes, self.reports)
            built = build_mosaic(
                self.store,
                context,
                period_tiles=period_tiles_of(self.store, products, self.period),
                why="run",
                hold=self.config.mosaic.hold,
                known=products,
                builder=builder,
            )
            mosaic = publish(self.store, built, compose_s=time.perf_counter() - began_s)
            linked.result()
        return mosaic


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
