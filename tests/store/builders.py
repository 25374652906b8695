"""Tiny acquisitions, products and stores for tests of the mosaic."""

import secrets
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import xarray as xr

from deepsalt.grid import MosaicGrid
from deepsalt.layers import (
    CHANCE,
    CHANCE_FILL,
    CHANCE_STEP,
    SCENE_LAYERS,
    THRESHOLD,
    THRESHOLDS_DS_M,
)
from deepsalt.mosaic import Builder, all_period_tiles
from deepsalt.objects import Objects
from deepsalt.products import mark_done, write_product
from deepsalt.store import Period, Store
from deepsalt.types import Acquisition, BandTable, ModelRef, PixelGrid, QualityFlag
from deepsalt.versions import Built, open_repository, products_of

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
    data |= {CHANCE: chances(data["salinity"]), "quality_flags": quality_flags}
    ds = xr.Dataset({layer.name: (layer.dims, data[layer.name]) for layer in SCENE_LAYERS})
    ds[THRESHOLD] = np.array(THRESHOLDS_DS_M)
    for layer in SCENE_LAYERS:
        ds[layer.name].attrs.update(layer.attributes())
    ds["salinity"].attrs["ec_method"] = "EC 1:2"
    ds[CHANCE].attrs.update(base_rate=[0.2] * 4, calibrated=["yes"] * 4)
    return ds


def chances(salinity: np.ndarray) -> np.ndarray:
    """Probabilities as stored: likelier above a threshold the saltier it is."""
    threshold = np.array(THRESHOLDS_DS_M)[:, None, None]
    likely = salinity**2 / (salinity**2 + threshold**2)
    steps = np.where(np.isnan(likely), CHANCE_FILL, np.rint(likely / CHANCE_STEP))
    return steps.astype(np.uint16)


def hide(ds: xr.Dataset) -> None:
    """Take all estimates away."""
    for layer in SCENE_LAYERS:
        if layer.name != "quality_flags":
            ds[layer.name][:] = layer.fill


def add_product(
    store: Store,
    acq: Acquisition,
    ds: xr.Dataset | None = None,
    *,
    seed: int = 0,
    ref: ModelRef = REF,
) -> str:
    made = layers(acq.grid, seed=seed) if ds is None else ds
    marker = write_product(made, store, acq, ref, attrs={"simulated": True})
    return mark_done(store, marker).name


def in_memory() -> Objects:
    """A new place in this process."""
    return Objects.of(f"memory://{secrets.token_hex(8)}")


def make_store(
    where: Path | str | Objects | None = None,
    grid: MosaicGrid = GRID,
    *,
    layout: str = "all",
    ref: ModelRef = REF,
) -> Store:
    period_tile = in_memory() if where is None else where
    return Store.create(period_tile, grid=grid, model=ref.digest, period_layout=layout)


def build(store: Store, period: Period | None = None, *, why: str = "test") -> Built:
    """Bring all tiles of a period, or of all there are, to what they should be."""
    with ThreadPoolExecutor(2) as pool:
        return Builder(store, pool)(all_period_tiles(store, period), why=why)


def add_small(store: Store, name: str, *, column: int = 0, version: str = "1") -> str:
    """Write the product of a scene of 20 x 20 pixels; its name is that of the acquisition."""
    grid = scene_grid(column=column, height=20, width=20)
    return add_product(store, acquisition(name, grid=grid, version=version), seed=ord(name[0]))


def published(store: Store) -> tuple[str, ...]:
    """Products of the published mosaic."""
    mosaic = open_repository(store.objects)
    head = mosaic.head()
    found = products_of(mosaic, head) if head else ()
    return tuple(sorted({name for _, _, names in found for name in names}))
