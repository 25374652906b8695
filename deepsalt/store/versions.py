"""Versions of a mosaic: what their tiles are made of, shards shared by hard link.

A tile is a pure function of the set of products over it. Its manifest names that set and the
checksum of each of its shards, and is written after them, so a build that was killed goes on
where it was, and the next version takes over every tile whose set did not change.
"""

import errno
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from deepsalt.errors import StoreError
from deepsalt.grid import Extent, MosaicGrid, Region, Tile
from deepsalt.layers import MOSAIC_LAYERS
from deepsalt.objects.disk import storing, sync
from deepsalt.store.files import read_json, sha256_of, write_json
from deepsalt.store.periods import Period
from deepsalt.store.records import Store
from deepsalt.types import Report

_NO_HARD_LINKS = {errno.EPERM, errno.EXDEV, errno.ENOTSUP, errno.EMLINK}


@dataclass(frozen=True, slots=True)
class TileManifest:
    """What a tile of a version was made of and what it holds.

    Parameters
    ----------
    period
        Period id.
    tile
        The tile.
    digest
        SHA-256 over everything the tile's values depend on.
    products
        Names of the products over the tile, sorted.
    shards
        Per shard, ``<layer>/<row>/<column>`` inside the tile, the SHA-256 of its file; None for a
        shard without data, which has no file.
    report
        Pixels of the tile.
    """

    period: str
    tile: Tile
    digest: str
    products: tuple[str, ...]
    shards: tuple[tuple[str, str | None], ...]
    report: Report

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a manifest.

        Raises
        ------
        StoreError
            It is missing or damaged.
        """
        document = read_json(path)
        try:
            return cls(
                period=document["period"],
                tile=Tile.from_id(document["tile"]),
                digest=document["digest"],
                products=tuple(document["products"]),
                shards=tuple(sorted(document["shards"].items())),
                report=report_from(document["report"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise StoreError(f"tile manifest {path} is damaged ({error!r}); rebuild") from error

    def write(self, path: Path) -> None:
        """Write the manifest; afterwards the tile counts as done."""
        document = {
            "period": self.period,
            "tile": self.tile.id,
            "digest": self.digest,
            "products": list(self.products),
            "shards": dict(self.shards),
            "report": report_to(self.report),
        }
        write_json(path, document)


def report_to(report: Report) -> dict[str, Any]:
    """Return a report as plain JSON values."""
    return {
        "pixels": report.pixels,
        "estimated": report.estimated,
        "by_flag": dict(report.by_flag),
    }


def report_from(document: dict[str, Any]) -> Report:
    """Return the report that `report_to` described."""
    counts = tuple((str(name), int(n)) for name, n in document["by_flag"].items())
    return Report(int(document["pixels"]), int(document["estimated"]), counts)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the tiles of one version lie.

    Parameters
    ----------
    group
        Zarr group of the mosaic.
    manifests
        Folder of the tile manifests.
    grid
        The mosaic's grid.
    extent
        Tiles that the arrays cover.
    periods
        Period ids, in the order of the arrays' first dimension.
    """

    group: Path
    manifests: Path
    grid: MosaicGrid
    extent: Extent
    periods: tuple[str, ...]

    def region(self, tile: Tile) -> Region:
        """Return the tile's slices in the arrays."""
        return self.grid.region(tile, self.extent)

    def manifest_path(self, period: str, tile: Tile) -> Path:
        """Return where the manifest of a tile lies."""
        return self.manifests / Period.from_id(period).slug / f"{tile.id}.json"

    def picture_path(self, period: str, tile: Tile) -> Path:
        """Return where the picture of a tile lies."""
        return self.manifest_path(period, tile).with_suffix(".picture")

    def shard_paths(self, period: str, tile: Tile) -> dict[str, Path]:
        """Return the file of each shard of a tile, by its name inside the tile."""
        index, n = self.periods.index(period), self.grid.tile_shards
        row0, column0 = (tile.iy - self.extent.iy0) * n, (tile.ix - self.extent.ix0) * n
        return {
            f"{layer.name}/{row}/{column}": self.group.joinpath(
                layer.name, "c", str(index), str(row0 + row), str(column0 + column)
            )
            for layer in MOSAIC_LAYERS
            for row in range(n)
            for column in range(n)
        }

    def shards(self, tile: Tile) -> dict[tuple[int, int], Region]:
        """Return the slices of a tile's shards in the arrays, by row and column inside the tile."""
        edge, whole = self.grid.shard_px, self.region(tile)
        return {
            (row, column): Region((top, top + edge), (left, left + edge))
            for row, top in enumerate(range(*whole.y, edge))
            for column, left in enumerate(range(*whole.x, edge))
        }

    def filled(self, manifest: TileManifest) -> list[Region]:
        """Return the slices of a tile's shards that hold data in any layer, row by row."""
        digests = dict(manifest.shards)
        return [
            region
            for (row, column), region in self.shards(manifest.tile).items()
            if any(digests.get(f"{layer.name}/{row}/{column}") for layer in MOSAIC_LAYERS)
        ]

    def tile_manifests(self, period: str | None = None) -> list[TileManifest]:
        """Return all manifests, or those of one period, by period and tile name."""
        folder = "*" if period is None else Period.from_id(period).slug
        return [TileManifest.read(path) for path in sorted(self.manifests.glob(f"{folder}/*.json"))]


@dataclass(frozen=True, slots=True)
class Version:
    """A complete mosaic in a store.

    Parameters
    ----------
    id
        Digest over grid, periods and products.
    created
        When it was built, UTC.
    periods
        Each period with the names of its products.
    layout
        Where its tiles lie.
    is_current
        Whether `mosaic.zarr` points to it.
    """

    id: str
    created: datetime
    periods: tuple[tuple[Period, tuple[str, ...]], ...]
    layout: Layout
    is_current: bool

    @property
    def products(self) -> tuple[str, ...]:
        """Names of all products, sorted."""
        return tuple(sorted({name for _, names in self.periods for name in names}))


def layout_of(
    store: Store, version: str, extent: Extent, periods: Iterable[str], *, building: bool = False
) -> Layout:
    """Return where the tiles of a version lie, or will while it is being built."""
    return Layout(
        group=store.versions / f"{version}.{'building' if building else 'zarr'}",
        manifests=store.records / "versions" / version / "tiles",
        grid=store.grid,
        extent=extent,
        periods=tuple(periods),
    )


def clear_tile(layout: Layout, period: str, tile: Tile) -> None:
    """Remove what an interrupted attempt left of a tile, its manifest first."""
    with storing(layout.group):
        layout.manifest_path(period, tile).unlink(missing_ok=True)
        layout.picture_path(period, tile).unlink(missing_ok=True)
        for path in layout.shard_paths(period, tile).values():
            _remove_shard(path)


def seal_tile(
    layout: Layout, period: str, tile: Tile, *, digest: str, products: Iterable[str], report: Report
) -> TileManifest:
    """Put the shards of a written tile on disk and write its manifest."""
    shards: dict[str, str | None] = {}
    with storing(layout.group):
        for name, path in layout.shard_paths(period, tile).items():
            written = path.exists()
            shards[name] = sha256_of(path) if written else None
            if written:
                sync(path)
    manifest = TileManifest(
        period, tile, digest, tuple(products), tuple(sorted(shards.items())), report
    )
    manifest.write(layout.manifest_path(period, tile))
    return manifest


def adopt_tile(source: Layout, target: Layout, manifest: TileManifest) -> None:
    """Take over a tile of another version: hard links to its shards, and its manifest.

    The tile may lie elsewhere in the arrays of the target, since an extent grows on any side.
    """
    old = source.shard_paths(manifest.period, manifest.tile)
    new = target.shard_paths(manifest.period, manifest.tile)
    with storing(target.group):
        for name, digest in manifest.shards:
            _remove_shard(new[name])
            if digest is not None:
                new[name].parent.mkdir(parents=True, exist_ok=True)
                _link(old[name], new[name])
        picture = source.picture_path(manifest.period, manifest.tile)
        kept = target.picture_path(manifest.period, manifest.tile)
        kept.unlink(missing_ok=True)
        if picture.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            _link(picture, kept)
    manifest.write(target.manifest_path(manifest.period, manifest.tile))


def _remove_shard(path: Path) -> None:
    """Remove a shard and what writers that were killed left beside it (zarr: `.partial`)."""
    path.unlink(missing_ok=True)
    for leftover in path.parent.glob(f"{path.name}.*"):
        leftover.unlink(missing_ok=True)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        shutil.copy2(source, target)


def published_id(store: Store) -> str | None:
    """Return the id of the version that `mosaic.zarr` points to; None before the first."""
    if not store.mosaic.is_symlink():
        return None
    return store.mosaic.readlink().name.removesuffix(".zarr")


def current_version(store: Store) -> Version | None:
    """Return the published version; None before the first.

    Only its record is read: what a mosaic was made of is known even when its arrays are lost.

    Raises
    ------
    StoreError
        `mosaic.zarr` points to nothing that was published.
    """
    published = published_id(store)
    return None if published is None else read_version(store, published)


def read_version(store: Store, version: str) -> Version:
    """Read the record of a version.

    Raises
    ------
    StoreError
        It was never published, or its record is damaged.
    """
    path = store.records / "versions" / version / "version.json"
    if not path.exists():
        raise StoreError(f"store {store.path} has no version {version!r}; see its history")
    document = read_json(path)
    try:
        periods = tuple(
            (Period.from_id(entry["id"]), tuple(entry["products"])) for entry in document["periods"]
        )
        extent = Extent(*document["extent"])
        created = datetime.fromisoformat(document["created"])
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{path} is damaged ({error!r}); restore it or build again") from error
    layout = layout_of(store, version, extent, (period.id for period, _ in periods))
    return Version(version, created, periods, layout, published_id(store) == version)


def complete_versions(store: Store) -> list[Version]:
    """Return every complete version that is kept, the one built first first."""
    records = (store.records / "versions").glob("*/version.json")
    versions = [read_version(store, path.parent.name) for path in records]
    complete = [version for version in versions if version.layout.group.is_dir()]
    return sorted(complete, key=lambda version: (version.created, version.id))
