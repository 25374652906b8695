"""METADATA.XML of an EnMAP product, element by element as delivered.

Left out is what only a flight has: telemetry, the camera's orientation, the time of each raw line,
tie points and the instrument's temperatures, currents and voltages.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree.ElementTree import Element, ElementTree, SubElement, indent

import numpy as np

from deepsalt.simulate.geodesy import to_lonlat
from deepsalt.types import BandTable, PixelGrid

_FRAMES = ("upper_left", "lower_left", "lower_right", "upper_right")
_SWIR_FROM = 902.0  # nm; VNIR ends at 993
_NOT_SET = -999
_NOT_AVAILABLE = "NA"
_RIGHTS = "simulated by deepsalt"
_ALTITUDE_M = 643_000
_ORBIT_S = 97.4 * 60  # one revolution
_LAUNCH = datetime(2022, 4, 1, tzinfo=UTC)
_KBYTE = 1024
_QUICKLOOKS_NM = {"VNIR": (847.1, 671.21, 548.06), "SWIR": (2201.0, 1645.3, 1051.3)}


@dataclass(frozen=True, slots=True)
class Delivery:
    """Metadata of one product.

    Parameters
    ----------
    name
        Product name.
    level, version, datatake, tile
        Parts of the name.
    start, duration
        Time of the acquisition, UTC.
    processed
        When the product was made, UTC.
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
    processed: datetime
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
            "DEMDBVersion": _NOT_AVAILABLE,
            "correctionType": "Land_Mode",
            "cirrusHazeRemoval": "No",
            "bandInterpolation": "No",
            "waterType": "Clear",
        },
    )
    sizes = {name: _size(path.with_name(name)) for name in delivery.files}
    _base(SubElement(root, "base"), delivery, sum(sizes.values()))
    _specific(SubElement(root, "specific"), delivery)
    _product(SubElement(root, "product"), delivery, sizes)
    indent(root)
    ElementTree(root).write(path, encoding="UTF-8", xml_declaration=True)


def _fill(parent: Element, values: dict[str, object]) -> None:
    for tag, value in values.items():
        SubElement(parent, tag).text = str(value)


def _size(path: Path) -> int:
    """Return the bytes of a file; 0 for the document that is being written."""
    return path.stat().st_size if path.exists() else 0


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z"


def _heading(parent: Element, path: Path, delivery: Delivery) -> None:
    schema = SubElement(parent, "schema")
    _fill(schema, {"copyright": _RIGHTS, "versionSchema": "00.06.00"})
    _fill(schema, {"name": "metadata_Lx_00-06-00.xsd", "crc": "00000000"})
    _fill(schema, {"processingLevel": delivery.level})
    comment = (
        f"EnMAP Level {delivery.level[1:]} Product of datatake {delivery.datatake}, "
        f"tile {delivery.tile}; simulated by deepsalt, not a measurement"
    )
    _fill(parent, {"name": path.name, "comment": comment, "copyright": _RIGHTS})
    _fill(parent, {"citation": f"deepsalt: simulated EnMAP product {delivery.name}"})


def _positions(
    grid: PixelGrid, column: Sequence[float], row: Sequence[float]
) -> list[tuple[float, float]]:
    longitude, latitude = to_lonlat(grid, np.array(column), np.array(row))
    return list(zip(longitude.tolist(), latitude.tolist(), strict=True))


def _polygon(
    parent: Element, delivery: Delivery, corners: Sequence[tuple[float, float]], *, timed: bool
) -> None:
    """Write a closed polygon and its centre; corners in the order of `_FRAMES`."""
    polygon = SubElement(parent, "boundingPolygon")
    grid = delivery.grid
    center = _positions(grid, [grid.width / 2], [grid.height / 2])
    stop = delivery.start + delivery.duration
    frames = [*_FRAMES, "upper_left", "center"]
    closed = [*corners, corners[0], *center]
    for frame, (longitude, latitude) in zip(frames, closed, strict=True):
        point = SubElement(polygon, "point")
        SubElement(point, "frame").text = frame
        wrapped = (longitude + 180.0) % 360.0 - 180.0
        for tag, degrees in (("latitude", latitude), ("longitude", wrapped)):
            element = SubElement(point, tag, unit="DEG")
            element.text = f"{degrees:.9f}"
        moment = _time(stop if frame.startswith("lower") else delivery.start)
        SubElement(point, "utcTime").text = moment if timed else _NOT_AVAILABLE


def _base(parent: Element, delivery: Delivery, size_bytes: int) -> None:
    _polygon(SubElement(parent, "spatialCoverage"), delivery, delivery.corners, timed=True)
    times = {
        "startTime": _time(delivery.start),
        "stopTime": _time(delivery.start + delivery.duration),
    }
    _fill(SubElement(parent, "temporalCoverage"), dict(times))
    _fill(
        parent,
        {
            "revision": delivery.revision,
            "altitudeCoverage": _ALTITUDE_M,
            "sphere": "earth",
            "format": f"ENMAP_{delivery.level}",
            "level": delivery.level,
            "size": size_bytes,
            "archivedVersion": delivery.revision,
        },
    )


def _specific(parent: Element, delivery: Delivery) -> None:
    coverage = SubElement(parent, "spatialCoverageOfDatatake")
    _polygon(coverage, delivery, delivery.corners, timed=True)
    _quality(SubElement(parent, "qualityFlag"), delivery)
    _instrument(parent)
    vnir = delivery.vnir()
    swir = [number for number in range(1, len(delivery.bands) + 1) if number not in vnir]
    for arm, numbers in (("vnir", vnir), ("swir", swir)):
        quality = SubElement(parent, f"{arm}ProductQuality")
        _fill(quality, {f"{arm}ProductStatus": "OK"})
        for moment in ("Before", "After"):
            dark = SubElement(quality, f"{arm}Dark{moment}Quality")
            _fill(dark, {"available": "yes", "screeningResult": "OK"})
        listed = ",".join(str(number) for number in numbers)
        _fill(quality, {"numChannelsExpected": len(numbers), "expectedChannelsList": listed})
        _fill(quality, {"numChannelsMissing": 0, "missingChannelsList": ""})
    _processing_run(parent, delivery)
    _acquisition(parent, delivery, channels=(len(vnir), len(swir)))
    _angles(parent, delivery)
    _image(parent, delivery)


def _acquisition(parent: Element, delivery: Delivery, *, channels: tuple[int, int]) -> None:
    """Write which scene of which datatake this is; `channels` of VNIR and SWIR."""
    _fill(
        parent,
        {
            "mission": "EnMAP",
            "satelliteID": "ENMAP01",
            "sensor": "HSI",
            "datatakeID": delivery.datatake,
            "imageID": delivery.datatake,
            "cyclogramType": "EARTH",
            "cyclogramVersion": "000",
            "MCSequenceId": "000",
            "macrocommandVersion": "000",
            "numberOfSWIRBands": channels[1],
            "numberOfVNIRBands": channels[0],
            "acquisitionType": "EARTH",
            "acquisitionSubtype": "earth",
            "productType": "STANDARD",
            "compressionType": "COMPRESSED",
            "datatakeStart": _time(delivery.start),
            "datatakeStop": _time(delivery.start + delivery.duration),
            "backgroundValue": -32768,
            "tileID": delivery.tile,
            "numberOfTiles": delivery.tile,
        },
    )
    for tag, side in (
        ("widthOfScene", delivery.grid.width),
        ("heightOfScene", delivery.grid.height),
    ):
        SubElement(parent, tag, unit="pixel").text = str(side)
    revolutions = max((delivery.start - _LAUNCH).total_seconds(), 0.0) / _ORBIT_S
    _fill(
        parent,
        {
            "status": "NOMINAL",
            "orbitNo": int(revolutions),
            "meanGroundElevation": 0,  # the simulated ground is a plane at sea level
            "digitalElevationModelDatabase": _NOT_AVAILABLE,
            "digitalElevationModelDatabaseAccuracy": 0,
            "referenceDatabase": _NOT_AVAILABLE,
            "referenceImageDatabaseAccuracy": 0,
        },
    )


def _image(parent: Element, delivery: Delivery) -> None:
    """Write what the orthorectified image covers, and its bands."""
    _fill(
        parent,
        {
            "orbitDirection": "DESCENDING",
            "pixelSize": 30,
            "biomeType": "Deserts and Xeric Shrublands",
            "processible": 1,
            "orbitType": "determined",
            "acquisitionMode": "earth",
            "code": delivery.level,
            "URLToProductType": _NOT_AVAILABLE,
        },
    )
    right, bottom = delivery.grid.width, delivery.grid.height
    outline = _positions(delivery.grid, [0, 0, right, right], [0, bottom, bottom, 0])
    scene = SubElement(parent, "spatialCoverageOfOrthoScene")
    _polygon(scene, delivery, outline, timed=False)
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
            "meanSlope": 0,
        },
    )


def _instrument(parent: Element) -> None:
    """Write the state of an instrument that works, and the checks that found it so."""
    _fill(
        SubElement(parent, "instrumentStatus"),
        {
            "statusOK": "true",
            "statusVNIR": "on",
            "statusSWIR": "on",
            "configVNIR": "standard",
            "configSWIR": "standard",
            "statusSCM": "OK",
            "statusDiffuserProtectionHatch": "OK",
            "statusSunDiffuserHatch": "OK",
            "emergencyStatusOfSCM": 0,
            "emergencyStatusOfSSM": 0,
            "emergencyStatusOfSDH": 0,
            "SWIRAOrSWIRBSelected": "SWIRA",
            "mcsSequenceType": 1,
        },
    )
    screening = SubElement(SubElement(parent, "productQuality"), "screeningResult")
    _fill(screening, {"status": "OK", "failedGroups": ""})


def _processing_run(parent: Element, delivery: Delivery) -> None:
    """Write when and by what the product was made; no receiving station ever saw it."""
    _fill(SubElement(parent, "downlink"), {"dtakeNumMissingIsps": 0, "dtakeNumErrorIsps": 0})
    tables = ("AtmSpec", "Geo", "Rad", "Linearity", "DeepSpace", "DPM")
    auxiliary = ["orbit", "attitude", *(f"calTab{table}" for table in tables), "refTabDark"]
    versions = {f"{name}Version": "00.00.00" for name in auxiliary}
    _fill(SubElement(parent, "auxDataVersion"), dict(versions))
    assembled = _time(delivery.start + delivery.duration)
    _fill(
        SubElement(parent, "inputDatatake"),
        {"datatakeAssemblyTime": assembled, "datatakeRevision": delivery.revision},
    )
    processed = _time(delivery.processed)
    _fill(
        parent,
        {
            "missionPhase": "operational",
            "processingCenter": "deepsalt",
            "processingNode": "simulation",
            "processingDateTime": processed,
            "archivingStation": _NOT_AVAILABLE,
            "archivingDateTime": processed,
            "receivingStations": _NOT_AVAILABLE,
            "receivingDateTime": assembled,
        },
    )


def _quality(parent: Element, delivery: Delivery) -> None:
    covers = delivery.covers
    _fill(parent, {f"spare_{number}": _NOT_SET for number in (1, 2, 3)})
    for arm in ("VNIR", "SWIR"):
        nominal = (
            "processorLog",
            "overallQuality",
            "deadPixels",
            "defectivePixels",
            "generalArtifacts",
            "saturationCrosstalk",
            "stripingBanding",
            "qualityRadiometry",
        )
        _fill(parent, {f"sensorLog{arm}": _NOT_SET})
        _fill(parent, {f"{check}{arm}": 0 for check in nominal})
        _fill(parent, {f"smileIndication{arm}": _NOT_SET})
    points = ("GCP", "ICP", "All", "DiscardedGCP")
    residuals = ("orthoResidual", "orthoMean", "orthoRMSE")
    _fill(
        parent,
        {
            "overallQuality": delivery.overall_quality,
            "numTilesUsed": 1,
            "levelOfRejection": 0,
            **{f"numPoints{kind}": 0 for kind in points},  # the scene lies exactly where it should
            **{f"{kind}{axis}": 0 for kind in residuals for axis in ("", "_x", "_y")},
            "sceneSZA": f"{90.0 - delivery.sun_elevation_deg:.6f}",
            "qualityAtmosphere": delivery.overall_quality,
            "orthoTerrain": 0,
            "sceneSunglint": _NOT_SET,
            "cloudCover": covers.get("cloud", 0),
            "hazeCover": covers.get("haze", 0),
            "cirrusCover": covers.get("cirrus", 0),
            "snowCover": covers.get("snow", 0),
            "waterCover": covers.get("water", 0),
            "cloudShadow": covers.get("shadow", 0),
            "noncloudShadow": 0,
            "sceneWV": 1420,
            "sceneAOT": 160,
            "sceneAtmParam": 0,
            "sceneTerrain": 0,
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
        element = SubElement(parent, tag)
        for frame, sign in {**signs, "center": 0.0}.items():
            SubElement(element, frame, unit="DEG").text = f"{center + sign * spread:.6f}"


def _file(
    parent: Element, delivery: Delivery, name: str, size_bytes: int, file_format: str = "binary"
) -> None:
    SubElement(parent, "name").text = name
    SubElement(parent, "size", unit="Kbyte").text = str(size_bytes // _KBYTE)
    _fill(parent, {"version": delivery.revision, "format": file_format})


def _raster(
    parent: Element, delivery: Delivery, ending: str, sizes: Mapping[str, int], channels: int
) -> None:
    """Write what is said of an image file and of the ground it covers."""
    _fill(parent, {"channels": channels})
    name = next((name for name in delivery.files if ending in name), "")
    _file(parent, delivery, name, sizes.get(name, 0))
    grid = delivery.grid
    size = {"columns": grid.width, "rows": grid.height}
    _fill(SubElement(parent, "dimension"), dict(size))
    (west, north), (east, south) = _positions(grid, [0, grid.width], [0, grid.height])
    ground = SubElement(parent, "dimensionGeographic")
    for tag, degrees in (("longitude", east - west), ("latitude", north - south)):
        SubElement(ground, tag, unit="DEG").text = f"{degrees:.9f}"


def _colours(parent: Element, tag: str, arm: str) -> None:
    named = dict(zip(("red", "green", "blue"), _QUICKLOOKS_NM[arm], strict=True))
    _fill(SubElement(parent, tag), dict(named))


def _product(parent: Element, delivery: Delivery, sizes: Mapping[str, int]) -> None:
    merge = SubElement(SubElement(parent, "image"), "merge")
    _raster(merge, delivery, "SPECTRAL_IMAGE", sizes, len(delivery.bands))
    quicklook = SubElement(parent, "quicklook")
    for arm in _QUICKLOOKS_NM:
        _colours(merge, f"qlChannels{arm}", arm)
        picture = SubElement(quicklook, arm.lower())
        _raster(picture, delivery, f"-QL_{arm}", sizes, 3)
        _colours(picture, "qlChannels", arm)
    zone = int(delivery.grid.crs[-2:])
    side = "North" if delivery.grid.crs[-5:-2] == "326" else "South"
    _fill(
        SubElement(parent, "ortho"),
        {"projection": f"UTM_Zone{zone}_{side}", "resolution": 30, "resampling": "bilinear"},
    )
    information = SubElement(parent, "productFileInformation")
    for number, name in enumerate(delivery.files, start=1):
        entry = SubElement(information, "file", number=str(number))
        kind = "xml" if name.upper().endswith(".XML") else "binary"
        _file(entry, delivery, name, sizes[name], kind)
    statistics = SubElement(parent, "bandStatistics")
    columns = (delivery.bands.centers_nm, delivery.mean, delivery.sd)
    for number, (center, mean, sd) in enumerate(zip(*columns, strict=True), start=1):
        band = SubElement(statistics, "bandID", number=str(number))
        _fill(band, {"waveLength": center, "mean": f"{mean:.7g}", "stdDeviation": f"{sd:.7g}"})
