"""METADATA.XML of an EnMAP product: the elements that readers use, where they are delivered."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from xml.etree.ElementTree import Element, ElementTree, SubElement, indent

import numpy as np

from deepsalt.simulate.geodesy import to_lonlat
from deepsalt.types import BandTable, PixelGrid

_FRAMES = ("upper_left", "lower_left", "lower_right", "upper_right")
_SWIR_FROM = 902.0  # nm; VNIR ends at 993
_NOT_SET = -999


@dataclass(frozen=True, slots=True)
class Delivery:
    """What the metadata of one product say.

    Parameters
    ----------
    name
        Product name.
    level, version, datatake, tile
        Parts of the name.
    start, duration
        Time of the acquisition, UTC.
    grid
        Grid of the image.
    bands
        Band centres and widths of this scene (224).
    mean, sd
        Statistics of reflectance per band; -1000000 and 0 for empty bands.
    corners
        Corners of the swath (longitude, latitude): upper left, lower left, lower right, upper
        right.
    sun_elevation_deg, sun_azimuth_deg
        At the centre of the scene.
    covers
        Percent of the scene under cloud, shadow, haze, cirrus, snow, water.
    overall_quality
        0 nominal, 1 reduced, 2 low.
    files
        Names of the product's other files.
    """

    name: str
    level: str
    version: str
    datatake: int
    tile: int
    start: datetime
    duration: timedelta
    grid: PixelGrid
    bands: BandTable
    mean: tuple[float, ...]
    sd: tuple[float, ...]
    corners: tuple[tuple[float, float], ...]
    sun_elevation_deg: float
    sun_azimuth_deg: float
    covers: dict[str, int]
    overall_quality: int
    files: tuple[str, ...]

    @property
    def revision(self) -> str:
        """Processor version as the metadata spell it: 01.05.02."""
        return ".".join(self.version[i : i + 2] for i in (0, 2, 4))

    def vnir(self) -> list[int]:
        """Return the 1-based numbers of the VNIR bands."""
        pairs = zip(self.bands.centers_nm, self.bands.usable, strict=True)
        # Bands of both detectors overlap up to 993 nm; of those the VNIR's are not usable.
        return [
            number
            for number, (center, usable) in enumerate(pairs, start=1)
            if center < _SWIR_FROM - 1.0 or (center < 995.0 and not usable)
        ]


def write_metadata(path: Path, delivery: Delivery) -> None:
    """Write METADATA.XML."""
    root = Element("level_X")
    root.set("xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance")
    root.set("xsi:noNamespaceSchemaLocation", "metadata_Lx_00-06-00.xsd")
    _heading(SubElement(root, "metadata"), path, delivery)
    _fill(
        SubElement(root, "processing"),
        {
            "terrainCorrection": "Yes",
            "ozoneValue": 300,
            "season": "summer",
            "productFormat": "GeoTIFF+Metadata",
            "mapProjection": "UTM_Zone_of_Scene_Center",
            "imageResampling": "Bilinear_Interpolation",
            "correctionType": "Land_Mode",
            "cirrusHazeRemoval": "No",
            "bandInterpolation": "No",
            "waterType": "Clear",
        },
    )
    _base(SubElement(root, "base"), delivery)
    _specific(SubElement(root, "specific"), delivery)
    _product(SubElement(root, "product"), delivery)
    indent(root)
    ElementTree(root).write(path, encoding="UTF-8", xml_declaration=True)


def _fill(parent: Element, values: dict[str, object]) -> None:
    for tag, value in values.items():
        SubElement(parent, tag).text = str(value)


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z"


def _heading(parent: Element, path: Path, delivery: Delivery) -> None:
    schema = SubElement(parent, "schema")
    _fill(schema, {"copyright": "simulated by deepsalt", "versionSchema": "00.06.00"})
    _fill(schema, {"name": "metadata_Lx_00-06-00.xsd", "processingLevel": delivery.level})
    comment = (
        f"EnMAP Level {delivery.level[1:]} Product of datatake {delivery.datatake}, "
        f"tile {delivery.tile}; simulated by deepsalt, not a measurement"
    )
    _fill(parent, {"name": path.name, "comment": comment})


def _polygon(parent: Element, delivery: Delivery) -> None:
    polygon = SubElement(parent, "boundingPolygon")
    grid = delivery.grid
    middle = to_lonlat(grid, np.array([grid.width / 2]), np.array([grid.height / 2]))
    center = (float(middle[0][0]), float(middle[1][0]))
    stop = delivery.start + delivery.duration
    frames = [*_FRAMES, "upper_left", "center"]
    corners = [*delivery.corners, delivery.corners[0], center]
    for frame, (longitude, latitude) in zip(frames, corners, strict=True):
        point = SubElement(polygon, "point")
        SubElement(point, "frame").text = frame
        wrapped = (longitude + 180.0) % 360.0 - 180.0
        for tag, degrees in (("latitude", latitude), ("longitude", wrapped)):
            element = SubElement(point, tag, unit="DEG")
            element.text = f"{degrees:.9f}"
        moment = stop if frame.startswith("lower") else delivery.start
        SubElement(point, "utcTime").text = _time(moment)


def _base(parent: Element, delivery: Delivery) -> None:
    _polygon(SubElement(parent, "spatialCoverage"), delivery)
    times = {
        "startTime": _time(delivery.start),
        "stopTime": _time(delivery.start + delivery.duration),
    }
    _fill(SubElement(parent, "temporalCoverage"), dict(times))
    _fill(
        parent,
        {
            "revision": delivery.revision,
            "sphere": "earth",
            "format": f"ENMAP_{delivery.level}",
            "level": delivery.level,
            "archivedVersion": delivery.revision,
        },
    )


def _specific(parent: Element, delivery: Delivery) -> None:
    _quality(SubElement(parent, "qualityFlag"), delivery)
    vnir = delivery.vnir()
    swir = [number for number in range(1, len(delivery.bands) + 1) if number not in vnir]
    for tag, numbers in (("vnirProductQuality", vnir), ("swirProductQuality", swir)):
        quality = SubElement(parent, tag)
        listed = ",".join(str(number) for number in numbers)
        _fill(quality, {"numChannelsExpected": len(numbers), "expectedChannelsList": listed})
        _fill(quality, {"numChannelsMissing": 0, "missingChannelsList": ""})
    _fill(
        parent,
        {
            "mission": "EnMAP",
            "satelliteID": "ENMAP01",
            "sensor": "HSI",
            "datatakeID": delivery.datatake,
            "numberOfSWIRBands": len(swir),
            "numberOfVNIRBands": len(vnir),
            "productType": "STANDARD",
            "datatakeStart": _time(delivery.start),
            "datatakeStop": _time(delivery.start + delivery.duration),
            "backgroundValue": -32768,
            "tileID": delivery.tile,
            "numberOfTiles": delivery.tile,
            "orbitDirection": "DESCENDING",
        },
    )
    _angles(parent, delivery)
    characterisation = SubElement(parent, "bandCharacterisation")
    columns = (delivery.bands.centers_nm, delivery.bands.fwhm_nm)
    for number, (center, width) in enumerate(zip(*columns, strict=True), start=1):
        band = SubElement(characterisation, "bandID", number=str(number))
        _fill(band, {"wavelengthCenterOfBand": center, "FWHMOfBand": width})
        _fill(band, {"GainOfBand": "0.0001", "OffsetOfBand": "0"})
    _fill(
        parent,
        {
            "pixelSizeOfOrthoScene": 30,
            "widthOfOrthoScene": delivery.grid.width,
            "heightOfOrthoScene": delivery.grid.height,
        },
    )


def _quality(parent: Element, delivery: Delivery) -> None:
    covers = delivery.covers
    _fill(
        parent,
        {
            "overallQualityVNIR": 0,
            "overallQualitySWIR": 0,
            "overallQuality": delivery.overall_quality,
            "sceneSZA": f"{90.0 - delivery.sun_elevation_deg:.6f}",
            "qualityAtmosphere": delivery.overall_quality,
            "sceneSunglint": _NOT_SET,
            "cloudCover": covers.get("cloud", 0),
            "hazeCover": covers.get("haze", 0),
            "cirrusCover": covers.get("cirrus", 0),
            "snowCover": covers.get("snow", 0),
            "waterCover": covers.get("water", 0),
            "cloudShadow": covers.get("shadow", 0),
            "sceneWV": 1420,
            "sceneAOT": 160,
        },
    )


def _angles(parent: Element, delivery: Delivery) -> None:
    """Write angles at the swath's corners: they vary by some tenths of a degree over a scene."""
    angles = {
        "sunElevationAngle": (delivery.sun_elevation_deg, 0.12),
        "sunAzimuthAngle": (delivery.sun_azimuth_deg, 0.2),
        "acrossOffNadirAngle": (7.8, 1.3),
        "alongOffNadirAngle": (0.1, 0.02),
        "sceneAzimuthAngle": (16.6, 0.1),
        "viewingZenithAngle": (8.6, 1.4),
        "viewingAzimuthAngle": (106.0, 0.5),
    }
    signs = {"upper_left": -1.0, "upper_right": 1.0, "lower_right": 1.0, "lower_left": -1.0}
    for tag, (center, spread) in angles.items():
        element = SubElement(parent, tag, unit="DEG")
        corners = {frame: f"{center + sign * spread:.6f}" for frame, sign in signs.items()}
        _fill(element, {**corners, "center": f"{center:.6f}"})


def _product(parent: Element, delivery: Delivery) -> None:
    merge = SubElement(SubElement(parent, "image"), "merge")
    image = next((name for name in delivery.files if "SPECTRAL_IMAGE" in name), "")
    _fill(merge, {"channels": len(delivery.bands), "name": image})
    _fill(merge, {"version": delivery.revision, "format": "binary"})
    size = {"columns": delivery.grid.width, "rows": delivery.grid.height}
    _fill(SubElement(merge, "dimension"), dict(size))
    zone = int(delivery.grid.crs[-2:])
    side = "North" if delivery.grid.crs[-5:-2] == "326" else "South"
    _fill(
        SubElement(parent, "ortho"),
        {"projection": f"UTM_Zone{zone}_{side}", "resolution": 30, "resampling": "bilinear"},
    )
    information = SubElement(parent, "productFileInformation")
    for number, name in enumerate(delivery.files, start=1):
        entry = SubElement(information, "file", number=str(number))
        _fill(entry, {"name": name, "version": delivery.revision, "format": "binary"})
    statistics = SubElement(parent, "bandStatistics")
    columns = (delivery.bands.centers_nm, delivery.mean, delivery.sd)
    for number, (center, mean, sd) in enumerate(zip(*columns, strict=True), start=1):
        band = SubElement(statistics, "bandID", number=str(number))
        _fill(band, {"waveLength": center, "mean": f"{mean:.7g}", "stdDeviation": f"{sd:.7g}"})
