"""Tiny acquisitions, products and stores for tests of the mosaic."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import xarray as xr

from deepsalt.grid import MosaicGrid
from deepsalt.layers import SCENE_LAYERS
from deepsalt.mosaic import begin_build, compose_tile, rolled_back
from deepsalt.mosaic.sets import published_sets
from deepsalt.products import product_key, product_name, write_product
from deepsalt.store import Period, Store, Version
from deepsalt.types import Acquisition, BandTable, ModelRef, PixelGrid, QualityFlag

REF = ModelRef(path="model", digest="ab" * 32, family="student-test")
GRID = MosaicGrid(crs="EPSG:32633", anchor=(15.0, 15.0), chunk_px=16, shard_px=32, tile_shards=2)
ORIGIN = (300015.0, 5800035.0)  # on the phase of EnMAP: 30k + 15 m


def scene_grid(
    *, row: int = 0, column: int = 0, height: int = 40, width: int = 50, crs: str = "EPSG:32633"
) -> PixelGrid:
    x, y = ORIGIN
    return PixelGrid(crs, (30.0, 0.0, x + 30 * column, 0.0, -30.0, y - 30 * row), height, width)


def acquisition(
    name: str = "a", *, version: str = "1", day: int | None = 1, grid: PixelGrid | None = None
) -> Acquisition:
    start = None if day is None else datetime(2024, 5, day, 10, tzinfo=UTC)
    return Acquisition(
        collection="test",
        scene_id=f"SCENE-{name}-{version}",
        acquisition_id=name,
        version=version,
        sensor="enmap",
        start=start,
        end=start,
        grid=grid or scene_grid(),
        bands=BandTable(("b1",), (500.0,), (10.0,), (True,)),
        gain=(1e-4,),
        offset=(0.0,),
        dtype="int16",
        nodata=-32768,
        block_shape=None,
        assets=(),
        footprint=((15.0, 52.0), (15.1, 52.0), (15.1, 52.1), (15.0, 52.0)),
    )


TOP_DS_M = 20.0
"""Largest salinity drawn: below what the shipped model can say, so that checks pass."""


def layers(
    grid: PixelGrid, *, seed: int = 0, salinity: float | None = None, spread: float = 0.5
) -> xr.Dataset:
    """Seeded layers of a product: some pixels cloudy, a corner outside, a few extrapolated."""
    rng = np.random.default_rng(seed)
    shape = (grid.height, grid.width)
    drawn = np.minimum(rng.gamma(2.0, 3.0, shape), TOP_DS_M)
    value = drawn if salinity is None else np.full(shape, salinity)
    width = spread * rng.uniform(0.5, 1.5, shape) if salinity is None else np.full(shape, spread)
    quality_flags = np.zeros(shape, np.uint16)
    if salinity is None:
        quality_flags[rng.random(shape) < 0.2] = QualityFlag.CLOUD
        quality_flags[rng.random(shape) < 0.1] |= np.uint16(QualityFlag.EXTRAPOLATED)
        quality_flags[: grid.height // 4, : grid.width // 4] = QualityFlag.OUTSIDE
    hidden = (quality_flags & np.uint16(QualityFlag.CLOUD | QualityFlag.OUTSIDE)) != 0
    z = np.log1p(value)
    values = {
        "salinity": value,
        "salinity_lower": np.expm1(np.maximum(z - width, 0)),
        "salinity_upper": np.maximum(np.minimum(np.expm1(z + width), TOP_DS_M), value),
    }
    data = {k: np.where(hidden, np.nan, v).astype(np.float32) for k, v in values.items()}
    ds = xr.Dataset(
        {k: (("y", "x"), v) for k, v in {**data, "quality_flags": quality_flags}.items()}
    )
    for layer in SCENE_LAYERS:
        ds[layer.name].attrs.update(layer.attributes())
    ds["salinity"].attrs["ec_method"] = "EC 1:2"
    return ds


def add_product(
    folder: Path,
    acq: Acquisition,
    ds: xr.Dataset | None = None,
    *,
    seed: int = 0,
    ref: ModelRef = REF,
) -> str:
    name = product_name(acq, ref)
    write_product(
        layers(acq.grid, seed=seed) if ds is None else ds,
        folder,
        name=name,
        key=product_key(acq, ref),
        acquisition=acq,
        ref=ref,
        attrs={"simulated": True},
    )
    return name


def make_store(
    path: Path, grid: MosaicGrid = GRID, *, layout: str = "all", ref: ModelRef = REF
) -> Store:
    return Store.create(path, grid=grid, model=ref.digest, period_layout=layout)


def build(store: Store, sets: dict[Period, list[str]] | dict[Period, tuple[str, ...]]) -> Version:
    with begin_build(store, sets) as plan:
        for task in plan.tasks:
            compose_tile(task)
        return plan.publish()


def add_small(store: Store, name: str, *, column: int = 0, version: str = "1") -> str:
    """Write the product of a scene of 20 x 20 pixels; its name is that of the acquisition."""
    grid = scene_grid(column=column, height=20, width=20)
    return add_product(store.scenes, acquisition(name, grid=grid, version=version), seed=ord(name))


def published(store: Store) -> tuple[str, ...]:
    """Products of the published mosaic."""
    return tuple(sorted(name for names in published_sets(store).values() for name in names))


def roll_back(store: Store, version: str | None = None) -> None:
    with rolled_back(store, version):
        pass
