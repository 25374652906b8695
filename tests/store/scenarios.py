"""Scenes with versions, what of them counts, and the mosaic that one clean run makes of them."""

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import xarray as xr

from deepsalt.grid import MosaicGrid
from deepsalt.model.load import model_ref
from deepsalt.products import product_name
from deepsalt.store import Period, Store
from deepsalt.types import Acquisition, Asset
from deepsalt.validate import check_store
from tests.store.builders import (
    acquisition,
    add_product,
    build,
    layers,
    make_store,
    published,
    scene_grid,
)

ALL = Period.all()
REF = model_ref()
Scene = tuple[str, int]
"""Name of an acquisition, and provider version."""

# Versions 2 and 10: later by their numbers, not by their letters.
SCENES = [(name, version) for name in "abc" for version in (2, 10)]
_PLACES = {"a": (0, 0), "b": (4, 9), "c": (-7, 15)}
GRIDS = [
    MosaicGrid("EPSG:32633", anchor=(15.0, 15.0), chunk_px=chunk, shard_px=shard, tile_shards=tile)
    for chunk, shard, tile in ((16, 16, 1), (8, 16, 2), (32, 32, 1))
]
# Nothing here is about disks; in memory the files sync at once.
ROOT = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@cache
def scene(name: str, version: int) -> tuple[Acquisition, xr.Dataset]:
    row, column = _PLACES[name]
    grid = scene_grid(row=row, column=column, height=12, width=14)
    made = acquisition(name, version=str(version), grid=grid, day=ord(name) - ord("a") + 1)
    # With a file, so that a STAC Item can be made of it.
    made = replace(made, assets=(Asset("image", f"/{name}.tif"),), nodata=-32768.0)
    return made, layers(grid, seed=100 * ord(name) + version)


PRODUCTS = {each: product_name(scene(*each)[0], REF) for each in SCENES}
"""Name of the product of each scene."""


def chosen(scenes: Iterable[Scene], withdrawn: Mapping[str, int]) -> frozenset[Scene]:
    """Return the scenes that count: the newest version of each, unless it is withdrawn."""
    newest: dict[str, int] = {}
    for name, version in scenes:
        newest[name] = max(version, newest.get(name, 0))
    return frozenset((n, v) for n, v in newest.items() if v > withdrawn.get(n, 0))


def write(store: Store, scenes: Iterable[Scene]) -> list[str]:
    made = [scene(*each) for each in scenes]
    return [add_product(store.scenes, acq, ds, ref=REF) for acq, ds in made]


def published_scenes(store: Store) -> frozenset[Scene]:
    return scenes_of(published(store))


def scenes_of(products: Collection[str]) -> frozenset[Scene]:
    return frozenset(each for each, name in PRODUCTS.items() if name in products)


def read(store: Store) -> xr.Dataset:
    return without_history(xr.open_zarr(store.mosaic, chunks=None).load())


def without_history(mosaic: xr.Dataset) -> xr.Dataset:
    """Drop when a mosaic was built; all else is a function of its products."""
    assert mosaic.attrs.pop("history")
    return mosaic


def assert_clean(store: Store, members: Collection[Scene], folder: Path) -> None:
    """Compare a mosaic, bit for bit, with what clean runs on its and on other tiles make."""
    found = read(store)
    for number, grid in enumerate({store.grid, GRIDS[0], GRIDS[-1]}):
        clean = make_store(folder / f"clean{number}", grid, ref=REF)
        build(clean, {ALL: write(clean, sorted(members, reverse=True))})
        if grid == store.grid:
            xr.testing.assert_identical(found, read(clean))
        else:
            assert_same_cells(found, read(clean))
    assert not [each for each in check_store(store.path) if each.severity == "error"]


def assert_same_cells(found: xr.Dataset, other: xr.Dataset) -> None:
    """Compare mosaics of other tiles: the same bits where both are, nothing seen elsewhere."""
    for one, two in ((found, other), (other, found)):
        seen = one.observations.max("period") > 0
        assert bool(seen.any("x").sel(y=np.isin(one.y, two.y)).sum() == seen.any("x").sum())
        assert bool(seen.any("y").sel(x=np.isin(one.x, two.x)).sum() == seen.any("y").sum())
    one, two = xr.align(found, other, join="inner")
    for name in one.data_vars:
        np.testing.assert_array_equal(one[name].values, two[name].values, err_msg=str(name))
