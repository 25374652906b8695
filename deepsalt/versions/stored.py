"""A version as stored, for checks and repair: attributes, arrays, tiles one by one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import zarr
from icechunk import IcechunkStore
from zarr.core.sync import sync

from deepsalt.errors import StoreError
from deepsalt.grid import Cell, PixelWindow
from deepsalt.layers import MOSAIC_LAYERS, THRESHOLD
from deepsalt.store.arrays import Array
from deepsalt.versions.arrays import read_digests, read_products
from deepsalt.versions.read import Reading
from deepsalt.versions.repository import Mosaic, Version


@dataclass(frozen=True)
class Stored:
    """The content of a version.

    Parameters
    ----------
    mosaic
        The mosaic.
    attrs
        Attributes of its group.
    arrays
        Its arrays by name, over the whole frame, layers and others.
    store
        The Zarr store that they are read from.
    """

    mosaic: Mosaic
    attrs: Mapping[str, Any]
    arrays: Mapping[str, Array]
    store: IcechunkStore

    @classmethod
    def of(cls, mosaic: Mosaic, version: Version) -> "Stored":
        """Open a version.

        Raises
        ------
        StoreError
            The version is damaged or no longer exists, or no access.
        """
        with mosaic.reaching():
            store = mosaic.session_at(version.id).store
            group = zarr.open_group(
                Reading(store, mosaic.objects, version.short), mode="r", zarr_format=3
            )
            return cls(mosaic, dict(group.attrs), dict(group.arrays()), store)

    def regions(self, cell: Cell) -> list[PixelWindow]:
        """Return the shards of a tile that any layer has, as pixels of the arrays.

        Raises
        ------
        StoreError
            The list of shards is lost.
        """
        slot, row, column = cell
        n = self.mosaic.frame.grid.tile_shards
        edge = self.mosaic.frame.grid.shard_px
        shards = [(row * n + y, column * n + x) for y in range(n) for x in range(n)]

        async def is_there(y: int, x: int) -> bool:
            # Each layer is checked: it has its own references, which may be lost.
            names = [layer.key((slot, y, x)) for layer in MOSAIC_LAYERS]
            return any([await self.store.exists(name) for name in names])

        async def find() -> list[tuple[int, int]]:
            for key in (
                f"{THRESHOLD}/c/0",
                f"period/c/{slot}",
                f"period_bounds/c/{slot}/0",
                f"tile_digest/c/{slot}/{row}/{column}",
                f"tile_products/c/{slot}/{row}/{column}",
                f"tile_counts/c/{slot}/{row}/{column}/0",
            ):
                await self.store.exists(key)
            return [shard for shard in shards if await is_there(*shard)]

        with self.mosaic.reaching():
            found = sync(find())
        return [
            PixelWindow((y * edge, (y + 1) * edge), (x * edge, (x + 1) * edge)) for y, x in found
        ]

    def made_of(self, cell: Cell) -> tuple[str, ...]:
        """Return the names of the products recorded for a tile, sorted.

        Raises
        ------
        StoreError
            They are lost or damaged.
        """
        try:
            with self.mosaic.reaching():
                return read_products(self.store, [cell])[0]
        except (ValueError, RuntimeError) as error:  # undecodable data
            raise StoreError(f"the product names of the tile cannot be read ({error})") from error


def digests_at(mosaic: Mosaic, version: Version, cells: Sequence[Cell]) -> list[int]:
    """Return the digests of tiles of a version, 0 for empty ones.

    Raises
    ------
    StoreError
        The version is damaged or no longer exists, or no access.
    """
    with mosaic.reaching():
        return read_digests(mosaic.session_at(version.id).store, cells)
