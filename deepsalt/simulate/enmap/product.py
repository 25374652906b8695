"""EnMAP L2A products, true to format, with known salinity.

Names, layers and metadata follow the delivered products (REFERENCE: EnMAP-Box and SNAP readers,
DLR's catalogue); nothing downstream should be able to tell them apart.
"""

from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio.windows import Window

from deepsalt.errors import UsageError
from deepsalt.simulate.enmap.metadata import Delivery, write_metadata
from deepsalt.simulate.geodesy import to_lonlat
from deepsalt.simulate.landscape import Landscape
from deepsalt.simulate.scene import SimulatedScene, Strip, Weather
from deepsalt.spectral.bands import sensor_bands
from deepsalt.types import BandTable, PixelGrid

NODATA = -32768
GAIN = 1e-4
BLOCK_PX = 256
SATURATED = 15000
"""Digital number of saturated bands: beyond what a surface reflects."""

EMPTY_BANDS = slice(129, 135)
"""Bands 130 to 135 (1331 to 1391 nm), which are delivered without data."""

CENTER_DRIFT_NM = 0.1
"""Standard deviation of band centres between scenes, nm."""

_LAYERS = (
    "QL_QUALITY_CLASSES",
    "QL_QUALITY_CLOUD",
    "QL_QUALITY_CLOUDSHADOW",
    "QL_QUALITY_CIRRUS",
    "QL_QUALITY_HAZE",
    "QL_QUALITY_SNOW",
    "QL_QUALITY_TESTFLAGS",
)
_QUICKLOOKS_NM = {"QL_VNIR": (847.1, 671.2, 548.1), "QL_SWIR": (2201.0, 1645.3, 1051.3)}
_SATURATED_VNIR = 32  # bit of QL_QUALITY_TESTFLAGS
_OUTSIDE_CLASS = 3
_OUTSIDE_MASK = 255
_DEFECTS_PER_MILLION = 3  # single bands of single pixels
_SATURATED_PER_MILLION = 8  # pixels
_CACHE_BYTES = 192 * 2**20  # a row of blocks of all bands must fit, or GDAL writes blocks twice


@dataclass(frozen=True, slots=True)
class Variant:
    """How a product is delivered.

    Parameters
    ----------
    level
        Processing level in names and metadata; anything but ``L2A`` only for tests of refusal.
    version
        Six digits of the processor's version.
    tile
        Number of the tile in its datatake.
    datatake
        Number of the datatake; drawn from the seed when None.
    interleave
        ``pixel`` or ``band``.
    cog
        True: cloud-optimised files, named ``..._COG.TIF``, as DLR's catalogue serves them.
    tilt_deg
        Angle between swath and grid, degrees; about 12 in delivered products, which leaves large
        wedges without data.
    overall_quality
        0 nominal, 1 reduced, 2 low; None: 2 for night passes, 1 under much cloud, else 0.
    """

    level: str = "L2A"
    version: str = "010502"
    tile: int = 1
    datatake: int | None = None
    interleave: str = "pixel"
    cog: bool = False
    tilt_deg: float = 3.0
    overall_quality: int | None = None


@dataclass(slots=True)
class _Sums:
    """Running sums of a scene: per band for bandStatistics, per flag for covers."""

    pixels: int = 0
    total: NDArray[np.float64] = field(default_factory=lambda: np.zeros(224))
    squares: NDArray[np.float64] = field(default_factory=lambda: np.zeros(224))
    covers: dict[str, int] = field(default_factory=dict)

    def add(self, strip: Strip) -> None:
        valid = strip.reflectance[:, strip.inside]
        self.pixels += valid.shape[1]
        self.total += valid.sum(axis=1, dtype=np.float64)
        self.squares += np.einsum("bn,bn->b", valid, valid, dtype=np.float64)
        for name in ("cloud", "shadow", "haze", "cirrus", "snow", "water"):
            found = int(np.count_nonzero(getattr(strip, name)))
            self.covers[name] = self.covers.get(name, 0) + found

    def statistics(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean and standard deviation per band; -1000000 and 0 for empty bands."""
        mean = self.total / max(self.pixels, 1)
        sd = np.sqrt(np.maximum(self.squares / max(self.pixels, 1) - mean**2, 0.0))
        mean[EMPTY_BANDS], sd[EMPTY_BANDS] = -1000000.0, 0.0
        return mean, sd

    def percent(self, name: str) -> int:
        return round(100.0 * self.covers.get(name, 0) / max(self.pixels, 1))


def write_enmap(
    folder: str | Path,
    *,
    landscape: Landscape,
    grid: PixelGrid,
    start: datetime,
    seed: int,
    weather: Weather | None = None,
    variant: Variant | None = None,
) -> Path:
    """Write one EnMAP L2A product.

    Parameters
    ----------
    folder
        Where to create the product's folder.
    landscape
        The ground; `Landscape.truth_on` of any grid gives the truth.
    grid
        UTM grid of 30 m, for example from `utm_grid`.
    start
        Begin of the acquisition, UTC.
    seed
        Clouds, noise, defects and band drift: the same seed is the same product.
    weather, variant
        Clouds and sun; level, version and file layout; the defaults when None.

    Returns
    -------
    Path
        The product folder, named like the product.

    Raises
    ------
    UsageError
        The grid is not a 30 m UTM grid.
    """
    weather = weather or Weather()
    variant = variant or Variant()
    zone = grid.crs.removeprefix("EPSG:")
    if grid.transform[0] != 30.0 or not zone.isdigit() or int(zone) // 100 not in (326, 327):
        raise UsageError(f"EnMAP products have 30 m UTM grids, not {grid.crs}; use utm_grid")
    start = start.replace(tzinfo=UTC) if start.tzinfo is None else start.astimezone(UTC)
    rng = np.random.default_rng([seed, 5])
    bands = _drifted(sensor_bands("enmap"), rng)
    scene = SimulatedScene(
        landscape, grid, bands, start=start, seed=seed, weather=weather, tilt_deg=variant.tilt_deg
    )
    datatake = variant.datatake or int(rng.integers(100_000, 999_999))
    variant = replace(variant, datatake=datatake)
    name = _product_name(variant, start)
    product = Path(folder) / name
    product.mkdir(parents=True, exist_ok=True)
    sums = _Sums()
    with _Files(product, grid, variant) as files:
        for strip in scene.strips(BLOCK_PX):
            sums.add(strip)
            files.write(strip, bands, rng)
    _write_metadata(product, scene, variant, start=start, sums=sums)
    return product


def _write_metadata(
    product: Path, scene: SimulatedScene, variant: Variant, *, start: datetime, sums: _Sums
) -> None:
    mean, sd = sums.statistics()
    corners = scene.corners_px()
    longitude, latitude = to_lonlat(scene.grid, corners[:, 0], corners[:, 1])
    path = product / f"{product.name}-METADATA.XML"
    delivery = Delivery(
        name=product.name,
        level=variant.level,
        version=variant.version,
        datatake=variant.datatake or 0,
        tile=variant.tile,
        start=start,
        duration=timedelta(seconds=4.5 * scene.grid.height / 1000),
        processed=_processed(start),
        grid=scene.grid,
        bands=scene.bands,
        mean=tuple(mean),
        sd=tuple(sd),
        corners=tuple(zip(longitude.tolist(), latitude.tolist(), strict=True)),
        sun_elevation_deg=scene.weather.sun_elevation_deg,
        sun_azimuth_deg=scene.weather.sun_azimuth_deg,
        covers={key: sums.percent(key) for key in sums.covers},
        overall_quality=_quality(variant, scene.weather, sums),
        files=(path.name, *sorted(found.name for found in product.glob("*.TIF"))),
    )
    write_metadata(path, delivery)


def _quality(variant: Variant, weather: Weather, sums: _Sums) -> int:
    if variant.overall_quality is not None:
        return variant.overall_quality
    return 2 if weather.night else int(sums.percent("cloud") > 66)


def _drifted(bands: BandTable, rng: np.random.Generator) -> BandTable:
    shift = np.round(rng.normal(0.0, CENTER_DRIFT_NM, 2), 3)
    vnir = np.array(bands.centers_nm) < 902.0
    centers = np.array(bands.centers_nm) + np.where(vnir, shift[0], shift[1])
    return replace(bands, centers_nm=tuple(np.round(centers, 3).tolist()))


def _processed(start: datetime) -> datetime:
    return start + timedelta(hours=18, minutes=11)


def _product_name(variant: Variant, start: datetime) -> str:
    processed = _processed(start)
    return (
        f"ENMAP01-____{variant.level}-DT{variant.datatake:010d}_{start:%Y%m%dT%H%M%S}Z"
        f"_{variant.tile:03d}_V{variant.version}_{processed:%Y%m%dT%H%M%S}Z"
    )


class _Files:
    """The product's rasters, open for writing strips from top to bottom."""

    def __init__(self, product: Path, grid: PixelGrid, variant: Variant) -> None:
        self._product = product
        self._grid = grid
        self._variant = variant
        self._stack = ExitStack()
        self._open: dict[str, Any] = {}
        self._paths: list[Path] = []

    def __enter__(self) -> Self:
        self._stack.enter_context(rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES))
        self._create("SPECTRAL_IMAGE", 224, "int16", NODATA)
        self._create("QL_PIXELMASK", 224, "uint8", None)
        for layer in _LAYERS:
            outside = _OUTSIDE_CLASS if layer == "QL_QUALITY_CLASSES" else None
            self._create(layer, 1, "uint8", outside)
        for layer in _QUICKLOOKS_NM:
            self._create(layer, 3, "uint8", 0)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()
        if self._variant.cog and kind is None:
            for path in self._paths:
                optimised = path.with_name(f"{path.stem}_COG.TIF")
                rasterio.shutil.copy(
                    path,
                    optimised,
                    driver="COG",
                    compress="deflate",
                    level=1,
                    interleave=self._variant.interleave,
                    overviews="none",
                )
                path.unlink()

    def _create(self, layer: str, count: int, dtype: str, nodata: int | None) -> None:
        path = self._product / f"{self._product.name}-{layer}.TIF"
        predictor = 2 if dtype == "int16" else 1
        self._paths.append(path)
        self._open[layer] = self._stack.enter_context(
            rasterio.open(
                path,
                "w",
                driver="GTiff",
                width=self._grid.width,
                height=self._grid.height,
                count=count,
                dtype=dtype,
                nodata=nodata,
                crs=self._grid.crs,
                transform=rasterio.Affine(*self._grid.transform),
                tiled=True,
                blockxsize=BLOCK_PX,
                blockysize=BLOCK_PX,
                interleave=self._variant.interleave,
                compress="deflate",
                zlevel=1,
                predictor=predictor,
                photometric="MINISBLACK",
                bigtiff="IF_SAFER",
            )
        )

    def write(self, strip: Strip, bands: BandTable, rng: np.random.Generator) -> None:
        numbers = np.round(np.nan_to_num(strip.reflectance, nan=0.0) / np.float32(GAIN))
        numbers = np.clip(numbers, NODATA + 1, 32767).astype(np.int16)
        mask, flags = self._defects(numbers, strip, bands, rng)
        numbers[EMPTY_BANDS] = NODATA
        numbers[:, ~strip.inside] = NODATA
        self._put("SPECTRAL_IMAGE", strip, numbers)
        self._put("QL_PIXELMASK", strip, mask)
        classes = np.where(strip.inside, np.where(strip.water, 2, 1), _OUTSIDE_CLASS)
        # Under opaque cloud the delivered classes hold 0.
        classes[strip.cloud] = 0
        layers = (classes, strip.cloud, strip.shadow, strip.cirrus, strip.haze, strip.snow, flags)
        for layer, values in zip(_LAYERS, layers, strict=True):
            self._put(layer, strip, values[None].astype(np.uint8))
        centers = np.array(bands.centers_nm)
        for layer, wanted in _QUICKLOOKS_NM.items():
            chosen = [int(np.argmin(np.abs(centers - nm))) for nm in wanted]
            grey = np.clip(np.nan_to_num(strip.reflectance[chosen]) / 0.6 * 254 + 1, 1, 255)
            self._put(layer, strip, (grey * strip.inside).astype(np.uint8))

    def _defects(
        self, numbers: NDArray[np.int16], strip: Strip, bands: BandTable, rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Spoil some single bands and saturate some pixels; return the layers that say so."""
        mask = np.zeros(numbers.shape, dtype=np.uint8)
        count = rng.poisson(_DEFECTS_PER_MILLION * numbers.size / 1e6)
        where = tuple(rng.integers(0, size, count) for size in numbers.shape)
        mask[where] = 1
        numbers[where] = rng.integers(0, 12000, count)
        mask[:, ~strip.inside] = _OUTSIDE_MASK
        flags = np.zeros_like(strip.cirrus)
        spots = rng.poisson(_SATURATED_PER_MILLION * flags.size / 1e6)
        rows = rng.integers(0, flags.shape[0], spots)
        columns = rng.integers(0, flags.shape[1], spots)
        vnir = np.flatnonzero(np.array(bands.centers_nm) < 902.0)
        numbers[vnir[:, None], rows, columns] = SATURATED
        flags[rows, columns] = _SATURATED_VNIR
        return mask, flags * strip.inside

    def _put(self, layer: str, strip: Strip, values: NDArray[Any]) -> None:
        height = strip.rows.stop - strip.rows.start
        window = Window(0, strip.rows.start, self._grid.width, height)
        self._open[layer].write(values, window=window)
