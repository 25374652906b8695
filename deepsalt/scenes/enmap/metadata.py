"""METADATA.XML of EnMAP products, read as untrusted input.

Element paths: EnMAP product specification as used by EnMAP-Box and ESA SNAP; checked with the
metadata of a delivered product.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError, TreeBuilder

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from deepsalt.errors import FormatError
from deepsalt.inputs import read_regular
from deepsalt.scenes.base import SIMULATED_MARK, utc_time
from deepsalt.types import MAX_SIDE_PX, BandTable

MAX_XML_BYTES = 32 * 2**20
"""Delivered files have 4 to 5 MB."""

MAX_ELEMENTS = 400_000
MAX_DEPTH = 100
"""A delivered file has 86,000 elements, nested 8 deep."""

_SHOWN = 60
"""Characters of a value that go into an error message."""

EMPTY_MEAN = -1000000.0
"""Mean that `bandStatistics` states, with a standard deviation of 0, for a band without data."""

_CHANNEL = re.compile(r"[0-9]{1,5}")
_CORNERS = ("upper_left", "lower_left", "lower_right", "upper_right")  # counter-clockwise


@dataclass(frozen=True, slots=True)
class Metadata:
    """What METADATA.XML says (n bands, in file order).

    Parameters
    ----------
    level
        Processing level, ``L2A``; empty when not stated.
    bands
        Bands; unusable are the empty ones and VNIR at and above the first SWIR wavelength.
    gain, offset
        Reflectance = digital number x gain + offset, per band.
    start, end
        UTC.
    footprint
        Corners (longitude, latitude), degrees, counter-clockwise and closed.
    shape
        Rows and columns of the image, pixels; None when not stated.
    sun_elevation_deg
        At the centre of the scene.
    cloud_cover_pct, overall_quality
        None when not set (-999).
    simulated
        The comment says that deepsalt's simulator wrote the product.
    """

    level: str
    bands: BandTable
    gain: tuple[float, ...]
    offset: tuple[float, ...]
    start: datetime
    end: datetime
    footprint: tuple[tuple[float, float], ...]
    shape: tuple[int, int] | None
    sun_elevation_deg: float
    cloud_cover_pct: float | None
    overall_quality: int | None
    simulated: bool


def read_metadata(path: Path) -> Metadata:
    """Read METADATA.XML.

    Raises
    ------
    FormatError
        It is not XML, has a document type or entities, is too large, or lacks an element or has an
        invalid one.
    """
    xml = _Xml(_parse(path), path)
    gain, offset = (
        tuple(xml.numbers("specific/bandCharacterisation/bandID", name))
        for name in ("GainOfBand", "OffsetOfBand")
    )
    quality = _flag(xml, "overallQuality")
    return Metadata(
        level=xml.optional_text("base/level").upper(),
        bands=_bands(xml),
        gain=gain,
        offset=offset,
        start=xml.time("base/temporalCoverage/startTime"),
        end=xml.time("base/temporalCoverage/stopTime"),
        footprint=_footprint(xml),
        shape=_shape(xml),
        sun_elevation_deg=xml.number("specific/sunElevationAngle/center"),
        cloud_cover_pct=_flag(xml, "cloudCover"),
        overall_quality=None if quality is None else int(quality),
        simulated=SIMULATED_MARK in xml.optional_text("metadata/comment"),
    )


class _Xml:
    """Typed access to an XML tree; each error names the file and the element."""

    def __init__(self, root: Element, path: Path) -> None:
        self.root = root
        self.path = path

    def optional_text(self, where: str) -> str:
        return (self.root.findtext(where) or "").strip()

    def text(self, where: str) -> str:
        found = self.optional_text(where)
        if not found:
            raise FormatError(f"{self.path} has no element {where}; fetch the product again")
        return found

    def number(self, where: str) -> float:
        return self._number(self.text(where), where)

    def numbers(self, where: str, name: str) -> list[float]:
        """Return the number `name` below each of the elements `where`, in order of @number."""
        return [
            self._number((band.findtext(name) or "").strip(), f"{where}[{i}]/{name}")
            for i, band in enumerate(self.ordered(where), start=1)
        ]

    def ordered(self, where: str) -> Sequence[Element]:
        """Return the elements `where`, which must be numbered 1, 2, 3 ... in any order."""
        found = self.root.findall(where)
        if {band.get("number") for band in found} != {str(i + 1) for i in range(len(found))}:
            raise FormatError(
                f"{self.path} does not number the {len(found)} elements {where} from 1; fetch the "
                f"product again"
            )
        return sorted(found, key=lambda band: int(band.get("number", "0")))

    def time(self, where: str) -> datetime:
        text = self.text(where)
        moment = utc_time(text)
        if moment is None:
            raise FormatError(f"{self.path}: {where} is {text[:_SHOWN]!r}, not a time")
        return moment

    def _number(self, text: str, where: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise FormatError(f"{self.path}: {where} is {text[:_SHOWN]!r}, expected a number")
        return number


class _Counted(TreeBuilder):
    """Builds the tree of a file, and refuses more or deeper elements than a delivered one has."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._elements = 0
        self._depth = 0

    def start(self, tag: str, attrs: dict[str, str], /) -> Element:
        self._elements += 1
        self._depth += 1
        if self._elements > MAX_ELEMENTS or self._depth > MAX_DEPTH:
            raise FormatError(
                f"{self._path} has more than {MAX_ELEMENTS} elements or nests them more than "
                f"{MAX_DEPTH} deep, which EnMAP metadata never does; fetch the product again"
            )
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> Element:
        self._depth -= 1
        return super().end(tag)


def _parse(path: Path) -> Element:
    """Return the root element, refusing what a delivered file never has."""
    parser = DefusedXMLParser(target=_Counted(path), forbid_dtd=True)
    try:
        parser.feed(read_regular(path, MAX_XML_BYTES))
        root: Element = parser.close()
    except DefusedXmlException as error:
        raise FormatError(
            f"{path} declares a document type or entities, which EnMAP metadata never does; "
            "fetch the product again"
        ) from error
    except (OSError, LookupError, ValueError, ParseError) as error:  # codecs raise two
        cause = getattr(error, "strerror", None) or str(error)
        raise FormatError(f"{path} cannot be read as XML: {cause}; fetch it again") from error
    return root


def _bands(xml: _Xml) -> BandTable:
    where = "specific/bandCharacterisation/bandID"
    centers = xml.numbers(where, "wavelengthCenterOfBand")
    if not centers:
        raise FormatError(f"{xml.path} has no bands in {where}; fetch the product again")
    fwhm = xml.numbers(where, "FWHMOfBand")
    empty = _empty(xml, len(centers))
    second = _overlapping(centers, _vnir(xml, centers, fwhm))
    return BandTable(
        names=tuple(f"band_{i:03d}" for i in range(1, len(centers) + 1)),
        centers_nm=tuple(centers),
        fwhm_nm=tuple(fwhm),
        usable=tuple(not (e or s) for e, s in zip(empty, second, strict=True)),
    )


def _empty(xml: _Xml, n: int) -> list[bool]:
    """Return which bands have no data, by their statistics; none without statistics."""
    where = "product/bandStatistics/bandID"
    mean, deviation = (xml.numbers(where, name) for name in ("mean", "stdDeviation"))
    if not mean:
        return [False] * n
    if len(mean) != n:
        raise FormatError(
            f"{xml.path} has statistics of {len(mean)} bands but describes {n}; fetch it again"
        )
    return [m == EMPTY_MEAN and d == 0 for m, d in zip(mean, deviation, strict=True)]


def _overlapping(centers: list[float], vnir: list[bool]) -> list[bool]:
    """Return VNIR bands at and above the first SWIR wavelength.

    Two detectors see 902 to 993 nm; we keep SWIR, whose signal is stronger there.
    """
    swir = [c for c, is_vnir in zip(centers, vnir, strict=True) if not is_vnir]
    first = min(swir, default=math.inf)
    return [is_vnir and c >= first for c, is_vnir in zip(centers, vnir, strict=True)]


def _vnir(xml: _Xml, centers: list[float], fwhm: list[float]) -> list[bool]:
    """Return which bands the VNIR detector saw.

    The channel lists hold band numbers from 1. If they do not divide the bands, widths tell the
    detectors apart: along each, they change by less than 0.2 nm from band to band, and around 900
    nm the SWIR bands are narrower by about 1 nm.
    """
    lists = [
        {int(i) for i in xml.optional_text(where).split(",") if _CHANNEL.fullmatch(i.strip())}
        for where in (
            "specific/vnirProductQuality/expectedChannelsList",
            "specific/swirProductQuality/expectedChannelsList",
        )
    ]
    numbers = range(1, len(centers) + 1)
    if sorted([*lists[0], *lists[1]]) == list(numbers):
        return [i in lists[0] for i in numbers]
    return vnir_by_width(centers, fwhm)


def vnir_by_width(centers: list[float], fwhm: list[float]) -> list[bool]:
    """Return which bands are of the VNIR detector, told by their widths, where both overlap."""
    last = {True: fwhm[0], False: math.inf}
    vnir = []
    for i, (center, width) in enumerate(zip(centers, fwhm, strict=True)):
        if math.isinf(last[False]):
            mine = i == 0 or center < 850 or width > fwhm[i - 1] - 0.5
        elif center > 1000:  # beyond the reach of silicon
            mine = False
        else:
            mine = abs(width - last[True]) < abs(width - last[False])
        last[mine] = width
        vnir.append(mine)
    return vnir


def _footprint(xml: _Xml) -> tuple[tuple[float, float], ...]:
    corners: dict[str, tuple[float, float]] = {}
    where = "base/spatialCoverage/boundingPolygon/point"
    for point in xml.root.findall(where):
        inner = _Xml(point, xml.path)
        frame = inner.optional_text("frame")
        if frame in _CORNERS:
            corners[frame] = (inner.number("longitude"), inner.number("latitude"))
    if len(corners) != len(_CORNERS):
        raise FormatError(
            f"{xml.path} gives {len(corners)} of the 4 corners in {where}; fetch it again"
        )
    ring = [corners[name] for name in _CORNERS]
    return (*ring, ring[0])


def _shape(xml: _Xml) -> tuple[int, int] | None:
    where = "product/image/merge/dimension"
    if xml.root.find(where) is None:
        return None
    rows, columns = (xml.number(f"{where}/{name}") for name in ("rows", "columns"))
    if not (1 <= rows <= MAX_SIDE_PX and 1 <= columns <= MAX_SIDE_PX):
        raise FormatError(
            f"{xml.path}: {where} is {rows:g} x {columns:g}; expected 1 to {MAX_SIDE_PX} pixels"
        )
    return int(rows), int(columns)


def _flag(xml: _Xml, name: str) -> float | None:
    where = f"specific/qualityFlag/{name}"
    if not xml.optional_text(where):
        return None
    value = xml.number(where)
    return None if value < 0 else value
