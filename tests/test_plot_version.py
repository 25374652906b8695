"""Quicklooks of versions: small ones from their pixels, large ones from their tiles' pictures."""

from pathlib import Path

import numpy as np
import pytest

from deepsalt.plot import version as module
from deepsalt.plot.picture import OUTSIDE, Votes, classify
from deepsalt.plot.version import CELL_PX, is_drawn_by_tiles, picture_of_version
from deepsalt.store import Period, Store, Version
from deepsalt.store.arrays import open_group
from tests.store.builders import add_small, build, make_store

PERIOD = Period.all()
FAR_PX = 16_384
"""So far from the first scene that cells of `CELL_PX` are drawn."""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return make_store(tmp_path / "store")


def build_far(store: Store, *columns: int) -> Version:
    columns = (0, FAR_PX, *columns)
    names = [add_small(store, chr(97 + i), column=column) for i, column in enumerate(columns)]
    return build(store, {PERIOD: names})


def kept(version: Version) -> list[Path]:
    return sorted(version.layout.manifests.rglob("*.npz"))


def test_a_small_version_is_drawn_from_its_pixels(store: Store) -> None:
    version = build(store, {PERIOD: [add_small(store, "a"), add_small(store, "b", column=60)]})
    assert not is_drawn_by_tiles(version.layout)
    assert not kept(version)
    picture = picture_of_version(version.layout, PERIOD.id)
    assert picture.counts[:OUTSIDE].sum() == sum(measured(version).ravel() != OUTSIDE)
    assert abs(picture.grid.transform[0]) == 30.0


def measured(version: Version) -> np.ndarray:
    ds = open_group(version.layout.group).isel(period=0)
    return classify(ds["salinity"].values, ds["basis"].values)


def test_a_large_version_is_put_together_from_its_tiles(store: Store) -> None:
    version = build_far(store)
    assert is_drawn_by_tiles(version.layout)
    assert len(kept(version)) == len(version.layout.tile_manifests())
    kinds = measured(version)
    votes = Votes(kinds.shape, CELL_PX)
    votes.add(kinds, (0, 0))
    cells = votes.winners()
    picture = picture_of_version(version.layout, PERIOD.id)
    assert picture.counts.sum() == version.layout.grid.tile_px**2 * len(kept(version))
    np.testing.assert_array_equal(
        picture.counts[:OUTSIDE], np.bincount(kinds.ravel(), minlength=OUTSIDE + 1)[:OUTSIDE]
    )
    # 2056 cells from scene to scene are more than a picture has: two by two are joined.
    assert abs(picture.grid.transform[0]) == 30.0 * CELL_PX * 2
    assert (picture.kinds != OUTSIDE).any()
    assert set(np.unique(picture.kinds)) <= set(np.unique(cells))


def test_tiles_that_did_not_change_keep_their_pictures(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = build_far(store)
    made: list[str] = []
    monkeypatch.setattr(module, "_from_pixels", noting(made))
    after = build_far(store, FAR_PX // 2)
    picture_of_version(after.layout, PERIOD.id)
    new = {path.name for path in kept(after)} - {path.name for path in kept(before)}
    assert new
    assert set(made) == {name.removesuffix(".npz") for name in new}


def noting(made: list[str]):
    original = module._from_pixels

    def noted(layout, manifest):
        made.append(manifest.tile.id)
        return original(layout, manifest)

    return noted


@pytest.mark.parametrize(
    "harm",
    [Path.unlink, lambda path: path.write_bytes(b""), lambda path: path.write_bytes(b"PK" * 99)],
    ids=["missing", "empty", "garbage"],
)
def test_a_picture_that_cannot_be_read_is_made_again(store: Store, harm) -> None:
    version = build_far(store)
    expected = picture_of_version(version.layout, PERIOD.id)
    harm(kept(version)[0])
    found = picture_of_version(version.layout, PERIOD.id)
    np.testing.assert_array_equal(found.kinds, expected.kinds)
    np.testing.assert_array_equal(found.counts, expected.counts)
    np.testing.assert_array_equal(
        picture_of_version(version.layout, PERIOD.id).counts, expected.counts
    )
