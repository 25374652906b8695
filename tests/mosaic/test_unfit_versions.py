"""Versions that a check finds an error in are not published, and the next build goes on."""

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from deepsalt.errors import StoreError
from deepsalt.layers import CHANCE, CHANCE_FILL, DATE_FILL
from deepsalt.mosaic import Builder, all_period_tiles, tile
from deepsalt.products import complete_names
from deepsalt.store import Store
from deepsalt.types import QualityFlag
from deepsalt.validate import Limits
from deepsalt.versions import live_builds, open_mosaic, open_repository
from tests.check.harm import flip, head, keys, lose, truncate
from tests.store.builders import acquisition, add_product, build, make_store, scene_grid

GRIDS = (scene_grid(), scene_grid(row=20, column=30))
ENDS = ("salinity_lower", "salinity_upper")
Change = Callable[[xr.Dataset], object]


def make(where: Path | None = None) -> Store:
    """Return a store whose mosaic holds the first of its two products."""
    store = make_store(where)
    add_product(store, acquisition("s0", grid=GRIDS[0]), seed=0)
    build(store)
    add_product(store, acquisition("s1", grid=GRIDS[1]), seed=1)
    return store


@pytest.fixture(scope="module")
def store() -> Store:
    return make()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("unfit") / "store").objects.path


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Store:
    shutil.copytree(made, tmp_path / "store")
    return Store.open(tmp_path / "store")


@pytest.fixture(scope="module")
def clean() -> xr.Dataset:
    """Return the mosaic of both products, built in one go."""
    store = make_store()
    for i, grid in enumerate(GRIDS):
        add_product(store, acquisition(f"s{i}", grid=grid), seed=i)
    build(store)
    return read(store)


def read(store: Store) -> xr.Dataset:
    """Return what readers see, without what differs by version."""
    ds = open_mosaic(open_repository(store.objects)).load()
    return ds.assign_attrs(version_id="", history="")


def build_one_by_one(store: Store, limits: Limits | None = None, tiles: int | None = None) -> None:
    with ThreadPoolExecutor(1) as pool:
        Builder(store, pool, limits or Limits())(all_period_tiles(store)[:tiles], why="test")


def refusal(store: Store, limits: Limits | None = None, tiles: int | None = 1) -> str:
    """Return why a build of the first tiles publishes nothing; that it does not is looked at."""
    before = head(store)
    with pytest.raises(StoreError) as error:
        build_one_by_one(store, limits, tiles)
    assert head(store) == before
    assert live_builds(store.objects) == []
    return str(error.value)


# What a broken model or composer could give.


def estimated(ds: xr.Dataset) -> Any:
    return np.isfinite(ds["salinity"].values)


def put(name: str, value: float, *, everywhere: bool = True) -> Change:
    """Change a layer where there is an estimate, or at one such pixel."""

    def change(ds: xr.Dataset) -> None:
        where = estimated(ds)
        if not everywhere:
            first = np.flatnonzero(where)[:1]
            where = np.zeros_like(where)
            where.flat[first] = True
        ds[name].values[where] = value

    return change


def put_chance(index: int, value: int) -> Change:
    """Put a probability of one threshold, as stored, wherever there is an estimate."""

    def change(ds: xr.Dataset) -> None:
        ds[CHANCE].values[index, estimated(ds)] = value

    return change


def swap_ends(ds: xr.Dataset) -> None:
    lower, upper = (ds[name].values.copy() for name in ENDS)
    ds[ENDS[0]].values[:], ds[ENDS[1]].values[:] = upper, lower


def flood(reason: QualityFlag | None) -> Change:
    """Take all estimates away."""

    def change(ds: xr.Dataset) -> None:
        where = estimated(ds)
        for name in ("salinity", *ENDS, "disagreement"):
            ds[name].values[:] = np.nan
        ds[CHANCE].values[:] = CHANCE_FILL
        ds["observations"].values[:] = 0
        ds["last_observed"].values[:] = DATE_FILL
        if reason is not None:
            ds["quality_flags"].values[where] = np.uint16(reason)

    return change


VALUES: dict[str, tuple[Change, str]] = {
    "ends swapped": (swap_ends, "outside their interval"),
    "impossible": (put("salinity_upper", 1e6), "are above 300 dS/m"),
    "one pixel impossible": (
        put("salinity_upper", 1e6, everywhere=False),
        " pixels are above 300 dS/m",
    ),
    "negative": (put("salinity_lower", -0.5), "have negative salinity"),
    "half an interval": (put("salinity_lower", np.nan), "without an interval"),
    "rejected": (put("quality_flags", int(QualityFlag.WATER)), "quality_flags rejects them"),
    "no probability": (put_chance(1, CHANCE_FILL), "without a probability"),
    "a rising probability": (put_chance(3, 10_000), "rises with its threshold"),
    "a probability above 1": (put_chance(0, 10_001), "probability above 1"),
    "unknown bit": (put("quality_flags", 1 << 15), "unknown bits"),
    "unseen": (put("observations", 0), "no observation"),
    "no spread": (put("observations", 9), "disagree without two observations"),
    "without a reason": (flood(None), "no reason in quality_flags"),
    "with a bad reason": (flood(QualityFlag.DEFECTIVE), "without a reason in clouds"),
}


@pytest.fixture
def composing(monkeypatch: pytest.MonkeyPatch) -> Callable[[Change], None]:
    """Let what is composed be changed before it is written."""
    sound = tile.composite_measured

    def harm(change: Change) -> None:
        def composite(*args: Any, **options: Any) -> xr.Dataset | None:
            ds = sound(*args, **options)
            if ds is not None and estimated(ds).any():
                change(ds)
            return ds

        monkeypatch.setattr(tile, "composite_measured", composite)

    return harm


@pytest.mark.parametrize("damage", VALUES)
def test_values_that_cannot_be_are_not_published(
    store: Store, composing: Callable[[Change], None], damage: str
) -> None:
    change, cause = VALUES[damage]
    composing(change)
    said = refusal(store)
    assert said.startswith("nothing is published: tile x15")
    assert cause in said


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda ds: ds.update({"salinity": ds["salinity"].astype("float64")}), "is float64"),
        (lambda ds: ds.__delitem__("salinity_upper"), "'salinity_upper'"),
    ],
    ids=["another type", "layer forgotten"],
)
def test_layers_of_another_kind_are_not_written(
    store: Store, composing: Callable[[Change], None], change: Change, cause: str
) -> None:
    before = head(store)
    composing(change)
    with pytest.raises((StoreError, KeyError), match=cause):
        build_one_by_one(store)
    assert head(store) == before


def writing(monkeypatch: pytest.MonkeyPatch, store: Store, harm: Callable[[str], object]) -> None:
    """Let a chunk object of each tile be harmed as soon as it is written."""
    sound = tile.write_tile

    def write(*args: Any) -> Any:
        before = set(keys(store, "mosaic/chunks"))
        report = sound(*args)
        harm(next(key for key in keys(store, "mosaic/chunks") if key not in before))
        return report

    monkeypatch.setattr(tile, "write_tile", write)


@pytest.mark.parametrize(
    ("harm", "cause"),
    [(flip, "checksum do not match"), (truncate, "cannot be read"), (lose, "not")],
    ids=["bit flipped", "truncated", "lost"],
)
def test_a_tile_that_cannot_be_read_again_is_not_published(
    folder: Store,
    monkeypatch: pytest.MonkeyPatch,
    harm: Callable[[Store, str], object],
    cause: str,
) -> None:
    writing(monkeypatch, folder, lambda key: harm(folder, key))
    assert cause in refusal(folder)


@pytest.mark.parametrize(
    ("limits", "cause"),
    [
        (Limits(max_salinity_ds_m=0.5), "above 0.5 dS/m"),
        (Limits(max_missing=0.001), "have no estimate, more than 0.1%"),
        (Limits(max_defective=0.0), "clouds"),
        (Limits(max_age_days=30), "the maximum is 30 days"),
    ],
    ids=["salinity", "missing", "defective", "age"],
)
def test_a_version_beyond_the_limits_of_its_run_is_refused(
    store: Store, composing: Callable[[Change], None], limits: Limits, cause: str
) -> None:
    if limits.max_defective == 0:
        composing(flood(QualityFlag.DEFECTIVE))
    said = refusal(store, limits)
    assert said.startswith("nothing is published")
    assert cause in said


def test_a_version_within_its_age_is_published() -> None:
    store = make()
    day = datetime.now(UTC).date() - datetime(2024, 5, 1, tzinfo=UTC).date()
    build_one_by_one(store, Limits(max_age_days=day / timedelta(days=1)))
    assert open_mosaic(open_repository(store.objects)).attrs["newest"] == "2024-05-01"


def test_several_errors_are_counted(store: Store, composing: Callable[[Change], None]) -> None:
    composing(swap_ends)
    assert refusal(store, tiles=None).endswith("(3 more)")


def test_readers_keep_what_they_had(store: Store, composing: Callable[[Change], None]) -> None:
    before = read(store)
    composing(swap_ends)
    refusal(store)
    xr.testing.assert_identical(read(store), before)


def test_the_next_build_goes_on_after_a_refusal(
    composing: Callable[[Change], None], clean: xr.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make()
    with monkeypatch.context():
        composing(swap_ends)
        refusal(store)
    monkeypatch.undo()
    build_one_by_one(store)
    xr.testing.assert_identical(read(store), clean)


def test_a_tile_refused_for_what_a_disk_did_is_written_anew(
    folder: Store, monkeypatch: pytest.MonkeyPatch, clean: xr.Dataset
) -> None:
    with monkeypatch.context() as patch:
        writing(patch, folder, lambda key: flip(folder, key))
        refusal(folder)
    build_one_by_one(folder)
    xr.testing.assert_identical(read(folder), clean)


@pytest.mark.parametrize("harm", [flip, truncate, lose], ids=["flipped", "truncated", "lost"])
def test_a_damaged_product_is_refused_and_made_anew_by_the_next_run(
    clean: xr.Dataset, harm: Callable[[Store, str], object]
) -> None:
    store = make()
    (name,) = (each for each in complete_names(store) if "s1" in each)
    harm(store, keys(store, f"scenes/{name}.zarr/salinity/c")[0])
    said = refusal(store)
    assert f"product {name}" in said
    assert said.endswith("run its scene again")
    assert name not in complete_names(store)
    add_product(store, acquisition("s1", grid=GRIDS[1]), seed=1)
    build_one_by_one(store)
    xr.testing.assert_identical(read(store), clean)


def test_tiles_that_did_not_change_are_not_read_again(folder: Store) -> None:
    """The cost of publishing follows what changed."""
    flip(folder, keys(folder, "mosaic/chunks")[0])
    add_product(folder, acquisition("far", grid=scene_grid(row=500)), seed=5)
    before = head(folder)
    build_one_by_one(folder)
    assert head(folder).parent == before.id
