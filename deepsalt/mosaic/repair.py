"""Repair: tiles of kept versions whose files are damaged or lost are made again, in place.

A tile is a pure function of its products, so what takes the place of a damaged shard is what the
version always held; readers see either. Each file is replaced in one step, the manifest last.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from deepsalt.mosaic.tile import TileTask, compose_tile
from deepsalt.store import Store
from deepsalt.store.files import storing, sync
from deepsalt.store.lease import Lease
from deepsalt.store.versions import Layout, TileManifest, Version, complete_versions
from deepsalt.validate import damage_of

SCRATCH = ".repair"


@dataclass(frozen=True, slots=True)
class RepairTask:
    """One tile to look at: everything a worker needs to know.

    Parameters
    ----------
    version
        Id of the version.
    layout
        Where its tiles lie.
    task
        How the tile is made, beside the version.
    manifest
        What the tile has to be.
    """

    version: str
    layout: Layout
    task: TileTask
    manifest: TileManifest


@contextmanager
def begin_repair(store: Store) -> Iterator[list[RepairTask]]:
    """Hold the store's build lock, and return a task for each tile of all kept versions.

    Raises
    ------
    StoreError
        A build is going on, or the store cannot be read.
    """
    with store.locked() as lease:
        scratches = []
        try:
            tasks = []
            for version in complete_versions(store):
                scratch = _scratch(version, lease)
                scratches.append(scratch.group)
                manifests = version.layout.tile_manifests()
                tasks += [_task(store, version, scratch, each, lease) for each in manifests]
            yield tasks
        finally:
            for folder in scratches:
                shutil.rmtree(folder, ignore_errors=True)


def _scratch(version: Version, lease: Lease) -> Layout:
    """Copy the arrays of a version without their shards: what is made there is encoded alike."""
    group = version.layout.group.with_suffix(SCRATCH)
    lease.check()
    with storing(group):
        if group.exists():
            shutil.rmtree(group)
        layers = {path.parent for path in version.layout.group.glob("*/c")}
        shutil.copytree(
            version.layout.group,
            group,
            ignore=lambda folder, names: ["c"] if folder in {*map(str, layers)} else [],
        )
    return replace(version.layout, group=group, manifests=group / "tiles")


def _task(
    store: Store, version: Version, scratch: Layout, manifest: TileManifest, lease: Lease
) -> RepairTask:
    products = tuple(store.scenes / f"{name}.zarr" for name in manifest.products)
    task = TileTask(scratch, manifest.period, manifest.tile, products, manifest.digest, lease)
    return RepairTask(version.id, version.layout, task, manifest)


def repair_tile(job: RepairTask) -> bool:
    """Compare a tile's shards with its manifest, and make it again if they differ.

    Returns
    -------
    bool
        Whether it had to be made.

    Raises
    ------
    StoreError
        A product is damaged or gone, the store cannot be written, or another machine took over.
    """
    layout, task, manifest = job.layout, job.task, job.manifest
    if not damage_of(layout, manifest):
        return False
    compose_tile(task)
    made = TileManifest.read(task.layout.manifest_path(task.period, task.tile))
    sources = task.layout.shard_paths(task.period, task.tile)
    with storing(layout.group):
        for name, path in layout.shard_paths(task.period, task.tile).items():
            task.lease.check()
            if dict(made.shards)[name] is None:
                path.unlink(missing_ok=True)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                sources[name].replace(path)
                sync(path.parent)
    task.lease.check()
    made.write(layout.manifest_path(task.period, task.tile))
    return True
