"""One scene on its worker: the library maps it, the catalogue has its Item, faults are noted."""

from functools import partial
from pathlib import Path

from deepsalt.context import Context
from deepsalt.errors import FormatError, GridError, ReadError
from deepsalt.mapping import SceneReport, map_scene
from deepsalt.store import Store, quarantine, release
from deepsalt.types import Acquisition
from flows.publication import write_items


def process_scene(
    acquisition: Acquisition, store: Store, context: Context, *, retry_quarantined: bool = False
) -> SceneReport:
    """Map one scene into a store; one that can never work is quarantined with the reason.

    Its Items are written before the product counts, and not linked yet.

    Parameters
    ----------
    acquisition
        The scene.
    store
        The store.
    context
        What it is mapped with.
    retry_quarantined
        Whether a scene that works is let out of quarantine.

    Raises
    ------
    StoreError
        The store cannot be written, or is of another model.
    """
    announce = partial(write_items, store, acquisition, context.model)
    try:
        report = map_scene(acquisition, store, context, announce=announce)
    except (FormatError, GridError, ReadError) as error:
        return without_product(acquisition, store, error)
    if retry_quarantined:
        release(store, acquisition.key)
    return report


def without_product(
    acquisition: Acquisition, store: Store, error: FormatError | GridError | ReadError
) -> SceneReport:
    """Return what becomes of a scene that failed: tried again by the next run, or never.

    Raises
    ------
    StoreError
        The quarantine cannot be written.
    """
    if isinstance(error, ReadError) and not _is_there(acquisition):
        # A server or a disk may be away for a moment.
        return SceneReport(acquisition.key, "failed", reason=str(error))
    quarantine(store, acquisition.key, str(error))
    return SceneReport(acquisition.key, "quarantined", reason=str(error))


def _is_there(acquisition: Acquisition) -> bool:
    """Whether all files of a scene lie on this machine now."""
    return all(Path(asset.href).exists() for asset in acquisition.assets)
