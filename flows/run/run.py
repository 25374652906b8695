"""What a run does, free of Prefect.

`run` searches, maps every scene and builds the mosaic. The two stages may be handed in as
callables, so that the command (directly) and the Prefect flows (one flow run per scene and mosaic)
do the same work in the same order.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepsalt.errors import FormatError, GridError, ReadError
from deepsalt.types import Acquisition
from flows.compute import computing, threads_per_worker
from flows.config import MosaicConfig, RunConfig, SceneConfig
from flows.fetching import fetching
from flows.progress import Progress, Silent
from flows.selection import Scene, find_scenes
from flows.stage1 import Finish, SceneResult, map_scene
from flows.stage2 import MosaicResult, build_mosaic, carry_on, refuse_export
from flows.stores import find_store, open_store, period_of

if TYPE_CHECKING:
    from deepsalt.store import Store


@dataclass(frozen=True)
class RunResult:
    """Outcome of a run: every scene, and the mosaic (None when no scene could be mapped)."""

    scenes: tuple[SceneResult, ...]
    mosaic: MosaicResult | None

    @property
    def wanted(self) -> list[SceneResult]:
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
        """Exit code: 0 all done, 1 nothing could be mapped or exported, 3 some scenes are left out.

        Withdrawn scenes are left out on purpose and change nothing.
        """
        if self.failure:
            return 1
        return 0 if all(scene.product for scene in self.wanted) else 3


Process = Callable[[dict[str, Any], str, SceneConfig], SceneResult]
Begin = Callable[[dict[str, Any], str, SceneConfig], Finish]
Build = Callable[[str, MosaicConfig], MosaicResult]


def run(
    config: RunConfig,
    *,
    process: Process | None = None,
    build: Build | None = None,
    progress: Progress | None = None,
) -> RunResult:
    """Search, map every scene, build and publish the mosaic.

    A scene that cannot work is quarantined with the reason and the rest goes on; a store that
    cannot be written ends the run. What is complete is never done again.

    Parameters
    ----------
    config
        The run.
    process, build
        The two stages; `map_scene` and `build_mosaic` without them.
    progress
        Told about scenes, chunks and tiles.

    Raises
    ------
    UsageError
        The search finds nothing that can be used, or a worker has too little memory.
    StoreError
        The store cannot be written, or is of another grid or model.
    """
    from deepsalt.model.load import model_ref
    from deepsalt.products import complete_names, product_name
    from flows.publication import link_items, model_keys

    shown = progress or Silent()
    build = build or partial(build_mosaic, progress=shown)
    found = find_scenes(config.selection, shown)
    scene_config = config.scene.model_copy(update={"access": found.access})
    config = config.model_copy(update={"scene": scene_config})
    layout = period_of(config.mosaic.datetime).layout
    ref = model_ref(config.scene.model)
    there = find_store(config.out)
    names = {each.key: product_name(each, ref) for each in found.acquisitions}
    present = complete_names(there, names.values()) if there else set()
    todo = [each for each in found.acquisitions if names[each.key] not in present]
    _refuse_too_large(todo, config)
    refuse_export(config.out, config.mosaic.export)
    store = open_store(config.out, ref, config.scene.grid, period_layout=layout)
    shown.start("scenes", len(found.scenes))
    results = [
        SceneResult(scene=name, status="quarantined", reason=reason)
        for name, reason in found.refused.items()
    ]
    left_out = _left_out(store, found.acquisitions, retry=config.retry_quarantined)
    # Opened once, not for each scene. One product at most waits to be written while the next scene
    # is mapped; whatever ends the run, it is written first.
    with (
        computing(config.scene.compute),
        fetching(config.scene),
        ThreadPoolExecutor(1, "write") as pen,
    ):
        mapping = partial(map_scene, progress=shown)
        begin = mapping if process is None else partial(_at_once, process)
        writing: Future[SceneResult] | None = None
        for scene in found.scenes:
            known = left_out.get(scene.acquisition.key)
            finish = partial(replace, known) if known else _attempt(scene, store, config, begin)
            results += _written(writing, shown)
            writing = pen.submit(finish)
        results += _written(writing, shown)
    done = tuple(each.product for each in results if each.product)
    if not done:
        return RunResult(tuple(results), None)
    mosaic = config.mosaic.model_copy(update={"products": done})
    # Links wait for a server, tiles for the processor: beside each other.
    items = {key for each in results for key in each.items} | model_keys(store)
    with ThreadPoolExecutor(1, "link") as beside:
        linked = beside.submit(link_items, store, items)
        built = build(config.out, mosaic)
        linked.result()
    return RunResult(tuple(results), carry_on(config.out, built, mosaic.export, shown))


def _written(writing: "Future[SceneResult] | None", shown: Progress) -> list[SceneResult]:
    """Wait for what is being written, if anything is."""
    if writing is None:
        return []
    result = writing.result()
    shown.advance("scenes")
    return [result]


def _at_once(
    process: Process, item: dict[str, Any], out: str, config: SceneConfig
) -> Callable[[], SceneResult]:
    result = process(item, out, config)
    return lambda: result


def _refuse_too_large(todo: Iterable[Acquisition], config: RunConfig) -> None:
    """Refuse scenes still to map that do not fit a worker, before the first is mapped."""
    from flows.memory import refuse_too_large, worker_memory

    compute = config.scene.compute
    needed = worker_memory(todo, threads_per_worker(compute), compute.device)
    refuse_too_large(needed, compute)


def _left_out(
    store: "Store", acquisitions: Iterable[Acquisition], *, retry: bool
) -> dict[str, SceneResult]:
    """Return what became of scenes that are not tried: withdrawn, or known to be of no use."""
    from deepsalt.store import quarantined, tombstones

    found = list(acquisitions)
    barred = {} if retry else quarantined(store, [each.key for each in found])
    results = {
        key: SceneResult(scene=key, status="quarantined", reason=reason)
        for key, reason in barred.items()
    }
    records = tombstones(store, [(each.collection, each.acquisition_id) for each in found])
    for each in found:
        record = records.get((each.collection, each.acquisition_id))
        if record is not None and record.covers(each.version):
            results[each.key] = SceneResult(each.key, "withdrawn", reason=str(record))
    return results


def _attempt(scene: Scene, store: "Store", config: RunConfig, begin: Begin) -> Finish:
    """Map a scene; when it can never work, quarantine it with the reason."""
    from deepsalt.store import quarantine, release

    acquisition = scene.acquisition
    key = acquisition.key
    try:
        # Refused here, or the product could not be put into the mosaic.
        store.frame.refuse_beyond(f"scene {key}", store.grid.tiles_over(acquisition.grid))
        finish = begin(scene.item, config.out, config.scene)
    except (FormatError, GridError, ReadError) as error:
        if isinstance(error, ReadError) and not is_there(acquisition):
            # A server or a disk may be away for a moment; the next run tries again.
            return partial(SceneResult, scene=key, status="failed", reason=str(error))
        quarantine(store, key, str(error))
        return partial(SceneResult, scene=key, status="quarantined", reason=str(error))
    if not config.retry_quarantined:
        return finish

    def written() -> SceneResult:
        result = finish()
        release(store, key)
        return result

    return written


def is_there(acquisition: Acquisition) -> bool:
    """Whether all files of a scene lie on this machine now."""
    return all(Path(asset.href).exists() for asset in acquisition.assets)
