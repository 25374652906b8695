"""EnMAP L2A: a folder of GeoTIFFs and METADATA.XML.

File names: ``ENMAP01-____L2A-DT{datatake}_{time}Z_{tile}_V{version}_{processed}Z-{LAYER}.TIF``, in
any letter case, with ``_COG`` before the extension in the copies that DLR's catalogue serves.
"""

import os
import re
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from rasterio.io import DatasetReader
from rasterio.windows import Window

from deepsalt.errors import FormatError, ReadError, UnsupportedError
from deepsalt.scenes.base import WindowRequest
from deepsalt.scenes.blocks import Cube
from deepsalt.scenes.enmap.metadata import Metadata, read_metadata
from deepsalt.scenes.geotiff import (
    Header,
    block_of,
    corners_wgs84,
    open_delivered,
    open_raster,
    read_header,
    read_raster,
)
from deepsalt.types import Acquisition, Asset, QualityFlag

COLLECTION = "enmap-l2a"

NODATA = -32768.0
"""Value outside the scene, for files whose header does not repeat it."""

LAYERS = MappingProxyType(
    {
        "image": "SPECTRAL_IMAGE",
        "metadata": "METADATA",
        "quality_classes": "QL_QUALITY_CLASSES",
        "quality_cloud": "QL_QUALITY_CLOUD",
        "quality_cloud_shadow": "QL_QUALITY_CLOUDSHADOW",
        "quality_haze": "QL_QUALITY_HAZE",
        "quality_cirrus": "QL_QUALITY_CIRRUS",
        "quality_snow": "QL_QUALITY_SNOW",
        "quality_testflags": "QL_QUALITY_TESTFLAGS",
        "defective_pixel_mask": "QL_PIXELMASK",
    }
)
"""Layer in the file name by asset name; asset names as in DLR's catalogue."""

# Codes of the quality layers (EnMAP product specification; checked in products).
_LAND = 1
_WATER = 2
_BACKGROUND = 3
_TESTFLAGS_LEVEL = 0b11  # 0 nominal, 1 reduced, 2 low, 3 not produced
_TESTFLAGS_BAD = 16 | 32 | 64 | 128  # saturated SWIR, VNIR; artefact SWIR, VNIR
_FLAGS = (
    ("quality_cloud", QualityFlag.CLOUD),
    ("quality_cloud_shadow", QualityFlag.SHADOW),
    ("quality_haze", QualityFlag.HAZE),
    ("quality_snow", QualityFlag.SNOW),
)

_FILE = re.compile(
    r"(?P<scene>ENMAP\d\d-____(?P<level>L\w+)-DT(?P<datatake>\d{10})_\d{8}T\d{6}Z_(?P<tile>\d{3})"
    r"_V(?P<version>\d{6})_\d{8}T\d{6}Z)-(?P<layer>\w+?)(?:_COG)?\.(?:TIF|TIFF|XML)",
    re.IGNORECASE,
)


def is_product(path: Path) -> bool:
    """Return whether this is a file of an EnMAP product or a folder that holds one."""
    if path.is_dir():
        return any(_FILE.fullmatch(file.name) for file in path.iterdir())
    return _FILE.fullmatch(path.name) is not None


def read_acquisition(path: Path) -> Acquisition:
    """Read the metadata of an EnMAP L2A product: its folder, METADATA.XML or another of its files.

    Raises
    ------
    FormatError
        A file is missing, malformed, truncated or contradicts another.
    UnsupportedError
        Another processing level, or a night pass.
    """
    name, files = _files(path)
    level = name["level"].upper()
    _require_level(path, level)
    metadata = read_metadata(files["METADATA"])
    _require_level(path, metadata.level or level)
    if metadata.sun_elevation_deg <= 0:
        raise UnsupportedError(
            f"scene {name['scene']} is a night pass (sun elevation "
            f"{metadata.sun_elevation_deg:g} degrees); choose one taken by day"
        )
    header = _check_rasters(files, metadata)
    corners_wgs84(header.grid, str(files["SPECTRAL_IMAGE"]))  # refuses a grid outside its CRS
    version = name["version"]
    return Acquisition(
        collection=COLLECTION,
        scene_id=name["scene"].upper(),
        acquisition_id=f"DT{name['datatake']}_{name['tile']}",
        version=f"{version[:2]}.{version[2:4]}.{version[4:]}",
        sensor="enmap",
        start=metadata.start,
        end=metadata.end,
        grid=header.grid,
        bands=metadata.bands,
        gain=metadata.gain,
        offset=metadata.offset,
        dtype=header.dtype,
        nodata=NODATA if header.nodata is None else header.nodata,
        block_shape=header.window_shape,
        assets=tuple(_asset(role, files[layer]) for role, layer in LAYERS.items()),
        footprint=metadata.footprint,
        sun_elevation_deg=metadata.sun_elevation_deg,
        cloud_cover_pct=metadata.cloud_cover_pct,
        overall_quality=metadata.overall_quality,
        simulated=metadata.simulated,
    )


def _asset(role: str, path: Path) -> Asset:
    return Asset(role, os.path.abspath(path), path.stat().st_size)


def _require_level(path: Path, level: str) -> None:
    if level != "L2A":
        raise UnsupportedError(
            f"{path} is EnMAP {level}; deepsalt needs surface reflectance, order level L2A"
        )


def _files(path: Path) -> tuple[re.Match[str], dict[str, Path]]:
    """Return the parsed name of one file and all required files by layer."""
    folder = path if path.is_dir() else path.parent
    products: dict[str, dict[str, Path]] = {}
    names: dict[str, re.Match[str]] = {}
    for file in sorted(folder.iterdir()):
        if match := _FILE.fullmatch(file.name):
            scene = match["scene"].upper()
            names[scene] = match
            products.setdefault(scene, {})[match["layer"].upper()] = file
    if path.is_dir() and len(products) > 1:
        raise FormatError(
            f"{path} holds files of {len(products)} products; give the METADATA.XML of one"
        )
    own = None if path.is_dir() else _FILE.fullmatch(path.name)
    scene = own["scene"].upper() if own else next(iter(products))
    files = products.get(scene, {})
    if names[scene]["level"].upper() == "L2A":
        _require_files(folder, scene, files)
    return names[scene], files


def _require_files(folder: Path, scene: str, files: dict[str, Path]) -> None:
    if missing := [layer for layer in LAYERS.values() if layer not in files]:
        raise FormatError(
            f"{folder} has no file {', '.join(missing)} of scene {scene}; fetch the whole product"
        )


def _check_rasters(files: dict[str, Path], metadata: Metadata) -> Header:
    """Return the header of the image after all rasters were found to agree."""
    image = _header(files["SPECTRAL_IMAGE"])
    count = len(metadata.bands)
    shape = (image.grid.height, image.grid.width)
    if image.count != count:
        raise FormatError(
            f"{files['SPECTRAL_IMAGE']} has {image.count} bands but its METADATA.XML describes "
            f"{count}; fetch the product again"
        )
    if metadata.shape and metadata.shape != shape:
        raise FormatError(
            f"{files['SPECTRAL_IMAGE']} has {shape[0]} x {shape[1]} pixels but its METADATA.XML "
            f"says {metadata.shape[0]} x {metadata.shape[1]}; fetch the product again"
        )
    for layer in LAYERS.values():
        if not layer.startswith("QL_"):
            continue
        header = _header(files[layer])
        expected = count if layer == "QL_PIXELMASK" else 1
        if header.grid != image.grid or header.count != expected:
            raise FormatError(
                f"{files[layer]} has {header.count} bands of {header.grid.height} x "
                f"{header.grid.width} pixels, expected {expected} on the grid of the image "
                f"({shape[0]} x {shape[1]}); fetch the product again"
            )
    return image


def _header(path: Path) -> Header:
    with open_delivered(path) as raster:
        return read_header(raster)


class EnmapReader:
    """Pixels of an EnMAP scene; see `deepsalt.scenes.base.SceneReader`.

    Parameters
    ----------
    acquisition
        Scene; `href` of its assets may be paths or URLs.

    Raises
    ------
    FormatError
        The scene lacks a file that the product has.
    ReadError
        A file is missing or contradicts the metadata.
    """

    def __init__(self, acquisition: Acquisition) -> None:
        self._acquisition = acquisition
        self._open: dict[str, DatasetReader] = {}
        self._cubes: dict[str, Cube] = {}
        image = self._raster("image", len(acquisition.bands))
        self.block_shape = block_of(acquisition, read_header(image).window_shape)

    def _raster(self, role: str, count: int) -> DatasetReader:
        if role not in self._open:
            grid = self._acquisition.grid
            raster = open_raster(self._acquisition.asset(role).href)
            if (raster.count, *raster.shape) != (count, grid.height, grid.width):
                found = f"{raster.count} bands of {raster.height} x {raster.width} pixels"
                raster.close()
                raise ReadError(
                    f"{raster.name} has {found}, but the metadata of scene "
                    f"{self._acquisition.scene_id} says {count} of {grid.height} x {grid.width}; "
                    f"fetch the product again"
                )
            self._open[role] = raster
        return self._open[role]

    def _cube(self, role: str) -> Cube:
        if role not in self._cubes:
            self._cubes[role] = Cube(self._raster(role, len(self._acquisition.bands)))
        return self._cubes[role]

    @property
    def by_band(self) -> bool:
        """Whether bands are stored separately in both files."""
        return all(self._cube(role).by_band for role in ("image", "defective_pixel_mask"))

    def read_window(
        self, row: int, column: int, height: int, width: int, wanted: WindowRequest | None = None
    ) -> NDArray[np.int16]:
        """Return all bands of a window: digital numbers (band, y, x), int16.

        A band in which a pixel is marked defective (1 in QL_PIXELMASK) holds nodata there. With
        `wanted` only those bands, and anything in the other pixels.

        Raises
        ------
        ReadError
            A file is truncated or has vanished.
        """
        window = Window(column, row, width, height)
        wanted = wanted or WindowRequest.everything(len(self._acquisition.bands), height, width)
        numbers = self._cube("image").read(window, wanted).astype(np.int16, copy=False)
        nodata = NODATA if self._acquisition.nodata is None else self._acquisition.nodata
        # A few in a million: finding them takes a tenth of the time of a full mask.
        numbers[self._cube("defective_pixel_mask").find(1, window, wanted)] = np.int16(nodata)
        return numbers

    def read_quality(self, row: int, column: int, height: int, width: int) -> NDArray[np.uint16]:
        """Return the `QualityFlag` bits (y, x) that the quality layers give.

        - classes: 1 land, 2 WATER, 3 OUTSIDE; anything else, 0 for instance, occurs under cloud
          and counts as CLOUD;
        - cloud, cloud shadow, haze, snow: their bit;
        - cirrus: thin (1) is HAZE, which advises, medium and thick (2, 3) are CIRRUS;
        - test flags: low quality, quality not produced, saturated or artefact pixels are
          DEFECTIVE; reduced quality and interpolated pixels are not flagged.

        OUTSIDE stands alone: beyond the swath the other layers mean nothing.

        Raises
        ------
        ReadError
            A file is truncated or has vanished.
        """
        window = Window(column, row, width, height)
        bits = np.zeros((height, width), np.uint16)
        for role, bit in _FLAGS:
            bits[self._layer(role, window) == 1] |= np.uint16(bit)
        cirrus = self._layer("quality_cirrus", window)
        bits[cirrus == 1] |= np.uint16(QualityFlag.HAZE)
        bits[(cirrus == 2) | (cirrus == 3)] |= np.uint16(QualityFlag.CIRRUS)
        flags = self._layer("quality_testflags", window)
        bad = ((flags & _TESTFLAGS_LEVEL) >= 2) | ((flags & _TESTFLAGS_BAD) != 0)
        bits[bad] |= np.uint16(QualityFlag.DEFECTIVE)
        classes = self._layer("quality_classes", window)
        bits[classes == _WATER] |= np.uint16(QualityFlag.WATER)
        bits[~np.isin(classes, (_LAND, _WATER, _BACKGROUND))] |= np.uint16(QualityFlag.CLOUD)
        bits[classes == _BACKGROUND] = np.uint16(QualityFlag.OUTSIDE)
        return bits

    def _layer(self, role: str, window: Window) -> NDArray[np.uint8]:
        return read_raster(self._raster(role, 1), window, 1).astype(np.uint8, copy=False)

    def close(self) -> None:
        """Release the files."""
        for file in (*self._cubes.values(), *self._open.values()):
            file.close()
        self._cubes.clear()
        self._open.clear()
