"""Repair: tiles of kept versions whose files are damaged or lost are made again, in place.

A tile is a pure function of its products, so what takes the place of a damaged shard is what the
version always held; readers see either. Each file is replaced in one step, the manifest last.
"""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from deepsalt.errors import StoreError
from deepsalt.mosaic.tile import TileTask, compose_tile, tile_digest
from deepsalt.objects.disk import storing, sync
from deepsalt.store import Store
from deepsalt.store.lease import Lease
from deepsalt.store.versions import Layout, TileManifest, complete_versions
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
    manifest
        What the tile has to be.
    scenes
        Folder of the products.
    lease
        The right to write it.
    """

    version: str
    layout: Layout
    manifest: TileManifest
    scenes: Path
    lease: Lease

    @property
    def id(self) -> str:
        """Name for logs and progress: period and tile."""
        return f"{self.manifest.period} {self.manifest.tile.id}"


@contextmanager
def begin_repair(store: Store) -> Iterator[list[RepairTask]]:
    """Hold the store's build lock, and return a task for each tile of all kept versions.

    Raises
    ------
    StoreError
        A build is going on, or the store cannot be read.
    """
    with store.locked() as lease:
        # What readers see first.
        versions = sorted(complete_versions(store), key=lambda version: not version.is_current)
        yield [
            RepairTask(version.id, version.layout, manifest, store.scenes, lease)
            for version in versions
            for manifest in version.layout.tile_manifests()
        ]


def repair_tile(task: RepairTask) -> bool:
    """Compare a tile's shards with its manifest, and make it again if they differ.

    Returns
    -------
    bool
        Whether it had to be made.

    Raises
    ------
    StoreError
        A product is damaged or gone, the tile was made by another algorithm, the store cannot be
        written, or another machine took over.
    """
    layout, manifest = task.layout, task.manifest
    if not damage_of(layout, manifest):
        return False
    if manifest.digest != tile_digest(layout.grid, manifest.tile, manifest.products):
        raise StoreError("it was made by another version of deepsalt; build again")
    with _scratch(task) as scratch:
        products = tuple(task.scenes / f"{name}.zarr" for name in manifest.products)
        compose_tile(
            TileTask(scratch, manifest.period, manifest.tile, products, manifest.digest, task.lease)
        )
        made = TileManifest.read(scratch.manifest_path(manifest.period, manifest.tile))
        _take_over(task, scratch, made)
    return True


@contextmanager
def _scratch(task: RepairTask) -> Iterator[Layout]:
    """Copy the arrays of a version without their shards: what is made there is encoded alike."""
    group = task.layout.group
    own = group.with_name(f"{group.stem}.{secrets.token_hex(4)}{SCRATCH}")
    layers = {str(path.parent) for path in group.glob("*/c")}
    task.lease.check()
    try:
        with storing(own):
            shutil.copytree(group, own, ignore=lambda folder, _: ["c"] if folder in layers else [])
        yield replace(task.layout, group=own, manifests=own / "tiles")
    finally:
        shutil.rmtree(own, ignore_errors=True)


def _take_over(task: RepairTask, scratch: Layout, made: TileManifest) -> None:
    manifest, layout = task.manifest, task.layout
    wanted, found = dict(manifest.shards), dict(made.shards)
    filled = {name for name, digest in wanted.items() if digest is not None}
    if made.report != manifest.report or filled != {n for n, digest in found.items() if digest}:
        raise StoreError("what its products give now is not what it held; build again")
    sources = scratch.shard_paths(manifest.period, manifest.tile)
    with storing(layout.group):
        for name, path in layout.shard_paths(manifest.period, manifest.tile).items():
            task.lease.check()
            if name not in filled:
                path.unlink(missing_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            sources[name].replace(path)
            sync(path.parent)
    task.lease.check()
    made.write(layout.manifest_path(manifest.period, manifest.tile))
    with storing(layout.group):
        where = manifest.period, manifest.tile
        picture = layout.picture_path(*where)
        picture.unlink(missing_ok=True)
        if (drawn := scratch.picture_path(*where)).exists():
            drawn.replace(picture)
