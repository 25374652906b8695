"""The mosaic's grid, its shards and its tiles.

A tile is the unit of orchestration: a whole number of shards, so that one task writes a shard
alone. Tile and shard indices count from the grid's anchor, columns eastwards and rows southwards,
so a tile keeps its name when the mosaic grows.
"""

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from deepsalt.errors import GridError
from deepsalt.grid.crs import projected_crs
from deepsalt.grid.locate import SPARSE_PX, interior, outline, outlines
from deepsalt.types import Floats, PixelGrid

DEFAULT_CRS = "EPSG:6933"
DEFAULT_RESOLUTION_M = 30.0
MIN_RESOLUTION_M = 1.0
MAX_RESOLUTION_M = 10_000.0
"""Cells a user may ask for: finer only repeats 30 m pixels, coarser picks 1 in 100,000 of them."""
ENMAP_PHASE_M = 15.0
"""EnMAP L2A rasters start on 30k + 15 m of their UTM zone, in x and in y."""
_EDGES_PX = (4 * SPARSE_PX, SPARSE_PX, SPARSE_PX // 4)
"""Pixels between points of a scene's edge, by which its tiles are looked for, in this order."""
_SPAN = 4
"""Tiles along a side of what scenes are looked at together for; a scene of 30 km touches 2 or 3."""

_LARGE_PX = 8192
"""Side of scenes that are not looked at together with others, whose edges would get as many points.
"""

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, order=True)
class Tile:
    """One tile of a mosaic grid.

    Parameters
    ----------
    ix, iy
        Tiles east and south of the grid's anchor.
    """

    ix: int
    iy: int

    @property
    def id(self) -> str:
        """Name, safe as a file name: ``x-3_y12``."""
        return f"x{self.ix}_y{self.iy}"

    @classmethod
    def from_id(cls, name: str) -> Self:
        """Return the tile of a name.

        Raises
        ------
        GridError
            The name is not one that `id` gives.
        """
        match = re.fullmatch(r"x(-?\d+)_y(-?\d+)", name)
        if match is None:
            raise GridError(f"{name!r} is not the name of a tile; expected a name such as x-3_y12")
        return cls(int(match[1]), int(match[2]))


@dataclass(frozen=True, slots=True)
class Extent:
    """Bounding box of tiles: `ix0 <= ix < ix1`, `iy0 <= iy < iy1`.

    Parameters
    ----------
    ix0, iy0, ix1, iy1
        First tile and one past the last, tiles from the grid's anchor.
    """

    ix0: int
    iy0: int
    ix1: int
    iy1: int

    @classmethod
    def of(cls, tiles: Collection[Tile]) -> Self:
        """Return the bounding box of these tiles.

        Raises
        ------
        GridError
            No tile was given.
        """
        columns, rows = [tile.ix for tile in tiles], [tile.iy for tile in tiles]
        if not columns:
            raise GridError("no tile was given, so there is no extent; give at least one tile")
        return cls(min(columns), min(rows), max(columns) + 1, max(rows) + 1)


@dataclass(frozen=True, slots=True)
class PixelWindow:
    """Slices of a mosaic array; `MosaicGrid.region` makes them.

    Parameters
    ----------
    y, x
        Start and stop, pixels of the mosaic.
    """

    y: tuple[int, int]
    x: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, pixels."""
        return (self.y[1] - self.y[0], self.x[1] - self.x[0])


@dataclass(frozen=True, slots=True)
class MosaicGrid:
    """Grid of a mosaic: pixels, shards and tiles without an end.

    Parameters
    ----------
    crs
        Projected CRS in metres: authority code, or WKT where there is none.
    resolution_m
        Pixel size, metres of the CRS.
    anchor
        A pixel corner (x, y), CRS units; pixel corners lie on anchor + k x resolution.
    chunk_px, shard_px
        Edge of a chunk (unit of compute) and of a shard (unit of parallel writing), pixels.
    tile_shards
        Edge of a tile, shards.

    Examples
    --------
    >>> import deepsalt
    >>> grid = deepsalt.MosaicGrid(crs="EPSG:32640", resolution_m=30.0)
    >>> grid.tile_px
    2048
    >>> corner = (30.0, 0.0, 90000.0, 0.0, -30.0, 4500000.0)
    >>> grid.tiles_over(deepsalt.PixelGrid("EPSG:32640", corner, 100, 100))
    [Tile(ix=1, iy=-74)]
    """

    crs: str = DEFAULT_CRS
    resolution_m: float = DEFAULT_RESOLUTION_M
    anchor: tuple[float, float] = (0.0, 0.0)
    chunk_px: int = 256
    shard_px: int = 1024
    tile_shards: int = 2

    def __post_init__(self) -> None:
        """Refuse grids that cannot be."""
        if not (math.isfinite(self.resolution_m) and self.resolution_m > 0):
            raise GridError(
                f"a mosaic cannot have a resolution of {self.resolution_m} m; give a positive "
                f"resolution"
            )
        if min(self.chunk_px, self.shard_px, self.tile_shards) < 1 or self.shard_px % self.chunk_px:
            raise GridError(
                f"a shard of {self.shard_px} pixels does not hold whole chunks of "
                f"{self.chunk_px}; give positive sizes, with the shard a multiple of the chunk"
            )

    @classmethod
    def from_options(
        cls, crs: str = DEFAULT_CRS, resolution_m: float = DEFAULT_RESOLUTION_M
    ) -> Self:
        """Return the grid for a CRS and resolution that a user gave.

        A UTM zone at 30 m gets the phase of EnMAP's own rasters, so that scenes of that zone are
        not resampled at all.

        Raises
        ------
        GridError
            Unknown CRS, degrees instead of metres, or a resolution that is not positive.
        """
        code = projected_crs(crs)
        if not MIN_RESOLUTION_M <= resolution_m <= MAX_RESOLUTION_M:
            raise GridError(
                f"a resolution of {resolution_m:g} m does not suit 30 m scenes; give a positive "
                f"number of metres from {MIN_RESOLUTION_M:g} to {MAX_RESOLUTION_M:g}"
            )
        utm = code.startswith(("EPSG:326", "EPSG:327")) and 1 <= int(code[-2:]) <= 60
        phase = ENMAP_PHASE_M if utm and resolution_m == DEFAULT_RESOLUTION_M else 0.0
        return cls(code, float(resolution_m), (phase, phase))

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Return the grid that `to_dict` described."""
        x, y = values["anchor"]
        return cls(**{**values, "anchor": (float(x), float(y))})

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        return {**asdict(self), "anchor": list(self.anchor)}

    @property
    def tile_px(self) -> int:
        """Edge of a tile, pixels."""
        return self.shard_px * self.tile_shards

    def tiles_over(self, grid: PixelGrid) -> list[Tile]:
        """Return every tile that a pixel of `grid` touches, sorted.

        Never misses one; at a tile's edge it may name one that no pixel centre falls into.

        Raises
        ------
        GridError
            The scene reaches beyond where this grid's CRS is defined.
        """
        # PROJ moves every pixel of the edge only where sparse edges do not settle the answer.
        for every_px in _EDGES_PX:
            try:
                found, certain = self._tiles_along(grid, every_px, slack=2.0)
            except GridError:
                if every_px == SPARSE_PX:
                    raise
                continue  # long steps near a pole may look torn apart
            if certain:
                return sorted(found)
        return sorted(self._tiles_along(grid, 1, slack=1.0)[0])

    def tiles_over_each(self, grids: Sequence[PixelGrid]) -> list[list[Tile] | GridError]:
        """Return what `tiles_over` returns or raises of each grid, many at a time.

        PROJ and NumPy take as long to begin as they do for one grid.
        """
        found: dict[int, list[Tile]] = {}
        left = [i for i, grid in enumerate(grids) if max(grid.height, grid.width) <= _LARGE_PX]
        for every_px in _EDGES_PX[:2]:
            alike: dict[str, list[int]] = {}
            for index in left:
                alike.setdefault(grids[index].crs, []).append(index)
            for indices in alike.values():
                settled = self._tiles_along_each([grids[index] for index in indices], every_px)
                found |= {indices[place]: tiles for place, tiles in settled.items()}
            left = [index for index in left if index not in found]
        return [found.get(index) or self._tiles_or_error(grid) for index, grid in enumerate(grids)]

    def _tiles_or_error(self, grid: PixelGrid) -> list[Tile] | GridError:
        try:
            return self.tiles_over(grid)
        except GridError as error:
            return error

    def _tiles_along_each(self, grids: Sequence[PixelGrid], every_px: int) -> dict[int, list[Tile]]:
        """Return the tiles of those grids whose edges leave no doubt, by place.

        Each step along an edge lies in the box of its ends, widened by how far it is bent, twice as
        seen in its middle, and by two pixels. Where a box goes over several tiles, and points of
        the edge touch all of them, these are the tiles of any finer edge. Left out are also grids
        that may hold a tile which their edges do not touch.
        """
        x, y, step, torn = outlines(grids, self.crs, every_px)
        places = np.flatnonzero(~torn)
        x, y, step = x[places], y[places], step[places]
        middle_x, middle_y = ((p[:, :-2:2] + p[:, 2::2]) / 2 - p[:, 1::2] for p in (x, y))
        bent = np.hypot(middle_x, middle_y).max(axis=1)
        shortest_px = np.array([min(grid.height, grid.width) for grid in grids])[places]
        pixel = step / np.minimum(shortest_px, every_px)  # or more: the longest step's, at least
        x, y, margin = x[:, ::2], y[:, ::2], 2 * (bent + pixel)[:, None]
        ends_x, ends_y = self._indices(x, y)
        west, north = self._indices(_pairs(np.minimum, x) - margin, _pairs(np.maximum, y) + margin)
        east, south = self._indices(_pairs(np.maximum, x) + margin, _pairs(np.minimum, y) - margin)
        first_x, first_y = west.min(axis=1), north.min(axis=1)
        fit = (np.maximum(east - west, south - north) <= 1).all(axis=1)
        fit &= np.maximum(east.max(axis=1) - first_x, south.max(axis=1) - first_y) < _SPAN
        places, first_x, first_y = places[fit], first_x[fit], first_y[fit]
        number = np.arange(len(places))[:, None]

        def mark(tiles: NDArray[np.bool_], ix: Indices, iy: Indices) -> None:
            tiles[number, ix[fit] - first_x[:, None], iy[fit] - first_y[:, None]] = True

        touched = np.zeros((len(places), _SPAN, _SPAN), bool)
        mark(touched, ends_x, ends_y)
        near = touched.copy()
        for column, row in ((west, north), (west, south), (east, north), (east, south)):
            mark(near, column, row)
        narrow = np.minimum(near.any(axis=2).sum(axis=1), near.any(axis=1).sum(axis=1)) <= 2
        certain = narrow & (near == touched).all(axis=(1, 2))
        found: dict[int, list[Tile]] = {int(place): [] for place in places[certain]}
        which, column, row = np.nonzero(near & certain[:, None, None])  # sorted, as tiles are
        columns, rows = (column + first_x[which]).tolist(), (row + first_y[which]).tolist()
        for place, ix, iy in zip(places[which].tolist(), columns, rows, strict=True):
            found[place].append(Tile(ix, iy))
        return found

    def _tiles_along(
        self, grid: PixelGrid, every_px: int, *, slack: float
    ) -> tuple[set[Tile], bool]:
        """Return tiles within `slack` steps of a grid, and whether its own points touch them all.

        They then are the tiles for any finer edge, whose points lie in between.
        """
        x, y, step = outline(grid, self.crs, every_px)
        margin = slack * step
        west, north = self._indices(x - margin, y + margin)
        east, south = self._indices(x + margin, y - margin)
        if np.array_equal(west, east) and np.array_equal(north, south):
            touched = found = _tiles_at(west, north)
        else:
            touched = _tiles_at(*self._indices(x, y))
            columns, rows = (west, west, east, east), (north, south, north, south)
            found = touched | _tiles_at(np.concatenate(columns), np.concatenate(rows))
        # Only a tile with others on all sides may hold nothing of the edge.
        if min(len({tile.ix for tile in found}), len({tile.iy for tile in found})) > 2:
            inner = interior(grid, self.crs, step_m=self.tile_px * self.resolution_m / 4)
            within = _tiles_at(*self._indices(*inner))
            touched, found = touched | within, found | within
        return found, found == touched

    def _indices(self, x: Floats, y: Floats) -> tuple[Indices, Indices]:
        """Return column and row of the tiles under points."""
        size = self.tile_px * self.resolution_m
        ix = np.floor((x - self.anchor[0]) / size).astype(np.int64)
        iy = np.floor((self.anchor[1] - y) / size).astype(np.int64)
        return ix, iy

    def tile_grid(self, tile: Tile) -> PixelGrid:
        """Return the pixels of one tile."""
        return self.extent_grid(Extent(tile.ix, tile.iy, tile.ix + 1, tile.iy + 1))

    def extent_grid(self, extent: Extent) -> PixelGrid:
        """Return the pixels of a mosaic that covers `extent`."""
        r, (x, y) = self.resolution_m, self.anchor
        return PixelGrid(
            crs=self.crs,
            transform=(
                r,
                0.0,
                x + extent.ix0 * self.tile_px * r,
                0.0,
                -r,
                y - extent.iy0 * self.tile_px * r,
            ),
            height=(extent.iy1 - extent.iy0) * self.tile_px,
            width=(extent.ix1 - extent.ix0) * self.tile_px,
        )

    def region(self, tile: Tile, extent: Extent) -> PixelWindow:
        """Return the slices of a tile in a mosaic that covers `extent`.

        Raises
        ------
        GridError
            The tile lies outside the extent.
        """
        column, row = tile.ix - extent.ix0, tile.iy - extent.iy0
        if not (0 <= column < extent.ix1 - extent.ix0 and 0 <= row < extent.iy1 - extent.iy0):
            raise GridError(f"tile {tile.id} lies outside the mosaic's extent {extent}")
        n = self.tile_px
        return PixelWindow(y=(row * n, (row + 1) * n), x=(column * n, (column + 1) * n))


def _tiles_at(ix: Indices, iy: Indices) -> set[Tile]:
    # Points follow an edge, so most lie in the tile of the one before.
    moved = np.ones(ix.size, bool)
    moved[1:] = (ix[1:] != ix[:-1]) | (iy[1:] != iy[:-1])
    pairs = zip(ix[moved].tolist(), iy[moved].tolist(), strict=True)
    return {Tile(column, row) for column, row in pairs}


def _pairs(smaller_or_larger: np.ufunc, values: Floats) -> Floats:
    """Return the smaller or larger of each value and the next one of its row."""
    found: Floats = smaller_or_larger(values[:, :-1], values[:, 1:])
    return found
