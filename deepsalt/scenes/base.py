"""The interface between product files and everything else.

A sensor module offers two things: `read_acquisition` (metadata -> `Acquisition`) and a class that
is a `SceneReader` (pixels). Everything above calls `read_acquisition` and `open_reader` here and
never learns the sensor.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from shlex import quote
from typing import Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from deepsalt.access import is_remote, without_secrets
from deepsalt.errors import FormatError, ReadError
from deepsalt.types import Acquisition

SENSORS = {
    "enmap": ("deepsalt.scenes.enmap", "EnmapReader"),
    "prisma": ("deepsalt.scenes.prisma", "PrismaReader"),
    "generic": ("deepsalt.scenes.generic", "GenericReader"),
}
"""Module and `SceneReader` of each sensor. The first whose `is_product` accepts a path reads it."""


_PACKED = (".zip", ".tar", ".tar.gz", ".tgz")

SIMULATED_MARK = "simulated by deepsalt"
"""What deepsalt's simulator writes into a product's free-text comment. Formats have no field for
it, and only this label distinguishes a simulated product from a delivered one."""


def utc_time(text: str) -> datetime | None:
    """Return an ISO 8601 time in UTC, which is also assumed if no zone is given.

    None for anything else, also for times whose day in UTC is before year 1 or after year 9999.
    """
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


@dataclass(frozen=True, slots=True, eq=False)
class WindowRequest:
    """The requested part of a window.

    Parameters
    ----------
    pixels
        Pixels (y, x).
    bands
        Bands (n,), in the order of `Acquisition.bands`.
    box
        Rows and columns that contain all of the pixels.
    """

    pixels: NDArray[np.bool_]
    bands: NDArray[np.bool_]
    box: tuple[slice, slice]

    @classmethod
    def of(cls, pixels: NDArray[np.bool_], bands: NDArray[np.bool_]) -> Self:
        """Return these pixels in these bands."""
        rows, columns = (np.flatnonzero(pixels.any(axis=axis)) for axis in (1, 0))
        if not rows.size:
            return cls(pixels, bands, (slice(0, 0), slice(0, 0)))
        box = (slice(int(found[0]), int(found[-1]) + 1) for found in (rows, columns))
        return cls(pixels, bands, (next(box), next(box)))

    @classmethod
    def everything(cls, bands: int, height: int, width: int) -> Self:
        """Return all pixels in all bands."""
        return cls.of(np.ones((height, width), np.bool_), np.ones(bands, np.bool_))

    def in_band(self, band: int) -> Self:
        """Return the same pixels in one band."""
        bands = np.zeros(self.bands.size, np.bool_)
        bands[band] = True
        return replace(self, bands=bands)

    def runs(self) -> list[slice]:
        """Return the wanted bands as slices of neighbours."""
        edges = np.flatnonzero(np.diff(self.bands, prepend=False, append=False)).tolist()
        return [slice(*edge) for edge in zip(edges[::2], edges[1::2], strict=True)]


@runtime_checkable
class SceneReader(Protocol):
    """Pixels of one scene, by window, on the scene's own grid.

    Not shared between threads; cheap to open; closed by `close`. `read_window` is the only way
    pixels enter deepsalt.
    """

    block_shape: tuple[int, int]
    """Rows and columns of one file block, pixels; windows on it decode each block once."""

    by_band: bool
    """Whether bands are stored separately, so that reading each by itself costs no more."""

    def read_window(
        self, row: int, column: int, height: int, width: int, wanted: WindowRequest | None = None
    ) -> NDArray[np.int16] | NDArray[np.uint16] | NDArray[np.float32]:
        """Return all bands of a window: digital numbers (band, y, x) in the stored dtype.

        Bands in the order of `Acquisition.bands`; a band that is defective in a pixel holds
        `Acquisition.nodata` there. With `wanted` only those bands, and arbitrary values in other
        pixels.

        Raises
        ------
        ReadError
            The file is truncated or has vanished.
        """

    def read_quality(self, row: int, column: int, height: int, width: int) -> NDArray[np.uint16]:
        """Return the `QualityFlag` bits (y, x) that the provider's own quality layers give.

        Raises
        ------
        ReadError
            The file is truncated or has vanished.
        """

    def close(self) -> None:
        """Release the files."""


def read_acquisition(
    path: str | Path, *, scale: float | None = None, nodata: float | None = None
) -> Acquisition:
    """Read the metadata of a product on disk.

    Parameters
    ----------
    path
        EnMAP L2A folder (or its METADATA.XML), PRISMA L2D he5, GeoTIFF or ENVI cube.
    scale, nodata
        For generic cubes whose file does not state them: reflectance = value x scale; value that
        means "no measurement".

    Raises
    ------
    FormatError
        The path is not a product that deepsalt reads, or the product is incomplete or malformed.
    UnsupportedError
        The product is valid but unsuitable for salinity: L1B, L1C, DESIS, night.

    Examples
    --------
    >>> import deepsalt
    >>> scene = deepsalt.read_acquisition("enmap-scene")
    >>> scene.collection
    'enmap-l2a'
    """
    path = Path(path)
    if not path.exists():
        raise FormatError(f"{path} does not exist; give a product folder or file")
    try:
        if (sensor := _sensor_of(path)) is not None:
            return _read(sensor, path, scale, nodata)
        raise FormatError(_why_no_product(path))
    except OSError as error:  # no permission, a broken disk or link
        message = f"{path} cannot be read: {error}; check its permissions"
        raise FormatError(message) from error


def products_in(folder: Path) -> list[Path]:
    """Return the products directly in a folder; none if it is a product itself."""
    try:
        if not folder.is_dir() or _sensor_of(folder) is not None:
            return []
        # An ENVI header and its data file, which is found by itself, are one product.
        each = [path for path in sorted(folder.iterdir()) if path.suffix.lower() != ".hdr"]
    except OSError:  # `read_acquisition` reports what is wrong with the folder
        return []
    return [path for path in each if _may_be_product(path)]


def _may_be_product(path: Path) -> bool:
    """Return whether a path looks like a product, or is unreadable, which reading it reports."""
    try:
        return _sensor_of(path) is not None
    except OSError:
        return True


def _sensor_of(path: Path) -> str | None:
    """Return which sensor's module reads a path; None if none does."""
    for sensor, (module, _) in SENSORS.items():
        if import_module(module).is_product(path):
            return sensor
    return None


def _why_no_product(path: Path) -> str:
    """Return a sentence on a path that no sensor's module reads."""
    if path.is_file() and path.name.lower().endswith(_PACKED):
        by = "unzip" if path.suffix.lower() == ".zip" else "tar -xf"
        return f"{path} is packed; unpack it with `{by} {quote(str(path))}`, and give the result"
    if held := products_in(path):
        return f"{path} holds {len(held)} products; give one of them, such as {held[0]}"
    if path.is_dir():
        inside = sorted(path.iterdir())
        if not inside:
            return f"{path} is empty; give a product folder or file"
        packed = [each for each in inside if each.name.lower().endswith(_PACKED)]
        if packed:
            return (
                f"{path} holds only packed products ({len(packed)}, such as {packed[0].name}); "
                f"unpack them first"
            )
        for folder in inside:
            if below := products_in(folder):
                return (
                    f"{path} holds no products; its folder {folder.name} holds {len(below)}, such "
                    f"as {below[0]}"
                )
    return (
        f"{path} is not a product that deepsalt reads; expected an EnMAP L2A folder, a PRISMA L2D "
        f".he5, or a GeoTIFF or ENVI cube with a wavelength and FWHM per band"
    )


def _read(sensor: str, path: Path, scale: float | None, nodata: float | None) -> Acquisition:
    module = import_module(SENSORS[sensor][0])
    acquisition: Acquisition = (
        module.read_acquisition(path, scale=scale, nodata=nodata)
        if sensor == "generic"
        else module.read_acquisition(path)
    )
    return acquisition


def refuse_remote(href: str) -> None:
    """Refuse a URL if files are opened by path.

    GDAL resolves names and follows redirects by itself, wherever they lead; `deepsalt.fetch` checks
    every hop and fetches files.

    Raises
    ------
    ReadError
        It is a URL.
    """
    if is_remote(href):
        raise ReadError(
            f"{without_secrets(href)} is a remote file, which must be fetched to the scratch "
            f"space before reading; give a folder with --scratch"
        )


def open_reader(acquisition: Acquisition) -> SceneReader:
    """Return a reader of the pixels of a scene.

    Raises
    ------
    FormatError
        There is no reader for the scene's sensor.
    ReadError
        A file is missing or is not what the metadata says.
    """
    if acquisition.sensor not in SENSORS:
        raise FormatError(
            f"scene {acquisition.scene_id} has sensor {acquisition.sensor!r}; deepsalt reads "
            f"{', '.join(SENSORS)}"
        )
    module, name = SENSORS[acquisition.sensor]
    reader: SceneReader = getattr(import_module(module), name)(acquisition)
    return reader
