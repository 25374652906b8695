"""Rasters that GDAL reads: opening, windows, headers; shared by several readers.

Every GDAL error becomes one sentence that names the file. A raster is read from its own bytes
alone: formats that refer to other files or servers could bring their content into the pixels, so
they are never requested (`open_raster`), files beside a GeoTIFF are ignored (`gdal_env`), and GDAL
loses such formats (`deepsalt.scenes.gdal`).
"""

import math
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.enums import Interleaving
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader
from rasterio.warp import transform as warp_points
from rasterio.windows import Window

from deepsalt.errors import FormatError, GridError, ReadError
from deepsalt.inputs import open_regular, require_regular
from deepsalt.scenes.base import refuse_remote
from deepsalt.scenes.gdal import forget_followers
from deepsalt.types import MAX_BANDS, MAX_PIXELS, MAX_SIDE_PX, Acquisition, PixelGrid

_GEOTIFF = "GTiff"
_ENVI = "ENVI"
_TIFF_MARKS = frozenset({b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"})
"""First bytes of a TIFF and a BigTIFF, in both byte orders."""

_UNREADABLE = (RasterioError, CRSError, CPLE_BaseError, UnicodeDecodeError)
"""What rasterio raises for damage: its own errors, GDAL's, and text that is not UTF-8."""

GDAL_CACHE_MB = 32
"""Block cache of GDAL. Windows lie on file blocks, so a larger one only doubles the memory."""

MIN_TILE_ROWS = 16
"""Smallest tile of the TIFF format; blocks with fewer rows are strips."""

STRIP_ROWS = 256
"""Strips are read this many rows at a time, memory permitting."""

WINDOW_BYTES = 32 * 2**20
"""Bound on strips read at a time, all bands; 224 bands x 256 x 256 int16 is 28 MiB."""


MAX_BLOCK_BYTES = 2**30
"""A block is decoded as a whole; 224 bands x 1024 x 1024 float32 just fit."""

MAX_BLOCKS_ACROSS = 1_000_000
"""Blocks side by side, all bands; each is looked up when a file is seen for the first time."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a raster file says about itself.

    Parameters
    ----------
    grid
        CRS, transform and size.
    count
        Number of bands.
    dtype
        NumPy name of the stored type.
    nodata
        Value that means "no measurement"; None when there is none or when it is NaN.
    window_shape
        Rows and columns to read at a time, pixels: whole file blocks.
    """

    grid: PixelGrid
    count: int
    dtype: str
    nodata: float | None
    window_shape: tuple[int, int]


def gdal_env(driver: str) -> rasterio.Env:
    """Return the GDAL settings to open and read a file under.

    Parameters
    ----------
    driver
        ``GTiff`` or ``ENVI``.
    """
    # A GeoTIFF says everything itself. Files beside it (.aux.xml, .ovr, .msk, .tfw) may refer to
    # others. ENVI has its header beside it.
    beside = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"} if driver == _GEOTIFF else {}
    return rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_MB, GDAL_PAM_ENABLED="NO", **beside)


def open_raster(path: str, *, envi: bool = False) -> DatasetReader:
    """Open a GeoTIFF.

    Parameters
    ----------
    path
        Path of the file.
    envi
        Whether to open a file that is not TIFF as ENVI.

    Raises
    ------
    ReadError
        The file is missing, lies on a server, is not a regular file or is not a raster of these
        formats.
    """
    refuse_remote(path)
    forget_followers()
    try:
        driver = _driver_of(Path(path)) if envi else _GEOTIFF
        require_regular(path)
        with gdal_env(driver):
            return rasterio.open(path, driver=driver, sharing=False)
    except _UNREADABLE as error:
        message = f"{path} cannot be opened as a raster: {error}; fetch it again"
        raise ReadError(message) from None
    except OSError as error:
        message = f"{path} cannot be opened as a raster: {error.strerror}; fetch it again"
        raise ReadError(message) from error


def _driver_of(path: Path) -> str:
    """Return the format of a local file; of ENVI the headers have to be regular files as well.

    Raises
    ------
    OSError
        It cannot be read, or one of the files that GDAL reads is not a regular one.
    """
    with open_regular(path) as file:
        if file.read(4) in _TIFF_MARKS:
            return _GEOTIFF
    own = {path.stem.lower(), path.name.lower()}
    for beside in path.parent.iterdir():
        if beside.suffix and beside.stem.lower() in own and not beside.is_dir():
            require_regular(beside)
    return _ENVI


@contextmanager
def open_delivered(path: Path, *, envi: bool = False) -> Iterator[DatasetReader]:
    """Open a new raster, and check that it is complete.

    Its header is read in the block.

    Raises
    ------
    FormatError
        The file is missing, not a raster, truncated, or has a damaged header.
    """
    try:
        # Only here, in the thread that ingests: changing filters is not safe where threads read.
        with warnings.catch_warnings():
            # A missing CRS or transform is refused by `read_header`, with a sentence.
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            raster = open_raster(str(path), envi=envi)
    except ReadError as error:
        raise FormatError(str(error)) from error
    try:
        with raster:
            _refuse_absurd(raster)
            _refuse_truncated(raster)
            yield raster
    except _UNREADABLE as error:
        cause = " ".join(str(error).split())
        raise FormatError(f"{path} has a damaged header ({cause}); fetch it again") from error


def _refuse_absurd(raster: DatasetReader) -> None:
    """Refuse a raster whose header claims more than any scene, before it is read.

    Raises
    ------
    FormatError
        Too many pixels, bands, or blocks in a row of blocks; blocks too large to be decoded.
    """
    name = raster.name
    rows, columns = raster.shape
    count = raster.count
    if max(rows, columns) > MAX_SIDE_PX or rows * columns > MAX_PIXELS or count > MAX_BANDS:
        raise FormatError(
            f"{name} claims {count} bands of {rows} x {columns} pixels; no scene has more than "
            f"{MAX_BANDS} bands, {MAX_SIDE_PX} pixels a side and {MAX_PIXELS} in all"
        )
    block_rows, block_columns = raster.block_shapes[0]
    together = count if raster.interleaving == Interleaving.pixel else 1
    block_bytes = block_rows * block_columns * np.dtype(raster.dtypes[0]).itemsize * together
    if block_bytes > MAX_BLOCK_BYTES:
        raise FormatError(
            f"{name} has blocks of {block_rows} x {block_columns} pixels, "
            f"{block_bytes / 2**20:.0f} MiB; the maximum is {MAX_BLOCK_BYTES // 2**20} MiB, write "
            f"it in tiles of 512"
        )
    blocks = count * -(-columns // block_columns)
    if blocks > MAX_BLOCKS_ACROSS:
        raise FormatError(
            f"{name} has {blocks} blocks of {block_rows} x {block_columns} pixels side by side, "
            f"over all bands; at most {MAX_BLOCKS_ACROSS} are read, write it in tiles of 512"
        )


def read_raster(
    raster: DatasetReader, window: Window, band: int | list[int] | None = None
) -> NDArray[np.generic]:
    """Return a window in the stored type: (band, y, x), or (y, x) of one band (from 1).

    None: of all bands; a list: of some.

    Raises
    ------
    ReadError
        The file is truncated or has vanished.
    """
    try:
        with gdal_env(raster.driver):
            pixels: NDArray[np.generic] = raster.read(band, window=window)
    except _UNREADABLE as error:
        cause = error.__cause__ or error
        message = (
            f"{raster.name} cannot be read at row {window.row_off}, column {window.col_off}: "
            f"{cause}; the file may be truncated, fetch it again"
        )
        raise ReadError(message) from None
    return pixels


def read_header(raster: DatasetReader) -> Header:
    """Return what the file says about itself.

    Raises
    ------
    GridError
        No CRS, or a grid that is not north-up.
    FormatError
        Bands of different types.
    """
    name = raster.name
    dtypes = set(raster.dtypes)
    if len(dtypes) != 1:
        raise FormatError(f"{name} mixes the types {', '.join(sorted(dtypes))}; give one type")
    dtype = dtypes.pop()
    try:
        grid = PixelGrid(crs_code(raster.crs, name), raster.transform[:6], *raster.shape)
    except GridError as error:
        raise GridError(f"{name}: {error}") from error
    nodata = raster.nodata
    pixel_bytes = raster.count * np.dtype(dtype).itemsize
    return Header(
        grid=grid,
        count=raster.count,
        dtype=dtype,
        nodata=None if nodata is None or math.isnan(nodata) else float(nodata),
        window_shape=window_shape(raster.block_shapes[0], raster.shape, pixel_bytes),
    )


def crs_code(crs: CRS | None, name: str) -> str:
    """Return ``EPSG:<code>`` if the CRS has one, else its WKT.

    Raises
    ------
    GridError
        There is no CRS, or only a local one.
    """
    if not crs or not (crs.is_projected or crs.is_geographic):
        raise GridError(
            "no known coordinate reference system; assign one, for example with "
            f"`gdal_edit -a_srs EPSG:<code> {os.path.basename(name)}`"
        )
    epsg = crs.to_epsg()
    return f"EPSG:{epsg}" if epsg else str(crs.to_wkt())


def window_shape(
    block: tuple[int, int], shape: tuple[int, int], pixel_bytes: int
) -> tuple[int, int]:
    """Return rows and columns to read at a time: whole blocks, within the raster.

    Blocks are never cut, so that each is decoded once. A tile is a window; strips of a few rows
    are joined up to `STRIP_ROWS` and `WINDOW_BYTES`.

    Parameters
    ----------
    block
        Rows and columns of a file block.
    shape
        Rows and columns of the raster.
    pixel_bytes
        Bytes of one pixel, all bands.
    """
    rows, columns = (min(b, n) for b, n in zip(block, shape, strict=True))
    if rows < MIN_TILE_ROWS:
        affordable = min(STRIP_ROWS, WINDOW_BYTES // (columns * pixel_bytes))
        rows = min(rows * max(1, affordable // rows), shape[0])
    return rows, columns


def corners_wgs84(grid: PixelGrid, name: str) -> tuple[tuple[float, float], ...]:
    """Return the corners of a grid (longitude, latitude), degrees, counter-clockwise and closed.

    Parameters
    ----------
    grid
        Grid of a scene.
    name
        File that it is from, for messages.

    Raises
    ------
    GridError
        The CRS is unknown, or the grid lies outside its range.
    """
    west, south, east, north = grid.bounds
    corners = [west, west, east, east], [north, south, south, north]
    shown = grid.crs[:60]
    try:
        own = CRS.from_user_input(grid.crs)
        world = CRS.from_epsg(4326)
    except _UNREADABLE as error:
        raise GridError(f"{name} has the invalid CRS {shown}: {error}") from error
    try:
        lon, lat = warp_points(own, world, *corners)
        # Far outside its area a projection may still give an angle, but not its inverse.
        back = np.array(warp_points(world, own, lon, lat))
    except _UNREADABLE:
        lon = []
        lat = []
        back = np.array(np.nan)
    within = all(abs(x) <= 180 and abs(y) <= 90 for x, y in zip(lon, lat, strict=True))
    if not (within and (np.abs(back - corners) <= grid.transform[0]).all()):
        raise GridError(
            f"{name} lies from ({west:g}, {south:g}) to ({east:g}, {north:g}), which is not a "
            f"place in {shown}; fetch it again, or correct its transform or CRS"
        )
    ring = [(round(x, 8), round(y, 8)) for x, y in zip(lon, lat, strict=True)]
    return (*ring, ring[0])


def _refuse_truncated(raster: DatasetReader) -> None:
    """Refuse a local GeoTIFF or ENVI file that ends before its last pixels.

    A truncated copy opens without error as long as its header is complete. In a GeoTIFF
    the blocks of the last row, over all bands, are the last ones written.

    Raises
    ------
    FormatError
        The file is shorter than its header says.
    """
    name = raster.name
    needed = _bytes_needed(raster)
    size = os.path.getsize(name)
    if needed > size:
        raise FormatError(
            f"{name} is truncated: it has {size} bytes, its header needs at least {needed}; "
            "fetch it again"
        )


def _bytes_needed(raster: DatasetReader) -> int:
    if raster.driver == "ENVI":
        text = raster.tags(ns="ENVI").get("header_offset", "").strip()
        offset = int(text) if text.isdigit() else 0
        values = int(raster.count) * int(raster.height) * int(raster.width)
        itemsize: int = np.dtype(raster.dtypes[0]).itemsize
        return values * itemsize + offset
    if raster.driver != "GTiff":
        return 0
    ends = [0]
    block_rows, block_columns = raster.block_shapes[0]
    last_row = (raster.height - 1) // block_rows
    for band in raster.indexes:
        for column in range(-(-raster.width // block_columns)):
            where = f"{column}_{last_row}"
            begin = raster.get_tag_item(f"BLOCK_OFFSET_{where}", "TIFF", bidx=band)
            length = raster.get_tag_item(f"BLOCK_SIZE_{where}", "TIFF", bidx=band)
            if begin and length:  # absent for blocks left out because they are empty
                ends.append(int(begin) + int(length))
    return max(ends)


def block_of(acquisition: Acquisition, found: tuple[int, int]) -> tuple[int, int]:
    """Return the window shape that the acquisition states, else the one found in the file."""
    return acquisition.block_shape or found
