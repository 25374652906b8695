"""Any GeoTIFF or ENVI cube that carries a wavelength and FWHM per band."""

import hashlib
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rasterio.io import DatasetReader
from rasterio.windows import Window

from deepsalt.errors import FormatError, ReadError, UnsupportedError, UsageError
from deepsalt.inputs import open_regular
from deepsalt.scenes.base import WindowRequest
from deepsalt.scenes.blocks import Cube
from deepsalt.scenes.generic.header import Tags
from deepsalt.scenes.geotiff import (
    Header,
    block_of,
    corners_wgs84,
    open_delivered,
    open_raster,
    read_header,
)
from deepsalt.types import Acquisition, Asset, BandTable

COLLECTION = "generic-reflectance"

DTYPES = ("int16", "uint16", "float32")
"""Stored types that a cube may have."""

MIN_LONGEST_NM = 2000.0
"""Minimum of a cube's longest wavelength: salts and their water absorb beyond it."""

_GEOTIFF = (".tif", ".tiff")
_ENVI = (".img", ".dat", ".bsq", ".bil", ".bip", ".raw", "")

# The identity of a cube samples this many pieces of this size: enough to distinguish two cubes of
# one name and shape, little enough to read from gigabytes.
_PIECES = 16
_PIECE_BYTES = 65536


def is_product(path: Path) -> bool:
    """Return whether this is a GeoTIFF, an ENVI file or header, or a DESIS folder (refused)."""
    if path.is_dir():
        return any(_is_desis(file) for file in path.iterdir())
    return path.suffix.lower() in (*_GEOTIFF, ".hdr") or _envi_header(path) is not None


def read_acquisition(
    path: Path, *, scale: float | None = None, nodata: float | None = None
) -> Acquisition:
    """Read the metadata of a cube.

    Its identity is the file's stem and a digest of its header and of samples of its content: a copy
    stays the same acquisition, and another cube of that name is a different one. Changes between
    the samples go unnoticed; give a changed cube another name.

    Parameters
    ----------
    path
        GeoTIFF, or ENVI header or data file.
    scale
        Reflectance = value x scale, if the file does not state it.
    nodata
        Value that means "no measurement", if the file does not state it. NaN always does.

    Raises
    ------
    FormatError
        No wavelength or FWHM, no scale, no nodata of an integer cube, another type, truncated.
    UsageError
        The file contradicts `scale` or `nodata`.
    UnsupportedError
        DESIS, or bands that end below 2000 nm.
    GridError
        No CRS, or a rotated grid.
    """
    if _is_desis(path) or path.is_dir():
        raise UnsupportedError(
            f"{path} is a DESIS product, whose bands end at 1000 nm; salt shows beyond 1400 nm, "
            "use EnMAP or PRISMA"
        )
    data = _data_file(path)
    with open_delivered(data, envi=True) as raster:
        tags = Tags(raster)
        bands = _checked(tags.band_table(), data)
        header = read_header(raster)
        gain, offset = _scaling(raster, tags, scale)
    start, end = tags.times()
    return Acquisition(
        collection=COLLECTION,
        scene_id=data.stem,
        acquisition_id=f"{data.stem}-{_digest(data, header, bands)}",
        version=tags.version(),
        sensor="generic",
        start=start,
        end=end,
        grid=header.grid,
        bands=bands,
        gain=gain,
        offset=offset,
        dtype=header.dtype,
        nodata=_nodata(header, nodata, data),
        block_shape=header.window_shape,
        assets=(Asset("image", os.path.abspath(data), data.stat().st_size),),
        footprint=corners_wgs84(header.grid, str(data)),
    )


def _is_desis(path: Path) -> bool:
    return path.name.upper().startswith("DESIS-HSI")


def _envi_header(data: Path) -> Path | None:
    for header in (data.with_name(data.name + ".hdr"), data.with_suffix(".hdr")):
        if header.is_file():
            return header
    return None


def _data_file(path: Path) -> Path:
    """Return the file with the pixels: GDAL opens an ENVI cube by it, not by the header."""
    if path.suffix.lower() != ".hdr":
        return path
    bare = path.with_suffix("")
    for ending in _ENVI:
        for candidate in (Path(f"{bare}{ending}"), Path(f"{bare}{ending.upper()}")):
            if candidate.is_file():
                return candidate
    raise FormatError(f"{path} has no data file {bare}[.img, .dat, ...] beside it; fetch that, too")


def _checked(bands: BandTable, path: Path) -> BandTable:
    longest = max(
        (c for c, usable in zip(bands.centers_nm, bands.usable, strict=True) if usable),
        default=0.0,
    )
    if longest < MIN_LONGEST_NM:
        raise UnsupportedError(
            f"{path} has usable bands up to {longest:.0f} nm only; salinity needs the short-wave "
            f"infrared, at least to {MIN_LONGEST_NM:.0f} nm"
        )
    return bands


def _scaling(
    raster: DatasetReader, tags: Tags, scale: float | None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return gain and offset per band; GDAL returns 1 and 0 if the file has none."""
    n = raster.count
    gain = tuple(map(float, raster.scales))
    offset = tuple(map(float, raster.offsets))
    if set(gain) == {1.0} and set(offset) == {0.0}:
        stated = tags.reflectance_scale() or scale
        if stated is None:
            raise FormatError(
                f"{raster.name} does not say how its numbers become reflectance; give --scale, "
                "for example 0.0001 for reflectance x 10000 or 1 for plain reflectance"
            )
        gain = (stated,) * n
    if not all(g > 0 for g in gain):
        raise FormatError(
            f"{raster.name} has scale {min(gain):g}; reflectance needs a scale above 0"
        )
    if scale is not None and not np.allclose(gain, scale, rtol=1e-6, atol=0):
        raise UsageError(
            f"{raster.name} has scale {gain[0]:g}, not the given {scale:g}; leave out --scale"
        )
    return gain, offset


def _nodata(header: Header, given: float | None, path: Path) -> float | None:
    if header.dtype not in DTYPES:
        raise FormatError(
            f"{path} is stored as {header.dtype}; convert it to one of {', '.join(DTYPES)}, for "
            "example with `gdal_translate -ot Float32`"
        )
    if header.nodata is not None and given is not None and header.nodata != given:
        raise UsageError(
            f"{path} has nodata {header.nodata:g}, not the given {given:g}; leave out --nodata"
        )
    nodata = header.nodata if given is None else float(given)
    if nodata is None and header.dtype != "float32":
        raise FormatError(
            f"{path} does not say which number means no measurement; give --nodata, a value that "
            "does not occur if every pixel is measured"
        )
    if nodata is None or np.isnan(nodata):
        return None
    if header.dtype != "float32" and np.dtype(header.dtype).type(nodata) != nodata:
        raise UsageError(f"{path} is stored as {header.dtype}, which cannot hold nodata {nodata:g}")
    return nodata


def _digest(data: Path, header: Header, bands: BandTable) -> str:
    """Return 12 hexadecimal digits over header, size and evenly spaced pieces of the content."""
    size = data.stat().st_size
    digest = hashlib.sha256(repr((header, bands, size)).encode())
    with open_regular(data) as file:
        for piece in range(_PIECES):
            file.seek(max(0, size - _PIECE_BYTES) * piece // (_PIECES - 1))
            digest.update(file.read(_PIECE_BYTES))
    return digest.hexdigest()[:12]


class GenericReader:
    """Pixels of a generic cube; see `deepsalt.scenes.base.SceneReader`.

    Parameters
    ----------
    acquisition
        Scene; `href` of its `image` may be a path or a URL.

    Raises
    ------
    ReadError
        The file is missing or contradicts the metadata.
    """

    def __init__(self, acquisition: Acquisition) -> None:
        grid = acquisition.grid
        expected = (len(acquisition.bands), grid.height, grid.width)
        image = open_raster(acquisition.asset("image").href, envi=True)
        if (image.count, *image.shape) != expected:
            raise ReadError(
                f"{image.name} has {image.count} bands of {image.shape} pixels, but its metadata "
                f"says {expected[0]} of {expected[1:]}; ingest it again"
            )
        self.block_shape = block_of(acquisition, read_header(image).window_shape)
        self._image = image
        self._cube = Cube(image)
        self.by_band = self._cube.by_band

    def read_window(
        self, row: int, column: int, height: int, width: int, wanted: WindowRequest | None = None
    ) -> NDArray[np.int16] | NDArray[np.uint16] | NDArray[np.float32]:
        """Return all bands of a window in the stored type (band, y, x).

        With `wanted` only those bands, and anything in the other pixels.

        Raises
        ------
        ReadError
            The file is truncated or has vanished.
        """
        wanted = wanted or WindowRequest.everything(self._image.count, height, width)
        return self._cube.read(Window(column, row, width, height), wanted)

    def read_quality(self, row: int, column: int, height: int, width: int) -> NDArray[np.uint16]:
        """Return zeros (y, x): such a cube has no quality layers."""
        return np.zeros((height, width), np.uint16)

    def close(self) -> None:
        """Release the file."""
        self._cube.close()
        self._image.close()
