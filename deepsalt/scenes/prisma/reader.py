"""PRISMA L2D: one HDF-EOS5 file.

Layout: PRISMA product specification (ASI), as read by ESA SNAP and hyperproc. Cubes are stored as
(row, band, column) with descending wavelengths; we reverse them and join the two detectors.
"""

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepsalt.errors import FormatError, GridError, ReadError, UnsupportedError
from deepsalt.scenes.base import SIMULATED_MARK, WindowRequest
from deepsalt.scenes.geotiff import MIN_TILE_ROWS, STRIP_ROWS, corners_wgs84, window_shape
from deepsalt.scenes.prisma.file import DETECTORS, Channels, Product
from deepsalt.types import Acquisition, Asset, BandTable, PixelGrid, QualityFlag

COLLECTION = "prisma-l2d"

NODATA = 0.0
"""Digital number that is never a measurement."""

PIXEL_M = 30.0
"""Ground sampling of the hyperspectral cubes, m."""

WATER_VAPOUR_NM = ((1350.0, 1460.0), (1790.0, 1960.0), (2450.0, float("inf")))
"""Wavelengths (from, to), nm, that the product delivers although they hold noise only."""

_FILE = re.compile(r"PRS_(?P<level>L\w+?)_.*\.he5", re.IGNORECASE)


def is_product(path: Path) -> bool:
    """Return whether this is a PRISMA file, of any level."""
    return path.is_file() and path.suffix.lower() == ".he5"


def read_acquisition(path: Path) -> Acquisition:
    """Read the metadata of a PRISMA L2D file.

    Bands of both detectors are joined by wavelength upwards; channels that were not acquired are
    left out. Not usable are VNIR bands at and above the first SWIR wavelength and those in
    `WATER_VAPOUR_NM`. `Product_ULcorner_*` are centres of pixels: the grid begins half a pixel
    further out.

    Raises
    ------
    FormatError
        Not HDF5, truncated, or an attribute or cube is missing or contradicts another.
    UnsupportedError
        Another processing level, or a night pass.
    """
    if (name := _FILE.fullmatch(path.name)) and name["level"].upper() != "L2D":
        raise _other_level(path, name["level"].upper())
    try:
        product = Product(str(path))
    except ReadError as error:
        raise FormatError(str(error)) from error
    with product:
        level = str(product.attribute("Processing_Level")).strip().upper()
        if level.removeprefix("L") != "2D":
            raise _other_level(path, level)
        return _acquisition(product, path)


def _other_level(path: Path, level: str) -> UnsupportedError:
    return UnsupportedError(
        f"{path} is PRISMA {level}; deepsalt needs map-projected surface reflectance, order L2D"
    )


def _acquisition(product: Product, path: Path) -> Acquisition:
    elevation = 90.0 - product.number("Sun_zenith_angle")
    if elevation <= 0:
        raise UnsupportedError(
            f"{path} is a night pass (sun elevation {elevation:g} degrees); choose one by day"
        )
    grid = _grid(product)
    _require_companions(product)
    channels = [product.channels(detector) for detector in DETECTORS]
    bands, gain, offset = _bands(channels)
    start = product.time("Product_StartTime")
    end = product.time("Product_StopTime")
    cloud = product.optional("Cloudy_pixels_percentage")
    version = product.optional("Processor_Version") or path.stem.rpartition("_")[2]
    return Acquisition(
        collection=COLLECTION,
        scene_id=path.stem,
        acquisition_id=f"{start:%Y%m%d%H%M%S}_{end:%Y%m%d%H%M%S}",
        version=str(version).strip(),
        sensor="prisma",
        start=start,
        end=end,
        grid=grid,
        bands=bands,
        gain=gain,
        offset=offset,
        dtype="uint16",
        nodata=NODATA,
        block_shape=_window(product),
        assets=(Asset("image", os.path.abspath(path), path.stat().st_size),),
        footprint=corners_wgs84(grid, product.name),
        sun_elevation_deg=elevation,
        cloud_cover_pct=None
        if cloud is None
        else max(0.0, product.number("Cloudy_pixels_percentage")),
        simulated=SIMULATED_MARK in str(product.optional("Comment") or ""),
    )


def _require_companions(product: Product) -> None:
    """Refuse a file without error matrices and angles on the grid of the cubes."""
    shapes = {"Geometric Fields/Solar_Zenith_Angle": product.shape()[::2]}
    for detector in DETECTORS:
        where = f"Data Fields/{detector}_PIXEL_L2_ERR_MATRIX"
        shapes[where] = product.cube(detector).shape
    for where, shape in shapes.items():
        found = product.dataset(where).shape
        if found != shape:
            raise FormatError(
                f"{product.name}: {where} has shape {found}, expected {shape}; "
                "fetch the product again"
            )


def _grid(product: Product) -> PixelGrid:
    height, _, width = product.shape()
    west, north = (product.number(f"Product_ULcorner_{axis}") for axis in ("easting", "northing"))
    east, south = (product.number(f"Product_LRcorner_{axis}") for axis in ("easting", "northing"))
    spacings = ((east - west) / max(width - 1, 1), (north - south) / max(height - 1, 1))
    for spacing, n in zip(spacings, (width, height), strict=True):
        if n > 1 and abs(spacing - PIXEL_M) > PIXEL_M / (2 * n):
            raise FormatError(
                f"{product.name}: the centres of the corner pixels are {spacing:.4f} m per pixel "
                f"apart over {n} pixels, expected {PIXEL_M:g}; fetch the product again"
            )
    half = PIXEL_M / 2
    epsg = int(product.number("Epsg_Code"))
    if epsg <= 0:
        raise GridError(f"{product.name} has EPSG code {epsg}; fetch the product again")
    transform = (PIXEL_M, 0.0, west - half, 0.0, -PIXEL_M, north + half)
    return PixelGrid(f"EPSG:{epsg}", transform, height, width)


def _order(channels: list[Channels]) -> NDArray[np.intp]:
    """Return the positions that put VNIR followed by SWIR channels in order of wavelength."""
    return np.argsort(np.concatenate([part.center_nm for part in channels]), kind="stable")


def _bands(
    channels: list[Channels],
) -> tuple[BandTable, tuple[float, ...], tuple[float, ...]]:
    vnir, swir = channels
    usable = np.concatenate(
        [vnir.center_nm < swir.center_nm[0], np.ones(swir.center_nm.size, np.bool_)]
    )
    center = np.concatenate([part.center_nm for part in channels])
    for low, high in WATER_VAPOUR_NM:
        usable &= ~((center >= low) & (center <= high))
    names = [f"{part.detector.lower()}_{i + 1:03d}" for part in channels for i in part.channel]
    order = _order(channels)

    def ordered(values: NDArray[np.float64]) -> tuple[float, ...]:
        return tuple(float(value) for value in values[order])

    table = BandTable(
        names=tuple(names[i] for i in order),
        centers_nm=ordered(center),
        fwhm_nm=ordered(np.concatenate([part.fwhm_nm for part in channels])),
        usable=tuple(bool(usable[i]) for i in order),
    )
    sizes = [part.center_nm.size for part in channels]
    gain = ordered(np.repeat([part.gain for part in channels], sizes))
    return table, gain, ordered(np.repeat([part.offset for part in channels], sizes))


def _window(product: Product) -> tuple[int, int]:
    """Return rows and columns of a window: whole HDF5 chunks, or a square where there are none."""
    rows, bands, columns = product.shape()
    chunks = [product.cube(detector).chunks for detector in DETECTORS]
    block = tuple(
        max((chunk[axis] for chunk in chunks if chunk), default=STRIP_ROWS) for axis in (0, 2)
    )
    if block[1] < MIN_TILE_ROWS:  # chunks of a few columns: join them, as strips are
        block = (block[0], columns)
    return window_shape((block[0], block[1]), (rows, columns), 2 * bands)


class PrismaReader:
    """Pixels of a PRISMA scene; see `deepsalt.scenes.base.SceneReader`.

    Parameters
    ----------
    acquisition
        Scene whose `image` is a path.

    Raises
    ------
    ReadError
        The file is missing, truncated or contradicts the metadata.
    """

    by_band = False

    def __init__(self, acquisition: Acquisition) -> None:
        self._product = Product(acquisition.asset("image").href)
        self._acquisition = acquisition
        try:
            self._channels = [self._product.channels(detector) for detector in DETECTORS]
            rows, _, columns = self._product.shape()
        except FormatError as error:
            self.close()
            raise ReadError(str(error)) from error
        order = _order(self._channels)
        grid = acquisition.grid
        if (order.size, rows, columns) != (len(acquisition.bands), grid.height, grid.width):
            self.close()
            raise ReadError(
                f"{self._product.name} has {order.size} bands of {rows} x {columns} pixels, the "
                f"metadata of scene {acquisition.scene_id} says {len(acquisition.bands)} of "
                f"{grid.height} x {grid.width}; ingest it again"
            )
        place = np.empty(order.size, np.intp)
        place[order] = np.arange(order.size)
        self._places = np.split(place, [self._channels[0].channel.size])
        self.block_shape = acquisition.block_shape or _window(self._product)

    def read_window(
        self, row: int, column: int, height: int, width: int, wanted: WindowRequest | None = None
    ) -> NDArray[np.uint16]:
        """Return all bands of a window: digital numbers (band, y, x), uint16.

        0, nodata, wherever the error matrix is not 0 (invalid, negative or saturated). With
        `wanted` only those bands.

        Raises
        ------
        ReadError
            The file is truncated or has vanished.
        """
        count = len(self._acquisition.bands)
        bands = (wanted or WindowRequest.everything(count, height, width)).bands
        among = np.cumsum(bands) - 1
        numbers = np.empty((int(bands.sum()), height, width), np.uint16)
        box = (slice(row, row + height), slice(None), slice(column, column + width))
        for part, places in zip(self._channels, self._places, strict=True):
            pixels = self._read(f"Data Fields/{part.detector}_Cube", box)
            errors = self._read(f"Data Fields/{part.detector}_PIXEL_L2_ERR_MATRIX", box)
            pixels[errors != 0] = np.uint16(NODATA)
            for channel, place in zip(part.channel, places, strict=True):
                if bands[place]:
                    numbers[among[place]] = pixels[:, channel]
        return numbers

    def read_quality(self, row: int, column: int, height: int, width: int) -> NDArray[np.uint16]:
        """Return OUTSIDE where the sun angle is 0, the padding around the swath (y, x).

        L2D carries no cloud mask, so no other bit is set.

        Raises
        ------
        ReadError
            The file is truncated or has vanished.
        """
        box = (slice(row, row + height), slice(column, column + width))
        zenith = self._read("Geometric Fields/Solar_Zenith_Angle", box)
        return np.where(zenith == 0, np.uint16(QualityFlag.OUTSIDE), np.uint16(0))

    def _read(self, where: str, box: tuple[slice, ...]) -> NDArray[Any]:
        try:
            pixels: NDArray[Any] = self._product.dataset(where)[box]
        except (OSError, RuntimeError, FormatError) as error:
            raise ReadError(
                f"{self._product.name}: {where} cannot be read at row {box[0].start}: {error}; "
                "the file may be truncated, fetch it again"
            ) from error
        return pixels

    def close(self) -> None:
        """Release the file."""
        self._product.file.close()
