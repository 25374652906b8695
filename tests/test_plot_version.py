"""Quicklooks of versions, put together from their tiles' pictures."""

import shutil
from collections.abc import Callable
from concurrent.futures import CancelledError
from pathlib import Path

import numpy as np
import pytest
from deepsalt.plot.version import FAR_CELL_PX, cell_px, picture_of_version

from deepsalt.plot import version as module
from deepsalt.plot.picture import OUTSIDE, Picture, Votes, classify
from deepsalt.store import Period, Store, Version
from deepsalt.store.arrays import open_group
from flows.publication import draw_quicklook
from tests.store.builders import add_small, build, make_store

PERIOD = Period.all()
FAR_PX = 16_384
"""So far from the first scene that cells of `FAR_CELL_PX` are drawn."""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return make_store(tmp_path / "store")


def build_far(store: Store, *columns: int) -> Version:
    columns = (0, FAR_PX, *columns)
    names = [add_small(store, chr(97 + i), column=column) for i, column in enumerate(columns)]
    return build(store, {PERIOD: names})


def kept(version: Version) -> list[Path]:
    return sorted(version.layout.manifests.rglob("*.picture"))


def build_near(store: Store) -> Version:
    return build(store, {PERIOD: [add_small(store, "a"), add_small(store, "b", column=60)]})


def test_a_small_version_is_drawn_pixel_by_pixel(store: Store) -> None:
    version = build_near(store)
    assert cell_px(version.layout) == 1
    assert len(kept(version)) == len(version.layout.tile_manifests())
    picture, kinds = picture_of_version(version.layout, PERIOD.id), measured(version)
    assert abs(picture.grid.transform[0]) == 30.0
    np.testing.assert_array_equal(picture.kinds[picture.kinds != OUTSIDE], kinds[kinds != OUTSIDE])
    assert picture.counts[:OUTSIDE].sum() == (kinds != OUTSIDE).sum() > 0


def measured(version: Version) -> np.ndarray:
    ds = open_group(version.layout.group).isel(period=0)
    return classify(ds["salinity"].values, ds["quality_flags"].values)


def test_a_large_version_is_put_together_from_its_tiles(store: Store) -> None:
    version = build_far(store)
    assert cell_px(version.layout) == FAR_CELL_PX
    assert len(kept(version)) == len(version.layout.tile_manifests())
    kinds = measured(version)
    votes = Votes(kinds.shape, FAR_CELL_PX)
    votes.add(kinds, (0, 0))
    cells = votes.winners()
    picture = picture_of_version(version.layout, PERIOD.id)
    assert picture.counts.sum() == version.layout.grid.tile_px**2 * len(kept(version))
    np.testing.assert_array_equal(
        picture.counts[:OUTSIDE], np.bincount(kinds.ravel(), minlength=OUTSIDE + 1)[:OUTSIDE]
    )
    # 2056 cells from scene to scene are more than a picture has: two by two are joined.
    assert abs(picture.grid.transform[0]) == 30.0 * FAR_CELL_PX * 2
    assert_shows(version, picture, cells)


def assert_shows(version: Version, picture: Picture, cells: np.ndarray) -> None:
    """Compare a picture with all cells of a version, joined two by two from its corner on."""
    whole = version.layout.grid.extent_grid(version.layout.extent).transform
    column = round((picture.grid.transform[2] - whole[2]) / (30.0 * FAR_CELL_PX))
    row = round((whole[5] - picture.grid.transform[5]) / (30.0 * FAR_CELL_PX))
    height, width = (2 * size for size in picture.kinds.shape)
    seen = cells[row : row + height, column : column + width]
    joined = Votes(seen.shape, 2)
    joined.add(seen, (0, 0))
    np.testing.assert_array_equal(picture.kinds, joined.winners())
    assert (seen != OUTSIDE).sum() == (cells != OUTSIDE).sum() > 0


def test_tiles_that_did_not_change_keep_their_pictures(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = build_far(store)
    made: list[str] = []
    monkeypatch.setattr(module, "_from_pixels", lambda _, manifest: made.append(manifest.tile.id))
    after = build_far(store, FAR_PX // 2)
    picture_of_version(after.layout, PERIOD.id)
    old, new = ({path.name: path.stat().st_ino for path in kept(of)} for of in (before, after))
    assert old.items() < new.items()
    assert not made


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "harm",
    [
        Path.unlink,
        flip,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"x" * 99),
    ],
    ids=["missing", "flipped", "empty", "garbage"],
)
@pytest.mark.parametrize("made", [build_near, build_far], ids=["small", "large"])
def test_a_picture_that_is_damaged_is_made_again(
    store: Store, made: Callable[[Store], Version], harm: Callable[[Path], object]
) -> None:
    version = made(store)
    path = kept(version)[0]
    expected, content = picture_of_version(version.layout, PERIOD.id), path.read_bytes()
    harm(path)
    found = picture_of_version(version.layout, PERIOD.id)
    np.testing.assert_array_equal(found.kinds, expected.kinds)
    np.testing.assert_array_equal(found.counts, expected.counts)
    assert path.read_bytes() == content


def test_a_picture_of_other_shards_is_made_again(store: Store) -> None:
    version = build_far(store)
    first, second = kept(version)
    right = first.read_bytes()
    shutil.copy(second, first)
    picture_of_version(version.layout, PERIOD.id)
    assert first.read_bytes() == right


@pytest.mark.parametrize("columns", [(), (FAR_PX,)], ids=["small", "large"])
def test_a_tile_that_cannot_be_read_is_drawn_as_not_measured(
    store: Store, columns: tuple[int, ...], caplog: pytest.LogCaptureFixture
) -> None:
    names = [add_small(store, chr(97 + i), column=c) for i, c in enumerate((0, 60, *columns))]
    version = build(store, {PERIOD: names})
    whole = picture_of_version(version.layout, PERIOD.id)
    for path in kept(version):
        path.unlink()
    flip(next(path for path in version.layout.group.glob("salinity/c/**/*") if path.is_file()))
    found = picture_of_version(version.layout, PERIOD.id)
    assert 0 < found.counts[:OUTSIDE].sum() < whole.counts[:OUTSIDE].sum()
    assert "drawn as not measured" in caplog.text


def test_an_empty_period_of_a_large_version_can_be_drawn(store: Store) -> None:
    early, late = Period.from_id("2024-05-01/2024-05-31"), Period.from_id("2024-06-01/2024-06-30")
    monthly = make_store(store.path.with_name("monthly"), layout=early.layout)
    names = [add_small(monthly, "a"), add_small(monthly, "b", column=FAR_PX)]
    version = build(monthly, {early: names, late: []})
    picture = picture_of_version(version.layout, late.id)
    assert picture.counts.shape == (OUTSIDE + 1,)
    assert draw_quicklook(version.layout).startswith(b"\x89PNG")


def test_a_drawing_that_is_given_up_reads_nothing_more(store: Store) -> None:
    version = build_far(store)
    asked: list[bool] = []

    def given_up() -> bool:
        asked.append(True)
        return len(asked) > 1

    with pytest.raises(CancelledError):
        picture_of_version(version.layout, PERIOD.id, given_up)
    assert len(asked) == 2


@pytest.mark.parametrize("harm", [Path.unlink, flip], ids=["lost", "flipped"])
def test_no_lasting_picture_is_made_of_damaged_shards(
    store: Store, harm: Callable[[Path], object]
) -> None:
    version = build_far(store)
    manifest = version.layout.tile_manifests()[0]
    picture = version.layout.picture_path(manifest.period, manifest.tile)
    picture.unlink()
    shards = version.layout.shard_paths(manifest.period, manifest.tile)
    harm(next(path for name, path in shards.items() if "quality_flags" in name and path.exists()))
    picture_of_version(version.layout, PERIOD.id)
    assert not picture.exists()
