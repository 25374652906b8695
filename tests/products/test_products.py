"""Scene products: named by content, written once, complete or not there."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import dask.array as da
import numpy as np
import pytest
import xarray as xr

from deepsalt.compositing import composite
from deepsalt.errors import GridError, StoreError
from deepsalt.grid import Tile
from deepsalt.layers import CHANCE_FILL, CHANCE_STEP, SCENE_LAYERS
from deepsalt.objects import Objects
from deepsalt.products import (
    complete_names,
    find_marker,
    mark_done,
    newest_versions,
    open_product,
    prefix_of,
    product_layers,
    product_name,
    products_over,
    read_marker,
    read_markers,
    unmark,
    verify_product,
    versions_of,
    write_product,
)
from deepsalt.products.done import indexed
from deepsalt.store import Store
from deepsalt.types import Acquisition, QualityFlag
from deepsalt.versions import filled_periods, open_repository
from tests.objects.loopback import Loopback
from tests.store.builders import (
    REF,
    acquisition,
    add_product,
    build,
    layers,
    make_store,
    published,
    scene_grid,
)
from tests.store.served import counted, served

ACQUISITION = acquisition()
NAME = product_name(ACQUISITION, REF)
PREFIX = prefix_of(NAME)


@pytest.fixture
def store() -> Store:
    return make_store()


@pytest.fixture
def written(store: Store) -> Store:
    """A store with one complete product, `NAME`."""
    assert add_product(store, ACQUISITION) == NAME
    return store


def keys(store: Store, prefix: str = "") -> dict[str, bytes]:
    """All objects below a prefix but the store's own record."""
    found = {entry.key: store.objects.read(entry.key) for entry in store.objects.list(prefix)}
    found.pop("store.json", None)
    return found


@pytest.mark.parametrize(
    "other",
    [
        product_name(acquisition("b"), REF),
        product_name(acquisition(version="2"), REF),
        product_name(ACQUISITION, replace(REF, digest="cd" * 32)),
        product_name(ACQUISITION, REF, "other configuration"),
    ],
    ids=["acquisition", "provider version", "model", "configuration"],
)
def test_whatever_changes_values_changes_the_name(other: str) -> None:
    assert other != product_name(ACQUISITION, REF)


def test_a_name_is_safe_as_a_file_name() -> None:
    name = product_name(replace(ACQUISITION, acquisition_id="../a b/\N{SNOWMAN}" + "x" * 300), REF)
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
    assert len(name) < 120


def test_what_is_written_is_read_back(written: Store) -> None:
    expected, found = layers(ACQUISITION.grid), open_product(written, NAME)
    for name in ("salinity", "salinity_lower", "salinity_upper", "quality_flags"):
        np.testing.assert_array_equal(found[name].values, expected[name].values)
        assert found[name].dtype == expected[name].dtype


def test_probabilities_are_read_back_as_numbers_from_0_to_1(written: Store) -> None:
    stored, found = (ds.p_above for ds in (layers(ACQUISITION.grid), open_product(written, NAME)))
    estimated = stored.values != CHANCE_FILL
    np.testing.assert_allclose(found.values[estimated], stored.values[estimated] * CHANCE_STEP)
    assert np.isnan(found.values[~estimated]).all()


def test_a_product_that_was_opened_is_written_with_the_same_bytes(written: Store) -> None:
    other = acquisition("b")
    copy = add_product(written, other, open_product(written, NAME).load())
    for layer in SCENE_LAYERS:
        key = "/".join([layer.name, "c", *("0" for _ in layer.dims)])
        one, two = (written.objects.read(f"{prefix_of(name)}/{key}") for name in (NAME, copy))
        assert one == two, layer.name


def test_coordinates_are_pixel_centres(written: Store) -> None:
    found = open_product(written, NAME)
    assert (float(found.x[0]), float(found.y[0])) == (300030.0, 5800020.0)


def test_a_product_opens_lazily(written: Store) -> None:
    assert isinstance(open_product(written, NAME).salinity.data, da.Array)


def test_a_product_in_a_folder_opens_without_deepsalt(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    add_product(store, ACQUISITION)
    found = xr.open_zarr(store.objects.path / PREFIX, consolidated=True)
    np.testing.assert_array_equal(found.salinity.values, layers(ACQUISITION.grid).salinity.values)


def test_a_product_is_georeferenced_both_ways(written: Store) -> None:
    found = open_product(written, NAME)
    assert found.attrs["proj:code"] == "EPSG:32633"
    assert found.attrs["spatial:transform"] == list(ACQUISITION.grid.transform)
    assert "UTM zone 33N" in found.spatial_ref.attrs["crs_wkt"]
    assert found.spatial_ref.attrs["GeoTransform"] == "300015.0 30.0 0.0 5800035.0 0.0 -30.0"
    assert found.salinity.attrs["grid_mapping"] == "spatial_ref"


def test_the_marker_keeps_what_the_mosaic_needs(written: Store) -> None:
    marker = read_marker(written, NAME)
    assert marker.scene_key == ACQUISITION.key
    assert marker.grid == ACQUISITION.grid
    assert marker.footprint == ACQUISITION.footprint
    assert (marker.start, str(marker.day)) == (ACQUISITION.start, "2024-05-01")
    assert marker.label == {"ec_method": "EC 1:2"}
    assert list(marker.over) == written.grid.tiles_over(ACQUISITION.grid)
    assert marker.simulated


def test_the_report_counts_pixels(written: Store) -> None:
    ds = layers(ACQUISITION.grid)
    report = read_marker(written, NAME).report
    assert report.pixels == 40 * 50
    assert report.estimated == int(np.isfinite(ds.salinity).sum())
    assert dict(report.by_flag)["cloud"] == int(
        (ds.quality_flags & int(QualityFlag.CLOUD) != 0).sum()
    )


def test_layers_are_computed_once(store: Store) -> None:
    runs: list[int] = []

    def block(values: np.ndarray) -> np.ndarray:
        runs.append(1)
        return values

    ds = layers(ACQUISITION.grid)
    lazy = ds.copy()
    lazy["salinity"] = ds.salinity.copy(
        data=da.from_array(ds.salinity.values).map_blocks(block, meta=np.array((), np.float32))
    )
    add_product(store, ACQUISITION, lazy)
    assert len(runs) == 1


def test_two_writers_of_a_product_write_the_same_bytes(store: Store) -> None:
    other = make_store()
    markers = [
        write_product(layers(ACQUISITION.grid), each, ACQUISITION, REF) for each in (store, other)
    ]
    assert keys(store) == keys(other)
    assert markers[0].files == markers[1].files


def test_of_two_writers_at_once_the_first_marker_stays(store: Store) -> None:
    ready = Barrier(2)

    def write(_: int) -> object:
        marker = write_product(layers(ACQUISITION.grid), store, ACQUISITION, REF)
        ready.wait()
        return mark_done(store, marker)

    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(write, range(2))
    assert one == two == read_marker(store, NAME)
    verify_product(store, read_marker(store, NAME))


def test_marking_again_changes_nothing(written: Store) -> None:
    before = keys(written)
    add_product(written, ACQUISITION)
    assert keys(written) == before


class KilledError(BaseException):
    """The process was killed. No Exception, so that nothing survives it by catching those."""


def killed_before(count: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let only so many objects be written or created; return their keys."""
    made: list[str] = []
    for verb in ("write", "create"):
        really = getattr(Objects, verb)

        def once(
            self: Objects, key: str, data: bytes, really: Callable[..., object] = really
        ) -> object:
            if len(made) == count:
                raise KilledError
            made.append(key)
            return really(self, key, data)

        monkeypatch.setattr(Objects, verb, once)
    return made


def steps() -> list[str]:
    """What is made when a product is written and marked."""
    store = make_store()
    with pytest.MonkeyPatch.context() as patch:
        made = killed_before(-1, patch)
        add_product(store, ACQUISITION)
    return made


def test_the_marker_is_created_last_and_the_index_right_before() -> None:
    made = steps()
    assert made[-1] == f"records/done/{NAME}.json"
    arrays = [key.startswith("scenes/") for key in made]
    index = [key.startswith("records/index/") for key in made]
    acquired = next(i for i, key in enumerate(made) if key.startswith("records/acquisitions/"))
    assert arrays == [True] * acquired + [False] * (len(made) - acquired)
    assert index == [False] * (acquired + 1) + [True] * (len(made) - acquired - 2) + [False]


@pytest.mark.parametrize("step", range(len(steps())))
def test_a_writer_that_is_killed_leaves_nothing_that_counts_and_is_repeated(
    step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store()
    other = add_product(store, acquisition("other"))
    with monkeypatch.context() as patch:
        killed_before(step, patch)
        with pytest.raises(KilledError):
            add_product(store, ACQUISITION)
    assert complete_names(store) == {other}
    build(store)
    assert published(store) == (other,)
    add_product(store, ACQUISITION)
    verify_product(store, read_marker(store, NAME))
    build(store)
    assert published(store) == tuple(sorted((other, NAME)))


def test_a_product_without_a_marker_cannot_be_read(written: Store) -> None:
    unmark(written, NAME)
    with pytest.raises(StoreError, match=f"product {NAME} .*is not complete; run its scene again"):
        open_product(written, NAME)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"name": 3}'])
def test_a_damaged_marker_is_named(written: Store, content: str) -> None:
    written.objects.write(f"records/done/{NAME}.json", content.encode())
    with pytest.raises(StoreError, match=rf"records/done/{NAME}\.json"):
        read_marker(written, NAME)


@pytest.mark.parametrize("content", ["", "{", "5", '["x"]', "[3]"])
def test_a_damaged_entry_of_an_acquisition_is_named(written: Store, content: str) -> None:
    (key,) = keys(written, "records/acquisitions")
    written.objects.write(key, content.encode())
    with pytest.raises(StoreError, match=f"{key} is damaged"):
        add_product(written, acquisition(version="2"))


def test_a_failed_write_leaves_nothing_that_counts(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(Objects, "write", full)
    with pytest.raises(StoreError, match="disk is full"):
        add_product(store, ACQUISITION)
    assert keys(store) == {}


def flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


Harm = Callable[[Objects, str], None]
HARMS: dict[str, Harm] = {
    "a bit flipped": lambda objects, key: objects.write(key, flip(objects.read(key))),
    "truncated": lambda objects, key: objects.write(key, objects.read(key)[:-9]),
    "lost": lambda objects, key: objects.delete([key]),
    "emptied": lambda objects, key: objects.write(key, b""),
}
HARMED = pytest.mark.parametrize(
    ("key", "harm"),
    [
        pytest.param(key, HARMS[name], id=f"{key} {name}")
        for key in ("salinity/c/0/0", "quality_flags/c/0/0", "zarr.json")
        for name in HARMS
    ],
)


@HARMED
def test_verifying_names_the_damaged_object(written: Store, key: str, harm: Harm) -> None:
    harm(written.objects, f"{PREFIX}/{key}")
    with pytest.raises(StoreError, match=f"{key} is (missing|damaged)"):
        verify_product(written, read_marker(written, NAME))


@HARMED
def test_a_damaged_product_is_not_composed_and_counts_no_more(
    written: Store, key: str, harm: Harm
) -> None:
    harm(written.objects, f"{PREFIX}/{key}")
    with pytest.raises(StoreError, match=f"product {NAME} .* is damaged .*run its scene again"):
        composite(written, [NAME], ACQUISITION.grid)
    assert find_marker(written, NAME) is None
    assert complete_names(written) == set()


@HARMED
def test_a_damaged_product_that_is_written_again_counts_again(
    written: Store, key: str, harm: Harm
) -> None:
    harm(written.objects, f"{PREFIX}/{key}")
    with pytest.raises(StoreError, match="is damaged"):
        build(written)
    add_product(written, ACQUISITION)
    build(written)
    assert published(written) == (NAME,)
    verify_product(written, read_marker(written, NAME))


def test_a_product_that_is_damaged_while_it_is_open_is_noticed_by_the_next_build(
    written: Store,
) -> None:
    product_layers(written, NAME, "first")
    HARMS["lost"](written.objects, f"{PREFIX}/salinity/c/0/0")
    with pytest.raises(StoreError, match="salinity/c/0/0 is missing"):
        product_layers(written, NAME, "second")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda ds: ds.drop_vars("quality_flags"), StoreError, "no layer quality_flags"),
        (lambda ds: ds.isel(x=slice(1, None)), GridError, "on its grid it is"),
        (lambda ds: ds.transpose(..., "x", "y"), GridError, "on its grid it is"),
        (lambda ds: ds.isel(threshold=[0, 1]), GridError, "'threshold': 4"),
        (lambda ds: ds.assign(salinity=ds.salinity.astype("f8")), StoreError, "float64"),
    ],
    ids=["missing layer", "other shape", "transposed", "few thresholds", "other type"],
)
def test_layers_that_do_not_fit_are_refused(
    store: Store,
    change: Callable[[xr.Dataset], xr.Dataset],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        add_product(store, ACQUISITION, change(layers(ACQUISITION.grid)))
    assert keys(store) == {}


def test_a_scene_beyond_the_mosaic_is_not_marked(store: Store) -> None:
    grid = scene_grid(column=200_000, height=20, width=20)
    acq = acquisition("far", grid=grid)
    with pytest.raises(GridError, match="scene test/far/1"):
        add_product(store, acq)
    assert keys(store, "records") == {}


@pytest.mark.parametrize("size", [(1, 1), (256, 257), (1100, 300)], ids=str)
def test_a_product_of_any_size_is_written_and_read(store: Store, size: tuple[int, int]) -> None:
    acq = acquisition(grid=scene_grid(height=size[0], width=size[1]))
    name = add_product(store, acq, layers(acq.grid, salinity=3.0))
    assert float(open_product(store.objects, name).salinity.min()) == 3.0


@pytest.mark.parametrize(
    ("older", "newer"), [("1", "2"), ("9", "10"), ("V010303", "V010501"), ("01.03.09", "01.03.10")]
)
def test_the_newest_provider_version_counts(store: Store, older: str, newer: str) -> None:
    names = [add_product(store, acquisition(version=v)) for v in (newer, older)]
    other = add_product(store, acquisition("b"))
    found = read_markers(store, [*names, other]).values()
    assert {marker.name for marker in newest_versions(found)} == {names[0], other}


def test_the_same_version_made_with_a_newer_model_counts_once(store: Store) -> None:
    names = [
        add_product(store, ACQUISITION),
        add_product(store, ACQUISITION, ref=replace(REF, digest="cd" * 32)),
    ]
    found = read_markers(store, names).values()
    assert [marker.name for marker in newest_versions(found)] == names[1:]


def test_a_scene_without_a_date_can_be_written(store: Store) -> None:
    name = add_product(store, acquisition(day=None))
    assert read_marker(store, name).day is None


def test_products_of_a_store_are_found_by_tile(store: Store) -> None:
    grids = {"a": scene_grid(), "b": scene_grid(column=40), "c": scene_grid(column=500)}
    names = {name: add_product(store, acquisition(name, grid=grid)) for name, grid in grids.items()}
    expected: dict[Tile, list[str]] = {}
    for name, grid in grids.items():
        for tile in store.grid.tiles_over(grid):
            expected.setdefault(tile, []).append(names[name])
    assert indexed(store) == expected
    assert products_over(store, expected.keys()) == expected


def test_a_product_is_found_over_its_tiles_though_listings_lagged_when_it_was_marked(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as lag:
        lag.setattr(Objects, "list", lambda objects, prefix="", offset=None: iter(()))
        name = add_product(store, ACQUISITION)
    tiles = store.grid.tiles_over(ACQUISITION.grid)
    assert indexed(store) == {tile: [name] for tile in tiles}


# Two provider versions of one acquisition that do not lie over the same tiles.
OLD, NEW = (
    acquisition("v", version=version, grid=scene_grid(column=column))
    for version, column in (("1", 0), ("2", 100))
)


def add_versions(store: Store, order: str) -> list[str]:
    """Add the older and the newer version in an order; return their names, the newer last."""
    if order == "at once":
        ready = Barrier(2)

        def add(acq: Acquisition) -> str:
            marker = write_product(layers(acq.grid), store, acq, REF)
            ready.wait()
            return mark_done(store, marker).name

        with ThreadPoolExecutor(2) as pool:
            return [*pool.map(add, (OLD, NEW))]
    both = (OLD, NEW) if order == "older first" else (NEW, OLD)
    return sorted((add_product(store, acq) for acq in both), key=lambda name: "_2-" in name)


ORDERS = pytest.mark.parametrize("order", ["older first", "newer first", *["at once"] * 5])


@ORDERS
def test_versions_of_an_acquisition_are_indexed_on_the_tiles_of_each(
    store: Store, order: str
) -> None:
    names = add_versions(store, order)
    everywhere = {*store.grid.tiles_over(OLD.grid), *store.grid.tiles_over(NEW.grid)}
    assert {tile: sorted(found) for tile, found in indexed(store).items()} == dict.fromkeys(
        everywhere, sorted(names)
    )
    assert sorted(versions_of(store, ("test", "v"))) == sorted(names)
    markers = read_markers(store, names).values()
    assert {tile for marker in markers for tile in marker.over} == everywhere


@ORDERS
def test_the_newer_version_takes_the_place_of_the_older_on_all_its_tiles(
    store: Store, order: str
) -> None:
    names = add_versions(store, order)
    build(store)
    clean = make_store()
    add_product(clean, NEW)
    build(clean)
    assert published(store) == published(clean) == (names[-1],)
    assert tiles_of(store) == tiles_of(clean)


@pytest.mark.parametrize("first", [OLD, NEW], ids=["older first", "newer first"])
def test_a_version_replaces_what_was_published(store: Store, first: Acquisition) -> None:
    second = NEW if first is OLD else OLD
    for acq in (first, second):
        add_product(store, acq)
        build(store)
    assert tiles_of(store) == {*store.grid.tiles_over(NEW.grid)}


def tiles_of(store: Store) -> set[Tile]:
    mosaic = open_repository(store.objects)
    head = mosaic.head()
    assert head is not None
    (period,) = filled_periods(mosaic, head)
    return {*period.tiles}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    with served(monkeypatch) as server:
        yield server


@pytest.mark.parametrize(
    ("there", "asked", "most"),
    [
        pytest.param(2500, 1, 1, id="one of many: one request"),
        pytest.param(10, 200, 1, id="many of few: one page"),
        pytest.param(2500, 2500, 3, id="all: three pages"),
        pytest.param(2500, 2, 4, id="few of more: found out at the price of as many again"),
    ],
)
def test_what_is_complete_costs_the_smaller_of_requests(
    server: Loopback, there: int, asked: int, most: int
) -> None:
    store = make_store("s3://salt/store")
    for number in range(there):
        server.objects[f"store/records/done/p{number:04d}.json"] = b"{}", {}
    # Every second one that is asked for is not there.
    names = [f"p{number:04d}" if number % 2 == 0 else f"q{number}" for number in range(asked)]
    server.asked.clear()
    found = complete_names(store, names)
    assert len(server.asked) <= most, server.asked
    assert found == {name for name in names if name.startswith("p") and int(name[1:]) < there}


def test_all_that_is_complete_costs_a_request_per_thousand(server: Loopback) -> None:
    store = make_store("s3://salt/store")
    for number in range(2500):
        server.objects[f"store/records/done/p{number:04d}.json"] = b"{}", {}
    server.asked.clear()
    assert len(complete_names(store)) == 2500
    assert len(server.asked) == 3


def test_writing_a_product_asks_for_its_objects_and_a_few_records() -> None:
    store = make_store()
    with counted() as asked:
        add_product(store, ACQUISITION)
    tiles = len(store.grid.tiles_over(ACQUISITION.grid))
    assert asked["write"] == len(read_marker(store, NAME).files)
    assert (asked["create"], asked["list"], asked["read"]) == (tiles + 2, 1, 0)
