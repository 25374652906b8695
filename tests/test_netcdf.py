"""What analysts open can be written to netCDF, and read back."""

from collections.abc import Callable
from pathlib import Path

import pytest
import xarray as xr
from xarray.coders import CFDatetimeCoder

import deepsalt
from deepsalt.export import export_mosaic
from deepsalt.store import Store
from deepsalt.versions import open_repository
from tests.store.builders import add_small, build, make_store

# "<f4" and "=f4" are the same bytes here; netCDF4 warns of the two names.
pytestmark = pytest.mark.filterwarnings("ignore:endian-ness of dtype:UserWarning")


def a_store(folder: Path) -> Store:
    store = make_store(folder / "store")
    add_small(store, "a")
    build(store)
    return store


def a_product(folder: Path) -> xr.Dataset:
    store = make_store(folder / "store")
    return deepsalt.open_product(store, add_small(store, "a"))


def an_export(folder: Path) -> xr.Dataset:
    target = folder / "mosaic.zarr"
    export_mosaic(open_repository(a_store(folder).objects), str(target))
    return deepsalt.open_mosaic(target)


@pytest.mark.parametrize("engine", ["netcdf4", "h5netcdf"])
@pytest.mark.parametrize(
    "opened",
    [
        pytest.param(lambda at: deepsalt.open_mosaic(a_store(at)), id="mosaic"),
        pytest.param(an_export, id="export"),
        pytest.param(a_product, id="product"),
    ],
)
def test_netcdf_holds_what_was_opened(
    opened: Callable[[Path], xr.Dataset], engine: str, tmp_path: Path
) -> None:
    ds = opened(tmp_path)
    ds.to_netcdf(tmp_path / "copy.nc", engine=engine)
    days = CFDatetimeCoder(time_unit="s")
    with xr.open_dataset(tmp_path / "copy.nc", decode_coords="all", decode_times=days) as copy:
        xr.testing.assert_equal(copy.load(), ds.load())
        assert copy.attrs["simulated"] == 1
        assert copy["p_above"].attrs["calibrated"] == ["yes"] * 4
