"""What a run does, free of Prefect.

`run` searches, maps every scene and builds the mosaic. The two stages may be handed in as
callables, so that the command (directly) and the Prefect flows (one flow run per scene and mosaic)
do the same work in the same order.
"""

from collections.abc import Callable, Container, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepsalt.errors import FormatError, GridError, ReadError
from deepsalt.types import Acquisition, ModelRef
from flows.compute import computing, threads_per_worker
from flows.config import MosaicConfig, RunConfig, SceneConfig
from flows.fetching import fetching
from flows.progress import Progress, Silent
from flows.selection import Found, Scene, find_scenes
from flows.stage1 import Finish, SceneResult, map_scene, withdrawn
from flows.stage2 import MosaicResult, build_mosaic, carry_on
from flows.stores import open_store, period_of

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
        """Why the run failed as a whole: nothing mapped, or nothing pushed; None otherwise."""
        if self.mosaic is not None:
            return self.mosaic.push_failed or None
        if not self.wanted:
            return None
        first = self.wanted[0]
        return f"none of {len(self.wanted)} scenes could be mapped; {first.scene}: {first.reason}"

    @property
    def exit_code(self) -> int:
        """Exit code: 0 all done, 1 nothing could be mapped or pushed, 3 some scenes are left out.

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

    shown = progress or Silent()
    build = build or partial(build_mosaic, progress=shown)
    found = find_scenes(config.selection, shown)
    scene_config = config.scene.model_copy(update={"access": found.access})
    config = config.model_copy(update={"scene": scene_config})
    layout = period_of(config.mosaic.datetime).layout
    ref = model_ref(config.scene.model)
    _refuse_too_large(found, config, ref)
    _refuse_place(config)
    store = open_store(config.out, ref, config.scene.grid, period_layout=layout)
    shown.start("scenes", len(found.scenes))
    results = [
        SceneResult(scene=name, status="quarantined", reason=reason)
        for name, reason in found.refused.items()
    ]
    barred = {} if config.retry_quarantined else store.quarantined()
    # Opened once, not for each scene. One product at most waits to be written while the next scene
    # is mapped; whatever ends the run, it is written first.
    with (
        computing(config.scene.compute),
        fetching(config.scene) as fetcher,
        ThreadPoolExecutor(1, "write") as pen,
    ):
        fetcher.expect(_to_read(found.scenes, store, ref, barred))
        mapping = partial(map_scene, progress=shown)
        begin = mapping if process is None else partial(_at_once, process)
        writing: Future[SceneResult] | None = None
        for scene in found.scenes:
            finish = _attempt(scene, store, config, begin, barred.get(scene.acquisition.key))
            results += _written(writing, shown)
            writing = pen.submit(finish)
        results += _written(writing, shown)
    done = tuple(each.product for each in results if each.product)
    if not done:
        return RunResult(tuple(results), None)
    mosaic = config.mosaic.model_copy(update={"products": done})
    out = str(config.out)
    return RunResult(tuple(results), carry_on(out, build(out, mosaic), mosaic.push, shown))


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


def _refuse_too_large(found: Found, config: RunConfig, ref: ModelRef) -> None:
    """Refuse scenes still to map that do not fit a worker, before the first is mapped."""
    from deepsalt.products import complete_names, product_name
    from flows.memory import refuse_too_large, worker_memory

    there = complete_names(config.out / "scenes")
    todo = (each for each in found.acquisitions if product_name(each, ref) not in there)
    compute = config.scene.compute
    needed = worker_memory(todo, threads_per_worker(compute), compute.device)
    refuse_too_large(needed, compute)


def _refuse_place(config: RunConfig) -> None:
    """Refuse a place to push to that could not be written, before the first scene is mapped."""
    if config.mosaic.push.uri is not None:
        from deepsalt.push import refuse_place

        refuse_place(config.out, config.mosaic.push.uri)


def _to_read(
    scenes: Iterable[Scene], store: "Store", ref: ModelRef, barred: Container[str]
) -> list[Acquisition]:
    """Return the scenes whose pixels a run will read, in its order."""
    from deepsalt.products import complete_names, product_name

    there = complete_names(store.scenes)
    return [
        scene.acquisition
        for scene in scenes
        if scene.acquisition.key not in barred
        and product_name(scene.acquisition, ref) not in there
        and withdrawn(store, scene.acquisition) is None
    ]


def _attempt(
    scene: Scene, store: "Store", config: RunConfig, begin: Begin, barred: str | None
) -> Finish:
    """Map a scene unless it is barred; when it can never work, quarantine it with the reason."""
    if gone := withdrawn(store, scene.acquisition):
        return lambda: gone
    key = scene.acquisition.key
    if barred is not None:
        return partial(SceneResult, scene=key, status="quarantined", reason=barred)
    try:
        store.grid.tiles_over(scene.acquisition.grid)  # refused here, or the mosaic would fail
        finish = begin(scene.item, str(config.out), config.scene)
    except (FormatError, GridError, ReadError) as error:
        if isinstance(error, ReadError) and not is_there(scene.acquisition):
            # A server or a disk may be away for a moment; the next run tries again.
            return partial(SceneResult, scene=key, status="failed", reason=str(error))
        store.quarantine(key, str(error))
        return partial(SceneResult, scene=key, status="quarantined", reason=str(error))

    def written() -> SceneResult:
        result = finish()
        store.release(key)
        return result

    return written


def is_there(acquisition: Acquisition) -> bool:
    """Whether all files of a scene lie on this machine now."""
    return all(Path(asset.href).exists() for asset in acquisition.assets)
