"""Tiny seeded products, minimal but true in names and element paths."""

from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.transform import Affine

from deepsalt.spectral.bands import sensor_bands
from deepsalt.types import BandTable

SCENE = "ENMAP01-____L2A-DT0000012345_20240706T083000Z_003_V010402_20240707T120000Z"
ENMAP_ORIGIN = (366015.0, 5809965.0)  # 30 k + 15 m, as delivered
EMPTY_BANDS = range(129, 135)
QUALITY = {
    "QL_QUALITY_CLASSES": 1,
    "QL_QUALITY_CLOUD": 0,
    "QL_QUALITY_CLOUDSHADOW": 0,
    "QL_QUALITY_HAZE": 0,
    "QL_QUALITY_CIRRUS": 0,
    "QL_QUALITY_SNOW": 0,
    "QL_QUALITY_TESTFLAGS": 0,
}


def write_enmap(
    parent: Path,
    *,
    shape: tuple[int, int] = (70, 90),
    numbers: NDArray[np.int16] | None = None,
    quality: dict[str, NDArray[np.uint8]] | None = None,
    defective: NDArray[np.uint8] | None = None,
    scene: str = SCENE,
    block: int = 32,
    interleave: str = "band",
    cog: bool = False,
    lower: bool = False,
    sun_elevation: float = 52.5,
    crs: str | None = "EPSG:32633",
    **profile: object,
) -> Path:
    """Write an EnMAP L2A product of random soil-like numbers; return its folder."""
    bands = sensor_bands("enmap")
    if numbers is None:
        numbers = random_numbers(len(bands), shape, seed=7)
        numbers[list(EMPTY_BANDS)] = -32768
    shape = (numbers.shape[1], numbers.shape[2])
    folder = parent / scene
    folder.mkdir(parents=True)
    ending = "_COG.TIF" if cog else ".TIF"

    def name(layer: str) -> Path:
        full = f"{scene}-{layer}{ending}"
        return folder / (full.lower() if lower else full)

    options = {"block": block, "interleave": interleave, "crs": crs, "origin": ENMAP_ORIGIN}
    write_tiff(name("SPECTRAL_IMAGE"), numbers, nodata=-32768, **options, **profile)
    for layer, value in QUALITY.items():
        pixels = (quality or {}).get(layer, np.full(shape, value, np.uint8))
        write_tiff(name(layer), pixels[None], **options)
    mask = np.zeros(numbers.shape, np.uint8) if defective is None else defective
    write_tiff(name("QL_PIXELMASK"), mask, **options)
    xml = f"{scene}-METADATA.XML"
    text = enmap_xml(bands, numbers, sun_elevation=sun_elevation, level=scene[12:15])
    (folder / (xml.lower() if lower else xml)).write_text(text)
    return folder


def random_numbers(count: int, shape: tuple[int, int], *, seed: int) -> NDArray[np.int16]:
    return np.random.default_rng(seed).integers(800, 4500, (count, *shape), dtype=np.int16)


def write_tiff(
    path: Path,
    pixels: NDArray[np.generic],
    *,
    block: int = 32,
    interleave: str = "band",
    crs: str | None = "EPSG:32633",
    origin: tuple[float, float] = ENMAP_ORIGIN,
    nodata: float | None = None,
    resolution: float = 30.0,
    tags: dict[str, str] | None = None,
    band_tags: list[dict[str, str]] | None = None,
    **profile: object,
) -> Path:
    """Write a GeoTIFF (band, y, x), tiled and in Deflate if `profile` says nothing else."""
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=pixels.shape[0],
        height=pixels.shape[1],
        width=pixels.shape[2],
        dtype=pixels.dtype,
        crs=crs,
        transform=Affine(resolution, 0, origin[0], 0, -resolution, origin[1]),
        nodata=nodata,
        blockysize=block,
        interleave=interleave,
        **{"tiled": True, "blockxsize": block, "compress": "deflate", **profile},
    ) as raster:
        raster.write(pixels)
        if tags:  # rewriting tags moves the directory to the end of the file
            raster.update_tags(**tags)
        for index, own in enumerate(band_tags or [], start=1):
            raster.update_tags(index, **own)
    return path


def enmap_xml(
    bands: BandTable, numbers: NDArray[np.int16], *, sun_elevation: float, level: str = "L2A"
) -> str:
    """Return METADATA.XML with the elements that readers use."""
    n = len(bands)
    centers, fwhm = bands.centers_nm, bands.fwhm_nm
    first_swir = 902.261
    swir = [i for i in range(n) if fwhm[i] < _vnir_width(centers[i]) and centers[i] >= first_swir]
    vnir = [i for i in range(n) if i not in swir]
    characters = "".join(
        f'<bandID number="{i + 1}"><wavelengthCenterOfBand>{centers[i]}</wavelengthCenterOfBand>'
        f"<FWHMOfBand>{fwhm[i]}</FWHMOfBand><GainOfBand>0.0001</GainOfBand>"
        f"<OffsetOfBand>0</OffsetOfBand></bandID>"
        for i in range(n)
    )
    statistics = "".join(
        f'<bandID number="{i + 1}"><mean>{mean}</mean><stdDeviation>{deviation}</stdDeviation>'
        "</bandID>"
        for i, (mean, deviation) in enumerate(map(_statistics, numbers))
    )
    points = "".join(
        f"<point><frame>{frame}</frame><latitude>{lat}</latitude><longitude>{lon}</longitude></point>"
        for frame, lat, lon in (
            ("upper_left", 52.42, 13.03),
            ("upper_right", 52.42, 13.07),
            ("lower_right", 52.40, 13.07),
            ("lower_left", 52.40, 13.03),
            ("center", 52.41, 13.05),
        )
    )
    lists = "".join(
        f"<{d}ProductQuality><expectedChannelsList>{','.join(str(i + 1) for i in channels)}"
        f"</expectedChannelsList></{d}ProductQuality>"
        for d, channels in (("vnir", vnir), ("swir", swir))
    )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<level_X><metadata><schema><processingLevel>{escape(level)}</processingLevel></schema></metadata>
<base><level>{escape(level)}</level><archivedVersion>01.04.02</archivedVersion>
<spatialCoverage><boundingPolygon>{points}</boundingPolygon></spatialCoverage>
<temporalCoverage><startTime>2024-07-06T08:30:00.123456Z</startTime>
<stopTime>2024-07-06T08:30:04.600000Z</stopTime></temporalCoverage></base>
<specific><sunElevationAngle><center unit="DEG">{sun_elevation}</center></sunElevationAngle>
<qualityFlag><overallQuality>0</overallQuality><cloudCover>3</cloudCover>
<sceneAOT>-999</sceneAOT></qualityFlag>{lists}
<bandCharacterisation>{characters}</bandCharacterisation></specific>
<product><bandStatistics>{statistics}</bandStatistics><image><merge><channels>{n}</channels>
<dimension><columns>{numbers.shape[2]}</columns><rows>{numbers.shape[1]}</rows></dimension>
</merge></image></product></level_X>"""


def _statistics(band: NDArray[np.int16]) -> tuple[float, float]:
    valid = band[band != -32768]
    return (float(valid.mean()), float(valid.std())) if valid.size else (-1000000.0, 0.0)


def _vnir_width(center: float) -> float:
    """FWHM halfway between the two detectors around 950 nm, nm; everything else is by place."""
    return 9.7 + (center - 902.0) * (10.45 - 9.7) / 91.0 if center < 995 else 1000.0
