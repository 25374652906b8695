"""Quicklooks of versions, painted tile by tile over the picture before."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import numpy as np
import pytest
import xarray as xr

from deepsalt.errors import StoreError
from deepsalt.mosaic import QUICKLOOK, draw_version, withdraw
from deepsalt.mosaic import picture as module
from deepsalt.plot import overview as overviews
from deepsalt.plot.overview import Overview, TileView, cell_px
from deepsalt.plot.picture import (
    KINDS,
    OUTSIDE_KIND,
    SALT,
    SALTINESS,
    Picture,
    classify,
    needed,
    picture_of,
)
from deepsalt.plot.salt import SaltRule
from deepsalt.store import Period, Store
from deepsalt.versions import Built, Version, open_mosaic, open_repository, roll_back
from tests.store.builders import GRID, add_small, build, make_store

RECORD = "records/overviews/0000"


@pytest.fixture
def store() -> Store:
    return make_store()


class Drawn:
    """What was drawn last, and which tiles were read from pixels for it; no canvas is painted."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.read: list[object] = []
        self.picture: Picture | None = None
        read = module._read

        def drawing(ds: xr.Dataset, *, simulated: bool, picture: Picture) -> bytes:
            self.picture = picture
            return picture.kinds.tobytes() + picture.counts.tobytes()

        def reading(*args: object) -> TileView:
            self.read.append(args[3])
            return read(*args)  # type: ignore[arg-type] # passed on

        patch.setattr(module, "quicklook", drawing)
        patch.setattr(module, "_read", reading)

    def of(self, store: Store, version: Version, built: Built | None = None) -> Picture:
        self.read = []
        mosaic = open_repository(store.objects)
        draw_version(store, mosaic, version, built.tiles if built else ())
        assert self.picture is not None
        return self.picture


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Drawn:
    return Drawn(monkeypatch)


def built(store: Store, *columns: int) -> Built:
    """Add scenes at columns, named after them, and build."""
    for column in columns:
        add_small(store, chr(97 + column // 10), column=column)
    return build(store)


def from_pixels(drawn: Drawn, store: Store, version: Version) -> Picture:
    """Draw anew, with nothing known."""
    store.objects.delete([RECORD])
    found = drawn.of(store, version)
    assert drawn.read
    return found


def counted(ds: xr.Dataset) -> np.ndarray:
    """Count the pixels of each kind but what lies outside."""
    rule = SaltRule.of(ds)
    kinds = classify({name: ds[name].values for name in needed(rule)}, rule)
    return np.bincount(kinds.ravel(), minlength=KINDS)[:OUTSIDE_KIND]


def assert_same(found: Picture, expected: Picture) -> None:
    np.testing.assert_array_equal(found.kinds, expected.kinds)
    np.testing.assert_array_equal(found.counts, expected.counts)
    assert found.grid == expected.grid


def test_a_picture_shows_the_pixels_that_were_measured(store: Store, drawn: Drawn) -> None:
    made = built(store, 0, 60)
    found = drawn.of(store, made.versions[-1], made)
    ds = open_mosaic(open_repository(store.objects), chunks=None).isel(period=0)
    expected = picture_of(ds)
    np.testing.assert_array_equal(found.kinds, expected.kinds)
    assert found.grid == expected.grid
    seen = counted(ds)
    np.testing.assert_array_equal(found.counts[:OUTSIDE_KIND], seen)
    assert seen.sum() > 0


def test_the_picture_of_a_build_is_drawn_without_reading_a_pixel(
    store: Store, drawn: Drawn
) -> None:
    made = built(store, 0, 60)
    found = drawn.of(store, made.versions[-1], made)
    assert drawn.read == []
    assert_same(found, from_pixels(drawn, store, made.versions[-1]))


def test_the_picture_of_a_build_has_every_class_of_salt(store: Store, drawn: Drawn) -> None:
    made = built(store, 0, 60)
    found = drawn.of(store, made.versions[-1], made)
    assert (SALTINESS.counted(found.counts)[: len(SALT)] > 0).all()


def test_a_later_build_is_painted_over_the_picture_before(store: Store, drawn: Drawn) -> None:
    first = built(store, 0, 60)
    before = drawn.of(store, first.versions[-1], first)
    second = built(store, 70)
    assert 0 < second.composed < first.composed + second.composed
    found = drawn.of(store, second.versions[-1], second)
    assert drawn.read == []
    assert not np.array_equal(found.counts, before.counts)
    assert_same(found, from_pixels(drawn, store, second.versions[-1]))


def test_a_version_whose_builder_drew_nothing_is_read_where_it_changed(
    store: Store, drawn: Drawn
) -> None:
    first = built(store, 0, 60)
    drawn.of(store, first.versions[-1], first)
    second = built(store, 150)
    found = drawn.of(store, second.versions[-1])
    assert {*drawn.read} == {each.job.tile for each in second.tiles}
    assert_same(found, from_pixels(drawn, store, second.versions[-1]))


def test_after_a_roll_back_the_earlier_version_is_drawn(store: Store, drawn: Drawn) -> None:
    first = built(store, 0, 150)
    before = drawn.of(store, first.versions[-1], first)
    second = built(store, 10)
    drawn.of(store, second.versions[-1], second)
    back = roll_back(open_repository(store.objects))
    found = drawn.of(store, back)
    assert {*drawn.read} == {each.job.tile for each in second.tiles}
    assert_same(found, before)


def test_an_emptied_tile_is_drawn_no_more(store: Store, drawn: Drawn) -> None:
    first = built(store, 0)
    alone = drawn.of(store, first.versions[-1], first)
    second = built(store, 150)
    drawn.of(store, second.versions[-1], second)
    withdraw(store, ["test/p/1"])
    third = build(store)
    assert_same(drawn.of(store, third.versions[-1], third), alone)
    assert drawn.read == []


def test_a_mosaic_of_nothing_has_no_picture(store: Store) -> None:
    made = built(store, 0)
    mosaic = open_repository(store.objects)
    draw_version(store, mosaic, made.versions[-1], made.tiles)
    assert store.objects.read(QUICKLOOK).startswith(b"\x89PNG")
    withdraw(store, ["test/a/1"])
    emptied = build(store)
    draw_version(store, mosaic, emptied.versions[-1], emptied.tiles)
    assert QUICKLOOK not in [entry.key for entry in store.objects.list()]


def flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.mark.parametrize(
    "harm",
    [
        flip,
        lambda data: b"",
        lambda data: bytes(4),
        lambda data: data[:-1],
        lambda data: data[:3],
        lambda data: b"x" * 99,
    ],
    ids=["flipped", "empty", "zeros", "cut", "cut to less than a checksum", "garbage"],
)
def test_a_damaged_record_is_made_again_from_pixels(
    store: Store, drawn: Drawn, harm: Callable[[bytes], bytes]
) -> None:
    made = built(store, 0, 60)
    expected = drawn.of(store, made.versions[-1], made)
    content = store.objects.read(RECORD)
    store.objects.write(RECORD, harm(content))
    assert_same(drawn.of(store, made.versions[-1]), expected)
    assert {*drawn.read} == {each.job.tile for each in made.tiles}
    grid = store.grid
    one, two = (Overview.unpack(data, grid) for data in (store.objects.read(RECORD), content))
    assert one is not None
    assert two is not None
    assert one.views.keys() == two.views.keys()


def test_a_record_of_another_grid_is_not_used(store: Store, drawn: Drawn) -> None:
    made = built(store, 0)
    drawn.of(store, made.versions[-1], made)
    other = type(GRID)(GRID.crs, anchor=GRID.anchor, chunk_px=16, shard_px=32, tile_shards=1)
    assert Overview.unpack(store.objects.read(RECORD), other) is None


@pytest.mark.parametrize("known", [True, False], ids=["painted over", "from pixels"])
def test_cells_grow_with_the_number_of_tiles(
    store: Store, drawn: Drawn, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    monkeypatch.setattr(overviews, "MOST_CELLS", GRID.tile_px**2 * 2)
    first = built(store, 0)
    fine = drawn.of(store, first.versions[-1], first)
    second = built(store, 150, 300)
    if not known:
        store.objects.delete([RECORD])
    coarse = drawn.of(store, second.versions[-1], second if known else None)
    edges = [abs(picture.grid.transform[0]) for picture in (fine, coarse)]
    assert edges == [30.0, 60.0]
    ds = open_mosaic(open_repository(store.objects), chunks=None).isel(period=0)
    seen = counted(ds)
    np.testing.assert_array_equal(coarse.counts[:OUTSIDE_KIND], seen)
    assert_same(coarse, from_pixels(drawn, store, second.versions[-1]))


@pytest.mark.parametrize(("tiles", "size"), [(1, 1), (2, 1), (3, 2), (8, 2), (9, 4), (10**9, 64)])
def test_cells_are_as_small_as_their_number_allows(
    monkeypatch: pytest.MonkeyPatch, tiles: int, size: int
) -> None:
    monkeypatch.setattr(overviews, "MOST_CELLS", GRID.tile_px**2 * 2)
    assert cell_px(GRID, tiles) == size


def test_who_draws_late_draws_what_is_published(store: Store, drawn: Drawn) -> None:
    first, second = built(store, 0), built(store, 60)
    expected = drawn.of(store, second.versions[-1], second)
    png = store.objects.read(QUICKLOOK)
    assert_same(drawn.of(store, first.versions[-1], first), expected)
    assert store.objects.read(QUICKLOOK) == png


def test_who_is_overtaken_while_drawing_draws_again(
    store: Store, drawn: Drawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = built(store, 0)
    write, others = type(store.objects).write, list[Built]()

    def overtaken(self: object, key: str, data: bytes) -> None:
        if key == QUICKLOOK and not others:
            others.append(built(store, 60))
        write(self, key, data)  # type: ignore[arg-type] # passed on

    monkeypatch.setattr(type(store.objects), "write", overtaken)
    found = drawn.of(store, first.versions[-1], first)
    monkeypatch.undo()
    assert_same(found, Drawn(monkeypatch).of(store, others[0].versions[-1]))


def test_after_two_builders_the_picture_is_that_of_the_published_version(
    store: Store, drawn: Drawn
) -> None:
    add_small(store, "a")
    add_small(store, "b", column=60)

    def run(_: int) -> None:
        made = build(store)
        if made.versions:
            mosaic = open_repository(store.objects)
            draw_version(store, mosaic, made.versions[-1], made.tiles)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run, range(2)))
    png = store.objects.read(QUICKLOOK)
    head = open_repository(store.objects).head()
    assert head is not None
    from_pixels(drawn, store, head)
    assert store.objects.read(QUICKLOOK) == png


def test_the_last_period_is_drawn(drawn: Drawn) -> None:
    store = make_store(layout="dated")
    add_small(store, "a")
    early, late = (Period(date(2024, 5, day), date(2024, 5, day + 1)) for day in (1, 10))
    made = build(store, early)
    found = drawn.of(store, made.versions[-1], made)
    assert found.counts[:OUTSIDE_KIND].sum() > 0
    build(store, late)
    head = open_repository(store.objects).head()
    assert head is not None
    assert_same(drawn.of(store, head), found)


def test_a_tile_that_cannot_be_read_is_named(tmp_path: object, drawn: Drawn) -> None:
    store = make_store(f"{tmp_path}/store")
    made = built(store, 0)
    for path in (store.objects.path / "mosaic" / "chunks").iterdir():
        path.write_bytes(flip(path.read_bytes()))
    tile = made.tiles[0].job.tile.id
    with pytest.raises(StoreError, match=f"tile {tile} cannot be read"):
        drawn.of(store, made.versions[-1])
