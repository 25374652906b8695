"""One scene by itself, mapped by threads of this process: what `deepsalt scene` does."""

from deepsalt.context import Context
from deepsalt.effort import Meter
from deepsalt.mapping import SceneReport, map_scene
from deepsalt.model.load import model_ref
from deepsalt.model.platform import platform
from deepsalt.progress import Progress
from deepsalt.store import keep_to_platform
from deepsalt.types import Acquisition
from flows.config import SceneConfig
from flows.engines.allocator import keep_freed_memory
from flows.engines.opening import threads_per_worker
from flows.publication import write_items
from flows.run.memory import refuse_too_large
from flows.run.stores import find_store, open_store


def map_one(
    acquisition: Acquisition,
    out: str,
    config: SceneConfig,
    progress: Progress | None = None,
    *,
    meter: Meter | None = None,
) -> SceneReport:
    """Map one scene into a store, created if missing; its Items are not linked.

    Parameters
    ----------
    acquisition
        The scene.
    out
        The store.
    config
        Model, and what computes.
    progress
        Receives progress on chunks.
    meter
        Counts the work also if the scene fails.

    Raises
    ------
    InputError
        The scene cannot be used, or memory or scratch space is too small for it.
    ReadError
        Pixels cannot be read.
    StoreError
        The store cannot be written, or has another model, grid or kind of machine.
    DeviceError
        The device failed, and the CPU may not take over.
    """
    keep_freed_memory()
    ref = model_ref(config.model)
    store = open_store(out, ref, config.grid, find_store(out))
    refuse_too_large([acquisition], config)
    keep_to_platform(store, platform(config.compute.device), mixed=config.allow_mixed)
    with Context.local(
        ref,
        threads=threads_per_worker(config.compute),
        device=config.compute.device,
        scratch=config.scratch.folder,
        scratch_bytes=round(config.scratch.limit_gb * 1e9),
        reach=config.access.reach,
        progress=progress,
        mixed=config.allow_mixed,
    ) as context:
        return map_scene(
            acquisition,
            store,
            context,
            announce=lambda marker: write_items(store, acquisition, ref, marker),
            meter=meter,
        )
