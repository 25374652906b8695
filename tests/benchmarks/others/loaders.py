"""Other loaders in front of the same masks and student: stackstac as it comes, and odc-stac."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from catalog.items import to_item
from deepsalt.access import is_remote
from deepsalt.cube.quality import mark_chunk
from deepsalt.model.load import model_ref
from deepsalt.predict.cube import RESULT, predict_chunk
from deepsalt.scenes.base import open_reader
from deepsalt.types import Acquisition, ModelRef
from tests.benchmarks.others.floor import fetched, scaling_of, write_bare
from tests.benchmarks.rows import SOME_BANDS, Run, Window, middle, whole

CUBES = ("image", "defective_pixel_mask")


@contextmanager
def stackstac_vrt() -> Iterator[Run]:
    """Read some bands of the window, each through a VRT of its own; masks and student not run."""
    yield read_vrt


def read_vrt(acquisition: Acquisition, out: Path) -> None:
    """Read `SOME_BANDS` bands as stackstac does, into memory."""
    vrt_stack(acquisition).compute(scheduler="threads")


def vrt_stack(acquisition: Acquisition) -> da.Array:
    """Return `SOME_BANDS` bands of the window as stackstac lays them out (band, y, x)."""
    import stackstac

    href = acquisition.asset("image").href
    source = f"/vsicurl/{href}" if is_remote(href) else href
    grid = middle(acquisition).grid(acquisition.grid)
    epsg = int(acquisition.grid.crs.removeprefix("EPSG:"))
    place = {"proj:epsg": epsg, "proj:bbox": list(acquisition.grid.bounds)}
    names = [str(band) for band in range(1, SOME_BANDS + 1)]
    item = {
        "id": acquisition.scene_id,
        "properties": {"datetime": None},
        "assets": {name: {"href": f"vrt://{source}?bands={name}", **place} for name in names},
    }
    stack = stackstac.stack(
        [item],
        assets=names,
        epsg=epsg,
        resolution=(grid.transform[0], -grid.transform[4]),
        bounds=grid.bounds,
        snap_bounds=False,
        dtype=np.dtype(acquisition.dtype),
        fill_value=np.dtype(acquisition.dtype).type(acquisition.nodata),
        rescale=False,
        chunksize=(1, 1, *(acquisition.block_shape or (256, 256))),
        sortby_date=False,
        xy_coords=False,
        properties=False,
        band_coords=False,
    )
    stacked: da.Array = stack.data[0]
    return stacked


@contextmanager
def odc_default() -> Iterator[Run]:
    """Read the same bands with odc-stac, a Dask array per band; masks and student not run."""
    yield read_bands


def read_bands(acquisition: Acquisition, out: Path) -> None:
    """Read `SOME_BANDS` bands as odc-stac does by default, into memory."""
    names = [f"image.{band + 1}" for band in range(SOME_BANDS)]
    window = middle(acquisition)
    odc_load(acquisition, window, names).compute(scheduler="threads")


@contextmanager
def odc_cube() -> Iterator[Run]:
    """Let odc-stac load all bands of a chunk at once (3-D band mode), then masks and student."""
    yield map_cube


def quality_here(acquisition: Acquisition, out: Path) -> None:
    """Bring a remote scene's files here, untimed: our reader of quality layers opens no URLs."""
    if is_remote(acquisition.asset("image").href):
        _files(out).mkdir()
        fetched(acquisition, _files(out))


def _files(out: Path) -> Path:
    return out.with_name(f"{out.name}.files")


def map_cube(acquisition: Acquisition, out: Path) -> None:
    """Map the scene with all bands in one Dask array."""
    here = acquisition
    if is_remote(acquisition.asset("image").href):
        assets = [asset for asset in acquisition.assets if asset.name != "metadata"]
        moved = [replace(each, href=str(_files(out) / Path(each.href).name)) for each in assets]
        here = replace(acquisition, assets=tuple(moved))
    result = da.map_blocks(
        _map_chunk,
        *odc_cubes(acquisition, whole(acquisition)),
        acquisition=here,
        ref=model_ref(),
        dtype=RESULT,
        drop_axis=0,
        meta=np.empty((0, 0), RESULT),
    )
    write_bare(out, result.compute(scheduler="threads"))


def odc_cubes(acquisition: Acquisition, window: Window) -> list[da.Array]:
    """Return image and pixel mask of a window (band, y, x), all bands in one chunk."""
    shape = {"dims": ["band", "y", "x"]}
    config = {
        "dims": {"band": len(acquisition.bands)},
        "assets": {
            "image": {"data_type": acquisition.dtype, "nodata": acquisition.nodata, **shape},
            "defective_pixel_mask": {"data_type": "uint8", **shape},
        },
    }
    loaded = odc_load(acquisition, window, CUBES, stac_cfg={"*": config})
    return [loaded[role].data[0] for role in CUBES]


def odc_load(
    acquisition: Acquisition, window: Window, bands: Sequence[str], **options: Any
) -> xr.Dataset:
    """Return bands of a window as odc-stac lays them out, chunks on file blocks."""
    import odc.stac
    from affine import Affine
    from odc.geo.geobox import GeoBox

    grid = window.grid(acquisition.grid)
    box = GeoBox((grid.height, grid.width), Affine(*grid.transform), grid.crs)
    rows, columns = acquisition.block_shape or (256, 256)
    loaded: xr.Dataset = odc.stac.load(
        [to_item(acquisition)],
        bands=list(bands),
        geobox=box,
        chunks={"y": rows, "x": columns},
        **options,
    )
    return loaded


def _map_chunk(
    dn: NDArray[np.int16],
    marks: NDArray[np.uint8],
    *,
    acquisition: Acquisition,
    ref: ModelRef,
    block_info: Any = None,
) -> NDArray[np.void]:
    (row, row_end), (column, column_end) = block_info[None]["array-location"]
    reader = open_reader(acquisition)
    quality = reader.read_quality(row, column, row_end - row, column_end - column)
    reader.close()
    numbers = np.where(marks == 1, np.int16(acquisition.nodata or 0), dn)
    scaling = scaling_of(acquisition)
    quality_flags = mark_chunk(numbers, quality, **scaling)
    return predict_chunk(numbers, quality_flags, **scaling, ref=ref)
