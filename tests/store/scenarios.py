"""Scenes with versions, what of them counts, and the mosaic that one clean run makes of them."""

from collections.abc import Collection, Iterable, Mapping
from functools import cache

import numpy as np
import xarray as xr

from deepsalt.errors import StoreMissingError
from deepsalt.grid import MosaicGrid, Tile
from deepsalt.model.load import model_ref
from deepsalt.products import complete_names, product_name
from deepsalt.store import Period, Store
from deepsalt.types import Acquisition
from deepsalt.versions import open_mosaic, open_repository, products_of
from tests.store.builders import acquisition, add_product, build, layers, make_store, scene_grid

ALL = Period.all()
REF = model_ref()
Scene = tuple[str, int]
"""Name of an acquisition, and provider version."""

# Versions 2 and 10: later by their numbers, not by their letters. A version that the provider made
# anew may lie elsewhere: on more tiles (a), on others (b), on the same pixels (c).
_PLACES = {
    ("a", 2): (0, 0),
    ("a", 10): (3, 5),
    ("b", 2): (4, 9),
    ("b", 10): (-20, -16),
    ("c", 2): (-7, 15),
    ("c", 10): (-7, 15),
}
SCENES: list[Scene] = [*_PLACES]
GRIDS = [
    MosaicGrid("EPSG:32633", anchor=(15.0, 15.0), chunk_px=chunk, shard_px=shard, tile_shards=tile)
    for chunk, shard, tile in ((16, 16, 1), (8, 16, 2), (32, 32, 1))
]
_FACTS_THAT_GROW = ("history", "newest", "sensors", "version_id")
"""What a version says of how it came to be: not of what it is made of."""


@cache
def scene(name: str, version: int) -> tuple[Acquisition, xr.Dataset]:
    row, column = _PLACES[name, version]
    grid = scene_grid(row=row, column=column, height=12, width=14)
    made = acquisition(name, version=str(version), grid=grid, day=ord(name) - ord("a") + 1)
    return made, layers(grid, seed=100 * ord(name) + version)


PRODUCTS = {each: product_name(scene(*each)[0], REF) for each in SCENES}
"""Name of the product of each scene."""


@cache
def tiles_under(grid: MosaicGrid, each: Scene) -> frozenset[Tile]:
    return frozenset(grid.tiles_over(scene(*each)[0].grid))


def chosen(scenes: Iterable[Scene], withdrawn: Mapping[str, int]) -> frozenset[Scene]:
    """Return the scenes that count: the newest version of each, unless it is withdrawn."""
    newest: dict[str, int] = {}
    for name, version in scenes:
        newest[name] = max(version, newest.get(name, 0))
    return frozenset((n, v) for n, v in newest.items() if v > withdrawn.get(n, 0))


def write(store: Store, scenes: Iterable[Scene]) -> list[str]:
    made = [scene(*each) for each in scenes]
    return [add_product(store, acq, ds, ref=REF) for acq, ds in made]


def written(store: Store) -> frozenset[Scene]:
    return scenes_of(complete_names(store))


def scenes_of(products: Collection[str]) -> frozenset[Scene]:
    return frozenset(each for each, name in PRODUCTS.items() if name in products)


Tiles = dict[Tile, frozenset[Scene]]
"""The scenes that tiles are made of; tiles of none are left out."""


def tiles_of(store: Store, version: str | None = None) -> Tiles:
    """What the published version, or another, is made of."""
    try:
        mosaic = open_repository(store.objects)
    except StoreMissingError:
        return {}
    found = mosaic.head() if version is None else mosaic.find(version)
    if found is None:
        return {}
    return {tile: scenes_of(names) for _, tile, names in products_of(mosaic, found)}


def read(store: Store) -> xr.Dataset | None:
    """The published mosaic without what tells how it came to be; None of an empty one."""
    try:
        ds = open_mosaic(open_repository(store.objects), chunks=None).load()
    except StoreMissingError:
        return None
    # The days of the period without limits only ever widen.
    ds = ds.isel(period=0).drop_vars(["period", "period_bounds"])
    return ds.assign_attrs({name: None for name in _FACTS_THAT_GROW if name in ds.attrs})


def assert_clean(store: Store, members: Collection[Scene]) -> None:
    """Compare a mosaic, bit for bit, with what clean runs on its and on other tiles make."""
    found = read(store)
    assert (found is None) == (not members)
    if found is None:
        return
    for grid in {store.grid, GRIDS[0], GRIDS[-1]}:
        expected, totals = _clean(grid, frozenset(members))
        if grid == store.grid:
            xr.testing.assert_identical(found, expected)
            assert _totals(store) == totals
        else:
            assert_same_cells(found, expected)


@cache
def _clean(grid: MosaicGrid, members: frozenset[Scene]) -> tuple[xr.Dataset, tuple[object, ...]]:
    """What one run over these scenes makes on a grid, and what its version counts."""
    store = make_store(grid=grid, ref=REF)
    write(store, sorted(members, reverse=True))
    build(store)
    found = read(store)
    assert found is not None
    return found, _totals(store)


def _totals(store: Store) -> tuple[object, ...]:
    head = open_repository(store.objects).head()
    assert head is not None
    return head.totals.pixels, head.totals.estimated, dict(head.totals.by_flag), head.simulated


def assert_same_cells(found: xr.Dataset, other: xr.Dataset) -> None:
    """Compare mosaics of other tiles: the same bits where both are, nothing seen elsewhere."""
    for one, two in ((found, other), (other, found)):
        seen = one.observations > 0
        assert bool(seen.any("x").sel(y=np.isin(one.y, two.y)).sum() == seen.any("x").sum())
        assert bool(seen.any("y").sel(x=np.isin(one.x, two.x)).sum() == seen.any("y").sum())
    one, two = xr.align(found, other, join="inner")
    for name in one.data_vars:
        np.testing.assert_array_equal(one[name].values, two[name].values, err_msg=str(name))
