"""Samples and the cells of a mosaic: which pairs count, and why others do not."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import deepsalt
from deepsalt.accuracy.match import BESIDE, Matched, Pairing, match
from deepsalt.conductivity import EC_SHIFT
from deepsalt.errors import UsageError
from deepsalt.export import export_mosaic
from deepsalt.grid import to_lonlat
from deepsalt.layers import CHANCE_COLUMNS
from deepsalt.sites.samples import SampleRules, read_samples
from deepsalt.types import REJECTING
from deepsalt.versions import open_repository
from tests.store.builders import acquisition, add_product, build, make_store, scene_grid

TODAY = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def mosaic() -> xr.Dataset:
    store = make_store()
    add_product(store, acquisition("a"), seed=1)
    build(store)
    return deepsalt.open_mosaic(store).compute()


def table(
    mosaic: xr.Dataset, folder: Path, rows: np.ndarray, columns: np.ndarray, **more: object
) -> Path:
    """Samples at the centres of cells of the mosaic, or at fractions of cells from there."""
    x = np.interp(columns, np.arange(mosaic.sizes["x"]), mosaic.x.values)
    y = np.interp(rows, np.arange(mosaic.sizes["y"]), mosaic.y.values)
    lon, lat = to_lonlat("EPSG:32633", x, y)
    known = {"ec": 1.0, "unit": "dS/m", "method": "EC 1:2", "date": "2024-05-11"}
    found = pd.DataFrame({"lon": lon, "lat": lat}).assign(**{**known, **more})
    found.insert(0, "id", [f"s{i}" for i in range(len(found))])
    path = folder / "samples.csv"
    found.to_csv(path, index=False)
    return path


def matched(mosaic: xr.Dataset, path: Path, pairing: Pairing | None = None) -> Matched:
    return match(read_samples(path, SampleRules(), today=TODAY), mosaic, pairing or Pairing())


def seen(mosaic: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    return np.nonzero(np.isfinite(mosaic.salinity.values[0]))


def test_each_sample_takes_the_layers_of_the_cell_that_holds_it(
    mosaic: xr.Dataset, tmp_path: Path
) -> None:
    row, column = (index[::17] for index in seen(mosaic))
    cells = matched(mosaic, table(mosaic, tmp_path, row + 0.4, column - 0.4)).cells
    assert len(cells) == row.size
    at = cells.period, cells.row, cells.column
    assert set(zip(row, column, strict=True)) == set(zip(cells.row, cells.column, strict=True))
    assert np.array_equal(cells.estimate, mosaic.salinity.values[at].astype(float))
    assert np.array_equal(cells.lower, mosaic.salinity_lower.values[at].astype(float))
    for index, name in enumerate(CHANCE_COLUMNS):
        expected = mosaic.p_above.values[:, index][at]
        assert np.array_equal(cells.chances[name], expected)


def test_cells_have_the_coordinates_of_their_centres(mosaic: xr.Dataset, tmp_path: Path) -> None:
    row, column = (index[:1] for index in seen(mosaic))
    cells = matched(mosaic, table(mosaic, tmp_path, row + 0.3, column + 0.3)).cells
    exact = to_lonlat("EPSG:32633", mosaic.x.values[column], mosaic.y.values[row])
    assert np.allclose([cells.lon, cells.lat], exact, atol=1e-9)


def test_a_sample_over_a_rejected_cell_says_why(mosaic: xr.Dataset, tmp_path: Path) -> None:
    rejected = (mosaic.quality_flags.values[0] & np.uint16(REJECTING)) != 0
    row, column = (index[::29] for index in np.nonzero(rejected))
    found = matched(mosaic, table(mosaic, tmp_path, row, column))
    assert found.matched == 0
    assert set(found.unmatched) == {"cloud", "no measurement there"}
    assert len(found.left_out) == found.samples == row.size


def test_a_sample_beside_the_mosaic_says_so(mosaic: xr.Dataset, tmp_path: Path) -> None:
    path = table(mosaic, tmp_path, np.array([5.0]), np.array([5.0]))
    frame = pd.read_csv(path)
    frame["lon"] += 3.0
    frame.to_csv(path, index=False)
    assert matched(mosaic, path).unmatched == {BESIDE: 1}


def test_samples_that_share_a_cell_are_one_label_with_their_spread(
    mosaic: xr.Dataset, tmp_path: Path
) -> None:
    row, column = (np.repeat(index[:1], 3) for index in seen(mosaic))
    offset = np.array([-0.3, 0.0, 0.3])
    ec = np.array([0.5, 1.0, 4.0])
    found = matched(mosaic, table(mosaic, tmp_path, row + offset, column - offset, ec=ec))
    log_ec = np.log(ec + EC_SHIFT)
    assert found.matched == 3
    assert len(found.cells) == 1
    assert found.cells.samples.tolist() == [3]
    assert found.cells.names.tolist() == ["s0+s1+s2"]
    assert np.isclose(found.cells.ec[0], np.exp(log_ec.mean()) - EC_SHIFT)
    assert np.isclose(found.cells.squares[0], ((log_ec - log_ec.mean()) ** 2).sum())


def test_what_samples_state_shrinks_with_their_number_and_a_conversion_does_not(
    mosaic: xr.Dataset, tmp_path: Path
) -> None:
    from deepsalt.conductivity import Conversion

    row, column = (np.repeat(index[:1], 4) for index in seen(mosaic))
    path = table(mosaic, tmp_path, row, column, ec=np.arange(1.0, 5.0), method="ECe", log_ec_sd=0.4)
    pairing = Pairing(conversion=Conversion(0.5, 0.3))
    assert np.isclose(matched(mosaic, path, pairing).cells.label_sd[0], np.hypot(0.4 / 2, 0.3))


@pytest.mark.parametrize(
    ("date", "pairing", "reason"),
    [
        ("2024-06-15", Pairing(), "no period within 30 days of it"),
        ("2024-06-15", Pairing(days=60.0), None),
        ("2019-06-15", Pairing(days=None), None),
        ("", Pairing(), "it states no date"),
        ("", Pairing(days=None), None),
        ("2024-05-11", Pairing(period=np.datetime64("2024-05-01")), None),
    ],
    ids=["late", "more days", "any date", "undated", "undated, any date", "period"],
)
def test_a_sample_counts_by_the_days_to_the_period(
    mosaic: xr.Dataset, tmp_path: Path, date: str, pairing: Pairing, reason: str | None
) -> None:
    row, column = (index[:1] for index in seen(mosaic))
    found = matched(mosaic, table(mosaic, tmp_path, row, column, date=date), pairing)
    assert dict(found.unmatched) == ({} if reason is None else {reason: 1})


def test_of_several_periods_the_nearest_counts(mosaic: xr.Dataset, tmp_path: Path) -> None:
    row, column = (np.repeat(index[:1], 2) for index in seen(mosaic))
    later = mosaic.assign_coords(
        period=mosaic.period + np.timedelta64(20, "D"),
        period_bounds=mosaic.period_bounds + np.timedelta64(20, "D"),
    )
    both = xr.concat([mosaic, later], "period", data_vars="minimal", combine_attrs="override")
    path = table(both, tmp_path, row, column, date=["2024-05-02", "2024-05-20"])
    assert matched(both, path).cells.period.tolist() == [0, 1]
    first = Pairing(period=np.datetime64("2024-05-01"))
    assert matched(both, path, first).cells.period.tolist() == [0]


def test_a_day_without_a_period_is_refused(mosaic: xr.Dataset, tmp_path: Path) -> None:
    path = table(mosaic, tmp_path, np.array([5.0]), np.array([5.0]))
    with pytest.raises(UsageError, match="no period of the mosaic holds 2020-01-01"):
        matched(mosaic, path, Pairing(period=np.datetime64("2020-01-01")))


def test_an_export_gives_the_cells_of_its_store(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    add_product(store, acquisition("a", grid=scene_grid()), seed=1)
    build(store)
    export_mosaic(open_repository(store.objects), str(tmp_path / "mosaic.zarr"))
    own = deepsalt.open_mosaic(store)
    plain = deepsalt.open_mosaic(str(tmp_path / "mosaic.zarr"))
    row, column = (index[::11] for index in seen(own.compute()))
    path = table(own, tmp_path, row, column)
    found = [matched(each, path).cells for each in (own, plain)]
    assert np.array_equal(found[0].estimate, found[1].estimate)
    assert np.array_equal(found[0].names, found[1].names)
