"""Frozen values that several modules share.

Each value is data, checked on creation, hashable, and cheap to pickle into a Dask graph.
"""

import math
import re
from dataclasses import dataclass
from datetime import datetime
from enum import IntFlag
from functools import lru_cache
from typing import Self

import numpy as np
from numpy.typing import NDArray

from deepsalt.errors import FormatError, GridError

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
AnyFloats = NDArray[np.floating]
Affine6 = tuple[float, float, float, float, float, float]
Bbox = tuple[float, float, float, float]
"""West, south, east and north, degrees WGS84."""

MAX_SIDE_PX = 1_000_000
MAX_PIXELS = 10_000_000_000
MAX_BANDS = 10_000
"""Maximum size of a scene. A larger one has a damaged or hostile header and is refused before
anything loops over it or allocates memory."""

GAIN_RANGE = (1e-10, 10.0)
"""Reflectance per digital number: 1 / 2**32 suits the finest integers, 1 is plain reflectance."""

MAX_OFFSET = 10.0
"""Maximum reflectance of digital number 0, either sign. Reflectance is nominally 0 to 1; glint and
thermal bands exceed that, but never ten."""

_INTEGERS = {
    f"{sign}int{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if not sign else (0, 2**bits - 1)
    for sign in ("", "u")
    for bits in (8, 16, 32)
}
"""Lowest and highest number by stored type."""

_BEYOND_FLOAT32 = (2 - 2.0**-24) * 2.0**127
"""Smallest number that float32 rounds to infinity."""


class QualityFlag(IntFlag):
    """Why a pixel is or is not estimated: the bits of the `quality_flags` layer (uint16).

    0 is an estimate without any flag. `REJECTING` tells which bits reject a pixel; the others only
    advise.

    Examples
    --------
    >>> import deepsalt
    >>> pixel = deepsalt.QualityFlag.CLOUD | deepsalt.QualityFlag.HAZE
    >>> [flag.name for flag in pixel]
    ['CLOUD', 'HAZE']
    >>> mosaic = deepsalt.open_mosaic("store")
    >>> cloudy = (mosaic.quality_flags & deepsalt.QualityFlag.CLOUD) > 0
    >>> cloudy.dims
    ('period', 'y', 'x')
    """

    OUTSIDE = 1  # no measurement here: outside the swath, or no scene; also the fill value
    CLOUD = 2
    CIRRUS = 4
    SHADOW = 8  # cloud shadow
    HAZE = 16
    SNOW = 32
    WATER = 64
    GREEN_VEGETATION = 128
    DRY_VEGETATION = 256
    DEFECTIVE = 512  # saturated, defective or too many missing bands
    OUT_OF_DOMAIN = 1024  # spectrum unlike any in the model's training
    EXTRAPOLATED = 2048  # estimate at the edge of the labels in the model's training


REJECTING = (
    QualityFlag.OUTSIDE
    | QualityFlag.CLOUD
    | QualityFlag.CIRRUS
    | QualityFlag.SHADOW
    | QualityFlag.SNOW
    | QualityFlag.WATER
    | QualityFlag.GREEN_VEGETATION
    | QualityFlag.DRY_VEGETATION
    | QualityFlag.DEFECTIVE
)
"""Bits that leave a pixel without an estimate; haze, out of domain and extrapolated only advise."""


@dataclass(frozen=True, slots=True)
class BandTable:
    """Bands of a sensor or scene, in file order (n bands).

    Parameters
    ----------
    names
        Band names, unique.
    centers_nm
        Wavelengths of the band centres, nm; any order.
    fwhm_nm
        Full widths at half maximum, nm.
    usable
        False for bands that are empty in the product or overlap another detector.

    Examples
    --------
    >>> import deepsalt
    >>> bands = deepsalt.BandTable(
    ...     names=("red", "near infrared"),
    ...     centers_nm=(665.0, 865.0),
    ...     fwhm_nm=(30.0, 20.0),
    ...     usable=(True, True),
    ... )
    >>> len(bands)
    2
    """

    names: tuple[str, ...]
    centers_nm: tuple[float, ...]
    fwhm_nm: tuple[float, ...]
    usable: tuple[bool, ...]

    def __post_init__(self) -> None:
        """Refuse tables whose columns differ in length or whose numbers are impossible."""
        n = len(self.names)
        if not n or {len(self.centers_nm), len(self.fwhm_nm), len(self.usable)} != {n}:
            raise FormatError(
                f"a band table needs equal numbers of names, centres, widths and flags; found "
                f"{n}, {len(self.centers_nm)}, {len(self.fwhm_nm)} and {len(self.usable)}"
            )
        centers, widths = self.centers_nm, self.fwhm_nm
        if (
            100.0 < min(centers) <= max(centers) < 30000.0
            and 0.0 < min(widths) <= max(widths) < 1000.0
            and not math.isnan(sum(centers) + sum(widths))
        ):
            return  # nearly always, and in a third of the time of the loop
        for name, center, fwhm in zip(self.names, self.centers_nm, self.fwhm_nm, strict=True):
            if not (100.0 < center < 30000.0 and 0.0 < fwhm < 1000.0):
                raise FormatError(
                    f"band {name} has centre {center} nm and FWHM {fwhm} nm; "
                    "expected nanometres, with a positive width"
                )

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, slots=True)
class PixelGrid:
    """Raster grid of a scene or tile.

    Parameters
    ----------
    crs
        Authority code such as ``EPSG:32633``, or WKT if there is none.
    transform
        Affine coefficients (a, b, c, d, e, f) from (column, row) to the outer **corner** of a
        pixel, CRS units; the centre of pixel (0, 0) is at (0.5, 0.5).
    height, width
        Rows and columns, pixels.

    Examples
    --------
    >>> import deepsalt
    >>> corner = (30.0, 0.0, 300000.0, 0.0, -30.0, 4500000.0)
    >>> deepsalt.PixelGrid("EPSG:32640", corner, height=100, width=200).bounds
    (300000.0, 4497000.0, 306000.0, 4500000.0)
    """

    crs: str
    transform: Affine6
    height: int
    width: int

    def __post_init__(self) -> None:
        """Refuse grids without an extent and rotated ones."""
        a, b, _, d, e, _ = self.transform
        if self.height < 1 or self.width < 1:
            raise GridError(f"a grid of {self.height} x {self.width} pixels has no extent")
        if not all(math.isfinite(value) for value in (*self.transform, *self.bounds)):
            raise GridError(f"a grid with transform {self.transform} has edges that are not finite")
        if b or d or a <= 0 or e >= 0:
            raise GridError(
                f"the grid with transform {self.transform} is not north-up; warp the raster to a "
                f"north-up grid first"
            )

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Outer edges (west, south, east, north), CRS units."""
        a, _, c, _, e, f = self.transform
        return (c, f + e * self.height, c + a * self.width, f)

    def window(self, rows: slice, columns: slice) -> "PixelGrid":
        """Return the grid of a window of pixels; both slices have a start and a stop."""
        a, b, c, d, e, f = self.transform
        corner = (a, b, c + a * columns.start, d, e, f + e * rows.start)
        return PixelGrid(self.crs, corner, rows.stop - rows.start, columns.stop - columns.start)


@dataclass(frozen=True, slots=True)
class Asset:
    """One file of a scene.

    Parameters
    ----------
    name
        Role inside the product: ``image``, ``metadata``, ``quality_cloud`` ...
    href
        Absolute path or URL.
    size_bytes
        Size of the file, bytes; None if unknown.
    checksum
        Multihash of the file, hexadecimal; None if unknown.
    """

    name: str
    href: str
    size_bytes: int | None = None
    checksum: str | None = None


def _holds(dtype: str, number: float) -> bool:
    """Return whether a stored type has this number, for float32 after rounding."""
    if dtype in _INTEGERS:
        lowest, highest = _INTEGERS[dtype]
        return lowest <= number <= highest and number == int(number)
    return dtype != "float32" or not math.isfinite(number) or abs(number) < _BEYOND_FLOAT32


@dataclass(frozen=True, slots=True)
class Acquisition:
    """One sensor, place and time, as `catalog.items.parse_item` reads it from a STAC Item.

    Parameters
    ----------
    collection
        STAC collection id: ``enmap-l2a``, ``prisma-l2d``, ``generic-reflectance``, or a provider's.
    scene_id
        The provider's product name, without extension.
    acquisition_id
        The part of the identity that reprocessing keeps (EnMAP: datatake + tile).
    version
        Provider's processing version; a later one replaces an earlier one of the same acquisition.
    sensor
        ``enmap``, ``prisma`` or ``generic``: selects the reader.
    start, end
        Start and end of the acquisition, UTC, timezone-aware; None if unknown.
    grid
        The scene's own grid.
    bands
        Bands in file order.
    gain, offset
        Reflectance = digital number x gain + offset, per band (n bands).
    dtype
        NumPy name of the stored type: ``int16``, ``uint16``, ``float32``.
    nodata
        Digital number that means "no measurement"; None if there is none.
    block_shape
        Rows and columns of one file block, pixels; None if only the file knows.
    assets
        Files of the scene.
    footprint
        Corners (longitude, latitude), degrees WGS84, closed ring.
    sun_elevation_deg, cloud_cover_pct, overall_quality
        Provider's scene statistics; None if not given. Quality: 0 nominal, 1 reduced, 2 low.
    simulated
        Whether the pixels were simulated; labels everything made from them.

    Examples
    --------
    >>> import deepsalt
    >>> scene = deepsalt.read_acquisition("enmap-scene")
    >>> scene.sensor, len(scene.bands), scene.start.year
    ('enmap', 224, 2024)
    """

    collection: str
    scene_id: str
    acquisition_id: str
    version: str
    sensor: str
    start: datetime | None
    end: datetime | None
    grid: PixelGrid
    bands: BandTable
    gain: tuple[float, ...]
    offset: tuple[float, ...]
    dtype: str
    nodata: float | None
    block_shape: tuple[int, int] | None
    assets: tuple[Asset, ...]
    footprint: tuple[tuple[float, float], ...]
    sun_elevation_deg: float | None = None
    cloud_cover_pct: float | None = None
    overall_quality: int | None = None
    simulated: bool = False

    def __post_init__(self) -> None:
        """Refuse what would make reflectance or identity ambiguous."""
        if len(self.gain) != len(self.bands) or len(self.offset) != len(self.bands):
            raise FormatError(
                f"scene {self.scene_id} has {len(self.bands)} bands but {len(self.gain)} gains "
                f"and {len(self.offset)} offsets"
            )
        for moment in (self.start, self.end):
            if moment is not None and moment.tzinfo is None:
                raise FormatError(f"scene {self.scene_id} has a time without a time zone: {moment}")
        self._refuse_absurd()

    def _refuse_absurd(self) -> None:
        """Refuse impossible numbers, which come from the author of the file or Item.

        In usable bands a gain is within `GAIN_RANGE`, an offset within `MAX_OFFSET` of 0, and some
        stored number means a reflectance between 0 and 1: otherwise all pixels would be nonsense.
        """
        what = f"scene {self.scene_id}"
        grid = self.grid
        if (
            max(grid.height, grid.width) > MAX_SIDE_PX
            or grid.height * grid.width > MAX_PIXELS
            or len(self.bands) > MAX_BANDS
        ):
            raise FormatError(
                f"{what} claims {len(self.bands)} bands of {grid.height} x {grid.width} pixels; "
                f"at most {MAX_BANDS} bands, {MAX_SIDE_PX} pixels a side and {MAX_PIXELS} in all "
                f"are supported"
            )
        self._refuse_scales(what)
        if self.nodata is not None and not _holds(self.dtype, self.nodata):
            raise FormatError(
                f"{what} is stored as {self.dtype}, which cannot hold nodata {self.nodata:g}"
            )
        cloud = self.cloud_cover_pct
        sun = self.sun_elevation_deg
        quality = self.overall_quality
        if cloud is not None and not 0 <= cloud <= 100:
            raise FormatError(f"{what} has a cloud cover of {cloud:g} %; expected 0 to 100")
        if sun is not None and not -90 <= sun <= 90:
            raise FormatError(f"{what} has the sun at {sun:g} degrees; expected -90 to 90")
        if quality is not None and not 0 <= quality <= 2:
            raise FormatError(f"{what} has overall quality {quality:g}; expected 0, 1 or 2")
        if not all(abs(x) <= 360 and abs(y) <= 90 for x, y in self.footprint):
            raise FormatError(f"{what} has a footprint that is not in longitude and latitude")

    def _refuse_scales(self, what: str) -> None:
        index = _absurd_scale(self.bands.usable, self.gain, self.offset, self.dtype)
        if index is None:
            return
        lowest, highest = GAIN_RANGE
        name, gain, offset = self.bands.names[index], self.gain[index], self.offset[index]
        if not (math.isfinite(gain) and math.isfinite(offset)):
            raise FormatError(
                f"{what} has gain {gain:g} and offset {offset:g} in band {name}; expected "
                "finite numbers"
            )
        if not lowest <= gain <= highest:
            raise FormatError(
                f"{what} has gain {gain:g} in band {name}; expected a reflectance per digital "
                f"number from {lowest:g} to {highest:g}"
            )
        if abs(offset) > MAX_OFFSET:
            raise FormatError(
                f"{what} has offset {offset:g} in band {name}; expected a reflectance of digital "
                f"number 0 within {MAX_OFFSET:g} of 0"
            )
        raise FormatError(
            f"{what} has gain {gain:g} and offset {offset:g} in band {name}, so that no "
            f"{self.dtype} gives a reflectance between 0 and 1"
        )

    @property
    def key(self) -> str:
        """Scene key: collection, stable acquisition id and provider version."""
        return f"{self.collection}/{self.acquisition_id}/{self.version}"

    def asset(self, name: str) -> Asset:
        """Return the file with this role.

        Raises
        ------
        FormatError
            The scene has no such file.
        """
        for asset in self.assets:
            if asset.name == name:
                return asset
        have = ", ".join(asset.name for asset in self.assets)
        raise FormatError(
            f"scene {self.scene_id} has no file with the role {name!r}; it has {have}"
        )


@lru_cache(maxsize=64)  # scenes of one sensor mostly share scales
def _absurd_scale(
    usable: tuple[bool, ...], gain: tuple[float, ...], offset: tuple[float, ...], dtype: str
) -> int | None:
    """Return the index of the first band with an impossible scale, None if there is none."""
    lowest, highest = GAIN_RANGE
    stored = _INTEGERS.get(dtype)
    for index, (used, a, b) in enumerate(zip(usable, gain, offset, strict=True)):
        if not (math.isfinite(a) and math.isfinite(b)):
            return index
        if not used:
            continue
        if not lowest <= a <= highest or abs(b) > MAX_OFFSET:
            return index
        if stored and not (stored[0] * a + b < 1 and stored[1] * a + b > 0):
            return index
    return None


def version_order(version: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts provider versions by their numbers: V010303 < V010501, 1.9 < 1.10."""
    parts = re.findall(r"\d+|\D+", version)
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts]


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A model's location and identity; workers load it once per process.

    Parameters
    ----------
    path
        Directory with ``model.safetensors`` and ``card.json``.
    digest
        SHA-256 (hexadecimal) over weights and card.
    family
        Name of the model family; a store holds products of one family.

    Examples
    --------
    >>> import deepsalt
    >>> deepsalt.model_ref().family
    'deepsalt-surface'
    """

    path: str
    digest: str
    family: str


@dataclass(frozen=True, slots=True)
class Report:
    """Counts of pixels by outcome; reports of parts add up to the report of the whole.

    Parameters
    ----------
    pixels
        Pixels processed.
    estimated
        Pixels with a salinity estimate.
    by_flag
        Pixels per `QualityFlag` bit name (lower case); a pixel with two bits counts in both.

    Examples
    --------
    >>> from deepsalt.types import Report
    >>> (Report(100, 60) + Report(50, 10)).estimated
    70
    """

    pixels: int = 0
    estimated: int = 0
    by_flag: tuple[tuple[str, int], ...] = ()

    def __add__(self, other: Self) -> "Report":
        counts = dict(self.by_flag)
        for name, count in other.by_flag:
            counts[name] = counts.get(name, 0) + count
        return Report(
            self.pixels + other.pixels, self.estimated + other.estimated, tuple(counts.items())
        )
