"""One tile: composed shard by shard, written, and checked on the same worker."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deepsalt.compositing import composite_measured
from deepsalt.grid import PixelWindow
from deepsalt.layers import MOSAIC_LAYERS
from deepsalt.mosaic.drift import Drift
from deepsalt.naming import named
from deepsalt.plot.overview import TileView
from deepsalt.plot.picture import classify
from deepsalt.plot.salt import SaltRule
from deepsalt.store import Store
from deepsalt.store.arrays import Array, open_layers
from deepsalt.types import Report
from deepsalt.validate import Finding, Limits, check_pixels
from deepsalt.versions import Job, read_salinity, write_tile

if TYPE_CHECKING:
    from icechunk import IcechunkStore

logger = logging.getLogger(__name__)

Shard = tuple[int, int]


@dataclass(frozen=True, slots=True)
class TileNote:
    """What the driver learns about a tile.

    Parameters
    ----------
    report
        Its pixels.
    errors
        Errors that a check found.
    view
        Its view, a packed `TileView`.
    drift
        How far it is from what it was.
    """

    report: Report
    errors: tuple[Finding, ...]
    view: bytes
    drift: Drift


class _Compared:
    """Compares shards with what the tile was, as they are composed.

    Parameters
    ----------
    before
        Salinity of the tile before (y, x), dS/m; None if there is none to compare with.
    """

    def __init__(self, before: NDArray[np.float32] | None) -> None:
        self._before = before
        self._drift = Drift.none()

    def passed(
        self, shards: Iterable[tuple[Shard, dict[str, NDArray[Any]]]], edge_px: int
    ) -> Iterator[tuple[Shard, dict[str, NDArray[Any]]]]:
        """Yield the shards, each after it was compared."""
        for shard, layers in shards:
            if self._before is not None:
                rows, columns = (slice(at * edge_px, (at + 1) * edge_px) for at in shard)
                self._drift += Drift.of(self._before[rows, columns], layers["salinity"])
                self._before[rows, columns] = np.nan
            yield shard, layers

    def drift(self) -> Drift:
        """Return how far the tile is from what it was, with the shards that it has no more."""
        if self._before is None:
            return self._drift
        left = int(np.count_nonzero(np.isfinite(self._before)))
        return replace(
            self._drift, estimated=self._drift.estimated + left, lost=self._drift.lost + left
        )


@dataclass(frozen=True, slots=True)
class Composer:
    """Composes tiles of scene products, on any worker.

    Parameters
    ----------
    store
        The store.
    limits
        Limits beyond which a tile fails.
    cell_px
        Edge of the cells of its view, pixels.
    build
        The build; a worker opens a product once per build.
    """

    store: Store
    limits: Limits
    cell_px: int
    build: str

    def __call__(self, into: "IcechunkStore", job: Job) -> TileNote:
        """Compose, write and check a tile; repeating it gives the same result.

        Raises
        ------
        StoreError
            A product is incomplete or damaged, or the store cannot be written.
        """
        views: list[tuple[Shard, NDArray[Any]]] = []
        written: list[PixelWindow] = []
        with named(tile=job.tile.id):
            arrays = open_layers(into, MOSAIC_LAYERS, f"tile {job.tile.id}")
            compared = _Compared(read_salinity(into, job))
            composed = self._shards(job, SaltRule.of(arrays), views, written)
            shards = compared.passed(composed, job.frame.grid.shard_px)
            report = write_tile(into, job, shards)
            view = TileView.of(views, job.frame.grid.tile_px, self.cell_px)
            errors = tuple(self._errors(arrays, job, written))
            logger.info("composed of %d products, %d errors", len(job.products), len(errors))
            return TileNote(report, errors, view.pack(), compared.drift())

    def _shards(
        self,
        job: Job,
        rule: SaltRule | None,
        views: list[tuple[Shard, NDArray[Any]]],
        written: list[PixelWindow],
    ) -> Iterator[tuple[Shard, dict[str, NDArray[Any]]]]:
        """Yield the shards with measurements of a scene; note their place and view."""
        grid = job.frame.grid
        edge = job.frame.grid.shard_px
        _, row, column = job.cell
        for shard in ((y, x) for y in range(grid.tile_shards) for x in range(grid.tile_shards)):
            rows, columns = (slice(first * edge, (first + 1) * edge) for first in shard)
            pixels = grid.tile_grid(job.tile).window(rows, columns)
            ds = composite_measured(
                self.store, job.products, pixels, block_px=edge, build=self.build
            )
            if ds is None:
                continue
            layers = {layer.name: ds[layer.name].values for layer in MOSAIC_LAYERS}
            views.append(((rows.start, columns.start), classify(layers, rule)))
            top = row * grid.tile_px + rows.start
            left = column * grid.tile_px + columns.start
            written.append(PixelWindow((top, top + edge), (left, left + edge)))
            yield shard, layers

    def _errors(
        self, arrays: Mapping[str, Array], job: Job, written: list[PixelWindow]
    ) -> Iterator[Finding]:
        findings = check_pixels(
            arrays,
            job.slot,
            written,
            self.limits,
            where=f"tile {job.tile.id}",
            pixels=job.frame.grid.tile_px**2,
        )
        return (finding for finding in findings if finding.severity == "error")
